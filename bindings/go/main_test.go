package emotionllama

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// As a child, the test program does what this names and ends; see child_test.go.
const childVariable = "EMOTION_LLAMA_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		children[name]()
		fmt.Println("done")
		return
	}
	code := m.Run()
	shared.mutex.Lock()
	if shared.client != nil {
		shared.client.Close()
		if left := openHandles.Load(); left != 0 {
			fmt.Printf("FAIL: %d handles of the library are left\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// quick is a request that is answered soon: only the sound of a clip, and few words.
func quick(t testing.TB) Request {
	t.Helper()
	return Request{Data: beginning(t), Transcript: TranscriptNone, Greedy: true, MaxNewTokens: 8}
}

// beginning is so much of a clip that it has sound and no picture.
func beginning(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(clipPath(t))
	if err != nil {
		t.Fatal(err)
	}
	return data[:20000]
}

func clipPath(t testing.TB) string {
	t.Helper()
	clips := os.Getenv("EMOTION_LLAMA_CLIPS")
	if clips == "" {
		clips = filepath.Join(repository(t), "build/clips")
	}
	return filepath.Join(clips, "1001_DFA_ANG_XX.flv")
}

func packPath(t testing.TB) string {
	t.Helper()
	if pack := os.Getenv(packVariable); pack != "" {
		return pack
	}
	return filepath.Join(repository(t), "build/packs", defaultPack)
}

var shared struct {
	mutex  sync.Mutex
	client *Client
}

// model is one client for all tests.
func model(t testing.TB) *Client {
	t.Helper()
	shared.mutex.Lock()
	defer shared.mutex.Unlock()
	if shared.client == nil {
		client, err := Open(context.Background(), Options{Pack: packPath(t)})
		if err != nil {
			t.Fatal(err)
		}
		shared.client = client
	}
	return shared.client
}

// patience is how long something that must happen is waited for.
const patience = 3 * time.Minute

// eventually waits until held is true.
func eventually(t testing.TB, what string, held func() bool) {
	t.Helper()
	for began := time.Now(); !held(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// nothingLeft fails the test if it leaves handles or goroutines behind.
func nothingLeft(t testing.TB) {
	t.Helper()
	model(t)
	handles, goroutines := openHandles.Load(), runtime.NumGoroutine()
	t.Cleanup(func() {
		eventually(t, "handles and goroutines are as many as before", func() bool {
			return openHandles.Load() == handles && runtime.NumGoroutine() <= goroutines
		})
	})
}

// must gives a value, or ends the test: must(f())(t).
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
