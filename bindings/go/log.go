package emotionllama

import (
	"context"
	"sync"

	"github.com/ebitengine/purego"
)

// LogLevel is how much a message of the log matters.
type LogLevel uint32

const (
	// LogError: something failed, although no call may have.
	LogError LogLevel = 1
	// LogWarn: something is not as it should be.
	LogWarn LogLevel = 2
	// LogInfo: what happens, in broad strokes.
	LogInfo LogLevel = 3
	// LogDebug: what happens, for those who look for a mistake.
	LogDebug LogLevel = 4
	// LogTrace: everything.
	LogTrace LogLevel = 5
)

// LogFunction takes one message: its level, the part of the library that it comes from, and the text.
type LogFunction func(level LogLevel, target, message string)

var logHooks registry[LogFunction]

// logSet is held while the log is set.
var logSet struct {
	mutex   sync.Mutex
	current uintptr
}

// SetLog sends what the library logs to function, up to level; nil turns the log off, as it is in the beginning. There is one such function in
// a process, called on any thread and on several at once. Once this returns, the one before is not called any more. No message
// holds media, transcripts or answers. It fails with InvalidArgument when it is called from the function, and with Overloaded while
// another SetLog runs.
func SetLog(level LogLevel, function LogFunction) error {
	l, err := load()
	if err != nil {
		return err
	}
	// Not Lock: a function that calls this while another goroutine waits for that function to end would wait for ever.
	if !logSet.mutex.TryLock() {
		return newError(Overloaded, "the log is being set elsewhere; try again")
	}
	defer logSet.mutex.Unlock()
	var callback, hook uintptr
	if function != nil {
		callback = logCallback()
		hook = logHooks.add(function)
	}
	if err := l.failure(context.Background(), l.functions.SetLog(callback, hook, uint32(level))); err != nil {
		logHooks.remove(hook)
		return err
	}
	logHooks.remove(logSet.current)
	logSet.current = hook
	return nil
}

// logCallback is made once: such functions are never freed.
var logCallback = sync.OnceValue(func() uintptr { return purego.NewCallback(onLog) })

// onLog must not unwind into the library: a panic ends the program on a goroutine of its own, as it does on any.
var onLog logFunction = func(userdata uintptr, level uint32, target, message *byte) {
	function, there := logHooks.get(userdata)
	if !there {
		return
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		reason := recover()
		go func() { panic(reason) }()
		select {}
	}()
	function(LogLevel(level), textAt(target), textAt(message))
	returned = true
}
