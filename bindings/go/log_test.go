package emotionllama

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestTheLogIsTold(t *testing.T) {
	nothingLeft(t)
	defer SetLog(LogError, nil)
	var mutex sync.Mutex
	messages := 0
	var inside error
	err := SetLog(LogTrace, func(level LogLevel, target, message string) {
		again := SetLog(LogTrace, nil)
		mutex.Lock()
		defer mutex.Unlock()
		if level < LogError || level > LogTrace || target == "" || message == "" {
			t.Errorf("%d %q %q", level, target, message)
		}
		messages++
		inside = again
	})
	if err != nil {
		t.Fatal(err)
	}
	// Some of it comes from threads of the library.
	must(model(t).Analyze(context.Background(), quick(t)))(t)
	for _, err := range model(t).Stream(context.Background(), quick(t)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := SetLog(LogTrace, nil); err != nil {
		t.Fatal(err)
	}
	mutex.Lock()
	defer mutex.Unlock()
	if messages == 0 || !errors.Is(inside, InvalidArgument) {
		t.Errorf("%d messages; setting the log from its function: %v", messages, inside)
	}
	before := messages
	mutex.Unlock()
	must(model(t).Analyze(context.Background(), quick(t)))(t)
	mutex.Lock()
	if messages != before {
		t.Errorf("%d messages after the log was turned off", messages-before)
	}
	if err := SetLog(9, func(LogLevel, string, string) {}); !errors.Is(err, InvalidArgument) {
		t.Errorf("%v", err)
	}
	if len(logHooks.values) != 0 {
		t.Errorf("%d log functions are left", len(logHooks.values))
	}
}
