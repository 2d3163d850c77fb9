package emotionllama

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the test program does as a child, by name. What is after is in its environment.
var children = map[string]func(){
	"exit while calls run": func() {
		client := childClient()
		begin(client, 3)
		os.Exit(7)
	},
	"return while calls run": func() {
		begin(childClient(), 3)
	},
	"panic while calls run": func() {
		begin(childClient(), 3)
		panic("on purpose")
	},
	"forget while calls run": func() {
		begin(childClient(), 3)
		for range 20 {
			runtime.GC()
		}
	},
	"panic in the log": func() {
		err := SetLog(LogTrace, func(LogLevel, string, string) { panic("in the log") })
		if err != nil {
			panic(err)
		}
		defer func() {
			// The panic must not be caught here: it would have passed through the library.
			recover()
		}()
		client := childClient()
		client.Analyze(context.Background(), Request{VideoPath: os.Getenv("CLIP")})
		select {}
	},
	"open": func() {
		client, err := Open(context.Background(), Options{})
		var failure *Error
		if errors.As(err, &failure) {
			fmt.Printf("%s, library: %v, %s\n", failure.Name, errors.Is(err, ErrLibrary), failure.Message)
			return
		}
		if err != nil {
			panic(err)
		}
		path, err := LibraryPath()
		info, informed := client.Info()
		fmt.Println(path, err, info.Pack.Name, informed)
	},
}

func childClient() *Client {
	client, err := Open(context.Background(), Options{Pack: os.Getenv("PACK")})
	if err != nil {
		panic(err)
	}
	return client
}

// begin returns when count analyses run.
func begin(client *Client, count int) {
	began := make(chan struct{})
	for range count {
		go func() {
			for event, err := range client.Stream(context.Background(), Request{VideoPath: os.Getenv("CLIP"), Task: Reason}) {
				if err != nil {
					panic(err)
				}
				if event.Stage == StageObserve {
					began <- struct{}{}
				}
			}
		}()
	}
	for range count {
		<-began
	}
}

// child runs program as a child; it gives its exit status and what it printed.
func child(t *testing.T, program, name string, environment ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	command := exec.CommandContext(ctx, program)
	command.Env = append(slices.Clone(os.Environ()), childVariable+"="+name, "PACK="+packPath(t), "CLIP="+clipPath(t))
	command.Env = append(command.Env, environment...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	command.WaitDelay = time.Second
	err := command.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s: it hangs: %s", name, output.String())
	}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), output.String()
}

func TestAProgramEndsWhileCallsRun(t *testing.T) {
	program := must(os.Executable())(t)
	for _, c := range []struct {
		name  string
		code  int
		words string
	}{
		{"exit while calls run", 7, ""},
		{"return while calls run", 0, "done\n"},
		{"panic while calls run", 2, "panic: on purpose"},
		{"forget while calls run", 0, "done\n"},
		{"panic in the log", 2, "panic: in the log"},
	} {
		for range 2 {
			code, output := child(t, program, c.name)
			if code != c.code || !strings.Contains(output, c.words) {
				t.Errorf("%s: status %d: %s", c.name, code, output)
			}
		}
	}
}

func TestLibraryAndPackAreFound(t *testing.T) {
	library := must(LibraryPath())(t)
	program := must(os.Executable())(t)
	place := t.TempDir()
	link := func(target string, path ...string) {
		t.Helper()
		at := filepath.Join(append([]string{place}, path...)...)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	// The library, with the libraries that it finds beside itself.
	install := func(path ...string) {
		t.Helper()
		for _, file := range must(filepath.Glob(filepath.Join(filepath.Dir(library), "lib*.so*")))(t) {
			link(file, append(slices.Clone(path), filepath.Base(file))...)
		}
	}
	// A program with everything beside it. The program is copied: a link would be followed.
	copied := filepath.Join(place, "app", "program")
	if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, must(os.ReadFile(program))(t), 0o700); err != nil {
		t.Fatal(err)
	}
	install("app", "lib")
	link(must(filepath.Abs(packPath(t)))(t), "app", "lib", "packs", defaultPack)
	// An installation, as make install makes it.
	install("prefix", "lib")
	link(must(filepath.Abs(packPath(t)))(t), "prefix", "share/emotion-llama/packs", defaultPack)
	install("bare")
	text := filepath.Join(place, "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}

	none := []string{libraryVariable + "=", packVariable + "=", "LD_LIBRARY_PATH="}
	at := func(path ...string) string { return filepath.Join(append([]string{place}, path...)...) }
	for name, c := range map[string]struct {
		program     string
		environment []string
		words       string
	}{
		"beside the program": {copied, nil, at("app/lib", libraryName) + " <nil> emotion-llama-mini <nil>"},
		"named, with its packs": {
			program, []string{libraryVariable + "=" + at("prefix/lib", libraryName)},
			at("prefix/lib", libraryName) + " <nil> emotion-llama-mini <nil>",
		},
		"named before beside": {
			copied, []string{libraryVariable + "=" + at("bare", libraryName), packVariable + "=" + packPath(t)},
			at("bare", libraryName) + " <nil> emotion-llama-mini <nil>",
		},
		"the system's loader": {
			program, []string{"LD_LIBRARY_PATH=" + at("prefix/lib")}, at("prefix/lib", libraryName) + " <nil> emotion-llama-mini <nil>",
		},
		"no pack":           {program, []string{libraryVariable + "=" + at("bare", libraryName)}, "not_found, library: false, the built-in model"},
		"no library":        {program, nil, "not_found, library: true"},
		"a named file gone": {program, []string{libraryVariable + "=/no/such/file.so"}, "not_found, library: true"},
		"no library inside": {program, []string{libraryVariable + "=" + text}, "invalid_argument, library: true"},
		"another library":   {program, []string{libraryVariable + "=" + systemLibrary(t)}, "is not libemotionllama"},
	} {
		code, output := child(t, c.program, "open", append(slices.Clone(none), c.environment...)...)
		if code != 0 || !strings.Contains(output, c.words) {
			t.Errorf("%s: status %d: %s", name, code, output)
		}
	}
}

// systemLibrary is a library that every program here has.
func systemLibrary(t *testing.T) string {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("there is no list of the libraries that are loaded")
	}
	for line := range strings.Lines(string(maps)) {
		if fields := strings.Fields(line); len(fields) == 6 && strings.HasPrefix(filepath.Base(fields[5]), "libc.so") {
			return fields[5]
		}
	}
	t.Fatal("there is no libc")
	return ""
}

func TestAnotherABIIsRefused(t *testing.T) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler to make such a library with")
	}
	for source, words := range map[string]string{
		"unsigned emotion_llama_abi_version(void) { return 99; }": "has ABI version 99; this package needs 1",
		`unsigned emotion_llama_abi_version(void) { return 1; }
		 const char *emotion_llama_version(void) { return "0.0.1"; }`: "it is older than this package (0.0.1)",
	} {
		file := filepath.Join(t.TempDir(), "old.so")
		command := exec.Command(compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", file)
		command.Stdin = strings.NewReader(source)
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		code, output := child(t, must(os.Executable())(t), "open", libraryVariable+"="+file)
		if code != 0 || !strings.Contains(output, words) || !strings.Contains(output, "invalid_argument, library: true") {
			t.Errorf("status %d: %s", code, output)
		}
	}
}
