package emotionllama

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"

	"github.com/ebitengine/purego"
)

// abiVersion is the ABI that this package was written for.
const abiVersion = 1

// libraryVariable names the library's file.
const libraryVariable = "EMOTION_LLAMA_LIBRARY"

// library is libemotionllama, loaded.
type library struct {
	functions
	// path is the file it was loaded from; empty where that is not known.
	path string
}

var loaded struct {
	mutex   sync.Mutex
	library *library
}

// load loads the library when it is first called, and again after a failure. It is never unloaded: its threads may be running.
func load() (*library, error) {
	loaded.mutex.Lock()
	defer loaded.mutex.Unlock()
	if loaded.library == nil {
		found, err := find()
		if err != nil {
			return nil, err
		}
		loaded.library = found
	}
	return loaded.library, nil
}

// find looks where the package's documentation says.
func find() (*library, error) {
	if path := os.Getenv(libraryVariable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, newError(NotFound, fmt.Sprintf("%s is %s, which is not there", libraryVariable, path), ErrLibrary, err)
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, newError(NotFound, fmt.Sprintf("%s is %s: %v", libraryVariable, path, err), ErrLibrary, err)
		}
		return open(absolute)
	}
	if program, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(program); err == nil {
			program = resolved
		}
		for _, place := range []string{".", "lib", "../lib"} {
			path := filepath.Join(filepath.Dir(program), place, libraryName)
			if _, err := os.Stat(path); err == nil {
				return open(path)
			}
		}
	}
	return open(libraryName)
}

// open loads a file, or a name that the system's loader looks for.
func open(name string) (*library, error) {
	refused := func(code Code, format string, arguments ...any) error {
		return newError(code, fmt.Sprintf(format, arguments...), ErrLibrary)
	}
	image, err := openImage(name)
	switch {
	case err != nil && !filepath.IsAbs(name):
		return nil, refused(NotFound, "%v; name libemotionllama's file in %s, put it beside the program, or install it where "+
			"the system's loader looks", err, libraryVariable)
	case err != nil:
		return nil, refused(InvalidArgument, "%v", err)
	}

	version, err := symbol(image, "emotion_llama_abi_version")
	if err != nil {
		return nil, refused(InvalidArgument, "%s is not libemotionllama: %v", name, err)
	}
	l := &library{}
	purego.RegisterFunc(&l.ABIVersion, version)
	if found := l.ABIVersion(); found != abiVersion {
		return nil, refused(InvalidArgument, "%s has ABI version %d; this package needs %d", name, found, abiVersion)
	}
	table := reflect.ValueOf(&l.functions).Elem()
	for i := range table.NumField() {
		function := table.Type().Field(i).Tag.Get("c")
		address, err := symbol(image, function)
		if err != nil {
			return nil, refused(InvalidArgument, "%s has no %s; it is older than this package (%s)", name, function, l.versionOf(image))
		}
		purego.RegisterFunc(table.Field(i).Addr().Interface(), address)
	}
	l.path = imagePath(version)
	return l, nil
}

func (l *library) versionOf(image uintptr) string {
	address, err := symbol(image, "emotion_llama_version")
	if err != nil {
		return "no version"
	}
	purego.RegisterFunc(&l.functions.Version, address)
	return l.functions.Version()
}

// taken takes a text over: a copy of it, or nil for nil.
func (f *functions) taken(text *nativeText) []byte {
	if text == nil {
		return nil
	}
	defer f.TextFree(text)
	return bytesAt(f.TextData(text), f.TextLength(text))
}

// Version gives the version of the library that was loaded, for example "0.1.0".
func Version() (string, error) {
	l, err := load()
	if err != nil {
		return "", err
	}
	return l.functions.Version(), nil
}

// LibraryPath gives the file that the library was loaded from.
func LibraryPath() (string, error) {
	l, err := load()
	if err != nil {
		return "", err
	}
	return l.path, nil
}

// SetThreadCount sets how many threads each call computes with, for clients that are opened later and whose options do not say it.
// 0, as in the beginning, is one per processor.
func SetThreadCount(threads int) error {
	if threads < 0 || int64(threads) > int64(^uint32(0)) {
		return newError(InvalidArgument, fmt.Sprintf("%d threads cannot be; give 0 or more", threads))
	}
	l, err := load()
	if err != nil {
		return err
	}
	l.functions.SetThreadCount(uint32(threads))
	return nil
}

func unsupported() error {
	return newError(NotFound, "there is no libemotionllama for "+runtime.GOOS, ErrLibrary)
}
