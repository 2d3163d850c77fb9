package emotionllama

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

func TestAClipIsAnalysed(t *testing.T) {
	nothingLeft(t)
	request := Request{VideoPath: clipPath(t), Task: Reason, Transcript: TranscriptNone, Greedy: true, MaxNewTokens: 40}
	result, err := model(t).Analyze(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	if result.Emotion != "angry" || !strings.Contains(result.Response, "angry") || result.Explanation == "" {
		t.Errorf("%s: %s", result.Emotion, result.Response)
	}
	if !result.Confidence.Known() || float64(result.Confidence) != result.Probabilities.Of("angry") {
		t.Errorf("confidence %v, probabilities %v", result.Confidence, result.Probabilities)
	}
	if len(result.Faces) != 1 || result.Faces[0].Box.Width <= 0 || result.Frame == nil || result.Frame.Face == nil {
		t.Errorf("faces %v, frame %v", result.Faces, result.Frame)
	}
	if len(result.Cues) == 0 || result.Cues[0].Name == "" || result.Usage.PromptTokens == 0 || result.TimingsMS.Total <= 0 {
		t.Errorf("cues %v, usage %v, timings %v", result.Cues, result.Usage, result.TimingsMS)
	}
	if result.Model.Name != defaultPack || len(result.Model.Digest) != 64 {
		t.Errorf("model %v", result.Model)
	}
	var raw map[string]any
	if err := json.Unmarshal(result.Raw, &raw); err != nil || raw["emotion"] != "angry" {
		t.Errorf("%v: %s", err, result.Raw)
	}
}

func TestTheSameBytesGiveTheSameResultHoweverTheyCome(t *testing.T) {
	nothingLeft(t)
	data := beginning(t)
	path := filepath.Join(t.TempDir(), "clip – 😀.flv")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var first *Analysis
	for name, change := range map[string]func(*Request){
		"bytes":          func(*Request) {},
		"path":           func(r *Request) { r.Data, r.VideoPath = nil, path },
		"file":           func(r *Request) { r.Data, r.Video = nil, file },
		"buffer":         func(r *Request) { r.Data, r.Video = nil, bytes.NewBuffer(data) },
		"byte by byte":   func(r *Request) { r.Data, r.Video = nil, iotest.OneByteReader(bytes.NewReader(data)) },
		"within a limit": func(r *Request) { r.Limits = &Limits{MaxBytes: uint64(len(data))} },
	} {
		request := quick(t)
		change(&request)
		result, err := model(t).Analyze(context.Background(), request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if first == nil {
			first = result
		}
		if result.Response != first.Response || !reflect.DeepEqual(result.Probabilities, first.Probabilities) {
			t.Errorf("%s: %s %v, not %s %v", name, result.Response, result.Probabilities, first.Response, first.Probabilities)
		}
	}
}

func TestFailuresAreTyped(t *testing.T) {
	nothingLeft(t)
	broken := errors.New("the wire broke")
	live := must(NewLive(LiveOptions{}))(t)
	defer live.Close()
	for name, c := range map[string]struct {
		request Request
		code    Code
		is      error
		words   string
	}{
		"a file that is not there":     {Request{VideoPath: "/no/such/clip.mp4"}, NotFound, fs.ErrNotExist, "/no/such/clip.mp4"},
		"bytes that are no media":      {Request{Data: []byte("no media")}, MediaUndecodable, MediaUndecodable, ""},
		"no bytes":                     {Request{Data: []byte{}}, MediaUndecodable, MediaUndecodable, ""},
		"an empty reader":              {Request{Video: strings.NewReader("")}, MediaUndecodable, MediaUndecodable, ""},
		"a reader that fails":          {Request{Video: iotest.ErrReader(broken)}, MediaUndecodable, broken, "the wire broke"},
		"a reader beyond the limit":    {Request{Video: endless{}, Limits: &Limits{MaxBytes: 1000}}, MediaTooLarge, MediaTooLarge, "max_bytes"},
		"no clip":                      {Request{}, InvalidArgument, InvalidArgument, "no clip"},
		"two clips":                    {Request{VideoPath: "a", Data: []byte("b")}, InvalidArgument, InvalidArgument, "one of them"},
		"a path that is not UTF-8":     {Request{VideoPath: "/\xff.mp4"}, InvalidArgument, InvalidArgument, "UTF-8"},
		"an empty live buffer":         {Request{Live: live}, InvalidArgument, InvalidArgument, ""},
		"the last seconds of a file":   {Request{VideoPath: "a", Last: time.Second}, InvalidArgument, InvalidArgument, "seconds"},
		"a task that there is not":     {Request{VideoPath: "a", Task: "guess"}, InvalidArgument, InvalidArgument, "guess"},
		"a temperature that cannot be": {Request{VideoPath: "a", Temperature: Ptr(-1.0)}, InvalidArgument, InvalidArgument, "temperature"},
		"a number that JSON has not":   {Request{VideoPath: "a", TopP: math.NaN()}, InvalidArgument, InvalidArgument, "JSON"},
		"labels that leave no choice":  {Request{VideoPath: "a", Labels: []string{}}, InvalidArgument, InvalidArgument, "label"},
		"a frame before the beginning": {Request{VideoPath: "a", Frame: FrameAt(-time.Second)}, InvalidArgument, InvalidArgument, "frame"},
	} {
		_, err := model(t).Analyze(context.Background(), c.request)
		var failure *Error
		if !errors.As(err, &failure) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if failure.Code != c.code || failure.Name != c.code.String() || !errors.Is(err, c.code) || !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, Internal) || failure.Message == "" || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
		for event, streamed := range model(t).Stream(context.Background(), c.request) {
			if streamed != nil && !errors.Is(streamed, c.code) {
				t.Errorf("%s, streamed: %v %v", name, event, streamed)
			}
		}
	}
}

// endless is read for ever.
type endless struct{}

func (endless) Read(into []byte) (int, error) { return len(into), nil }

func TestEventsComeInOrder(t *testing.T) {
	nothingLeft(t)
	request := quick(t)
	request.Task = Reason
	events := model(t).Stream(context.Background(), request)
	for range 2 {
		var stages []string
		var label Event
		var text strings.Builder
		var result *Analysis
		for event, err := range events {
			if err != nil {
				t.Fatal(err)
			}
			if result != nil {
				t.Errorf("%v after the result", event)
			}
			switch event.Type {
			case EventStage:
				stages = append(stages, event.Stage)
			case EventLabel:
				if text.Len() > 0 {
					t.Errorf("%v after the text", event)
				}
				label = event
			case EventText:
				text.WriteString(event.Text)
			case EventResult:
				result = event.Analysis
			default:
				t.Errorf("%v", event)
			}
			if len(event.Raw) == 0 {
				t.Errorf("%v has no Raw", event)
			}
		}
		if !reflect.DeepEqual(stages, []string{StageDecode, StageObserve, StageRespond}) {
			t.Errorf("%v", stages)
		}
		if result == nil || text.String() != result.Response || result.Response == "" {
			t.Fatalf("%q, %v", text.String(), result)
		}
		if label.Emotion != result.Emotion || label.Confidence != float64(result.Confidence) || !reflect.DeepEqual(label.Probabilities, result.Probabilities) {
			t.Errorf("%v, %v", label, result)
		}
	}
}

func TestLeavingTheLoopStopsTheAnalysis(t *testing.T) {
	nothingLeft(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 3 {
		for _, err := range model(t).Stream(ctx, Request{VideoPath: clipPath(t)}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	func() {
		defer func() {
			if got := recover(); got != "in the loop" {
				t.Errorf("%v", got)
			}
		}()
		for range model(t).Stream(ctx, Request{VideoPath: clipPath(t)}) {
			panic("in the loop")
		}
	}()
	next, stop := iter.Pull2(model(t).Stream(ctx, Request{VideoPath: clipPath(t)}))
	if event, err, there := next(); !there || err != nil || event.Stage != StageDecode {
		t.Errorf("%v %v %v", event, err, there)
	}
	stop()
}

func TestAContextStopsTheWork(t *testing.T) {
	nothingLeft(t)
	client := model(t)
	request := Request{VideoPath: clipPath(t), Task: Reason}
	why := errors.New("the user left")

	ended, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	_, err := client.Analyze(ended, request)
	wantCancelled(t, "before", err, why)
	_, err = client.Session(ended, request)
	wantCancelled(t, "session before", err, why)
	_, err = Open(ended, Options{Pack: packPath(t)})
	wantCancelled(t, "open before", err, why)

	for _, stage := range []string{StageDecode, StageObserve, StageRespond} {
		ctx, cancel := context.WithCancelCause(context.Background())
		var last error
		for event, err := range client.Stream(ctx, request) {
			if event.Stage == stage {
				cancel(why)
			}
			if event.Type == EventResult {
				t.Errorf("cancelled at %s, it gave a result", stage)
			}
			last = err
		}
		cancel(nil)
		wantCancelled(t, stage, last, why)
	}

	// The reader is asked for a clip that never ends; the context ends meanwhile.
	ctx, cancel := context.WithCancelCause(context.Background())
	request = Request{Video: readerFunc(func(into []byte) (int, error) {
		cancel(why)
		return len(into), nil
	})}
	_, err = client.Analyze(ctx, request)
	wantCancelled(t, "reading", err, why)
}

func wantCancelled(t *testing.T, when string, err, why error) {
	t.Helper()
	if !errors.Is(err, Cancelled) || !errors.Is(err, context.Canceled) || !errors.Is(err, why) || errors.Is(err, Timeout) {
		t.Errorf("%s: %v", when, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(into []byte) (int, error) { return f(into) }

func TestADeadlineIsATimeout(t *testing.T) {
	nothingLeft(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var err error
	for err == nil {
		_, err = model(t).Analyze(ctx, Request{VideoPath: clipPath(t), Task: Reason})
	}
	if !errors.Is(err, Timeout) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, Cancelled) {
		t.Errorf("%v", err)
	}
}

func TestOneClientServesManyGoroutines(t *testing.T) {
	nothingLeft(t)
	request := quick(t)
	results := make([]*Analysis, 8)
	var all sync.WaitGroup
	for i := range results {
		all.Add(1)
		go func() {
			defer all.Done()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			result, err := model(t).Analyze(ctx, request)
			if err != nil {
				t.Error(err)
				return
			}
			results[i] = result
		}()
	}
	all.Wait()
	for _, result := range results {
		if result == nil || result.Response != results[0].Response {
			t.Fatalf("%v, not %v", result, results[0])
		}
	}
}

func TestALoadTellsHowFarItIs(t *testing.T) {
	nothingLeft(t)
	var last, whole uint64
	client, err := Open(context.Background(), Options{Pack: packPath(t), Threads: 1, Progress: func(done, total uint64) {
		if done < last {
			t.Errorf("%d after %d", done, last)
		}
		last, whole = done, total
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if last == 0 || last != whole {
		t.Errorf("the last was %d of %d", last, whole)
	}
	info, err := client.Info()
	if err != nil {
		t.Fatal(err)
	}
	version, err := Version()
	if err != nil || info.Version != version || info.ABIVersion != abiVersion || info.Pack.Name != defaultPack {
		t.Errorf("%+v, %s, %v", info, version, err)
	}
	if info.Threads != 1 || len(info.Labels) < 2 || len(info.Pack.Digest) != 64 || len(info.Raw) == 0 {
		t.Errorf("%+v", info)
	}
}

func TestALoadIsStopped(t *testing.T) {
	nothingLeft(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Open(ctx, Options{Pack: packPath(t), Progress: func(done, total uint64) { cancel() }})
	if !errors.Is(err, Cancelled) || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	defer func() {
		if got := recover(); got != "in the load" {
			t.Errorf("%v", got)
		}
		if len(loads.values) != 0 {
			t.Errorf("%d loads are left", len(loads.values))
		}
	}()
	Open(context.Background(), Options{Pack: packPath(t), Progress: func(done, total uint64) { panic("in the load") }})
	t.Error("the panic was swallowed")
}

func TestThreadsAreSet(t *testing.T) {
	nothingLeft(t)
	defer SetThreadCount(0)
	if err := SetThreadCount(1); err != nil {
		t.Fatal(err)
	}
	client, err := Open(context.Background(), Options{Pack: packPath(t), SkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if info, err := client.Info(); err != nil || info.Threads != 1 {
		t.Errorf("%v %v", info, err)
	}
	if err := SetThreadCount(-1); !errors.Is(err, InvalidArgument) {
		t.Errorf("%v", err)
	}
}

func TestOpeningFails(t *testing.T) {
	nothingLeft(t)
	for name, c := range map[string]struct {
		options Options
		code    Code
	}{
		"a pack that is not there":         {Options{Pack: "/no/such/pack"}, NotFound},
		"a name that is not there":         {Options{Pack: "no-such-pack", Search: []string{t.TempDir()}}, NotFound},
		"a pack and a server":              {Options{Pack: packPath(t), APIURL: "http://localhost:1"}, InvalidArgument},
		"an address without its scheme":    {Options{APIURL: "localhost:1"}, InvalidArgument},
		"a server where nobody listens":    {Options{APIURL: "http://127.0.0.1:1"}, Unreachable},
		"more threads than there ever are": {Options{Pack: packPath(t), Threads: 5000}, InvalidArgument},
	} {
		client, err := Open(context.Background(), c.options)
		if client != nil || !errors.Is(err, c.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsClosedIsClosed(t *testing.T) {
	nothingLeft(t)
	client := must(Open(context.Background(), Options{Pack: packPath(t)}))(t)
	session := must(client.Session(context.Background(), Request{Data: beginning(t), Transcript: TranscriptNone}))(t)
	live := must(NewLive(LiveOptions{}))(t)
	running := client.Stream(context.Background(), quick(t))
	done := false
	for event, err := range running {
		if err != nil {
			t.Fatal(err)
		}
		if event.Stage == StageDecode {
			for range 2 {
				for _, closer := range []io.Closer{client, session, live} {
					if err := closer.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		}
		done = event.Type == EventResult
	}
	if !done {
		t.Error("an analysis did not outlive its client's Close")
	}
	_, analyzed := client.Analyze(context.Background(), quick(t))
	_, informed := client.Info()
	_, began := client.Session(context.Background(), quick(t))
	_, asked := session.Ask(context.Background(), Request{})
	_, held := live.Info()
	_, used := model(t).Analyze(context.Background(), Request{Live: live})
	failures := []error{
		analyzed, informed, began, asked, held, used, session.Reset(), live.Clear(), live.PushInt16(make([]int16, 10), 16000, 1, 0),
	}
	for _, err := range running {
		failures = append(failures, err)
	}
	for _, err := range session.AskStream(context.Background(), Request{}) {
		failures = append(failures, err)
	}
	if len(failures) != 11 {
		t.Errorf("%d failures", len(failures))
	}
	for i, err := range failures {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, InvalidArgument) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestClosingWhileCallsBegin(t *testing.T) {
	nothingLeft(t)
	for range 3 {
		client := must(Open(context.Background(), Options{Pack: packPath(t), SkipVerify: true}))(t)
		request := quick(t)
		var all sync.WaitGroup
		for range 4 {
			all.Add(2)
			go func() {
				defer all.Done()
				if _, err := client.Analyze(context.Background(), request); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}()
			go func() {
				defer all.Done()
				client.Close()
			}()
		}
		all.Wait()
	}
}

func TestWhatIsForgottenIsFreed(t *testing.T) {
	nothingLeft(t)
	before := openHandles.Load()
	func() {
		client := must(Open(context.Background(), Options{Pack: packPath(t), SkipVerify: true}))(t)
		must(client.Session(context.Background(), Request{Data: beginning(t), Transcript: TranscriptNone}))(t)
		must(NewLive(LiveOptions{}))(t)
		if openHandles.Load() != before+3 {
			t.Errorf("%d handles, then %d", before, openHandles.Load())
		}
	}()
	eventually(t, "they are freed", func() bool {
		runtime.GC()
		return openHandles.Load() == before
	})
}

func TestAForgottenClientFinishesItsCall(t *testing.T) {
	nothingLeft(t)
	before := openHandles.Load()
	client := must(Open(context.Background(), Options{Pack: packPath(t), SkipVerify: true}))(t)
	running := client.Stream(context.Background(), quick(t))
	begun, collected := make(chan struct{}), make(chan struct{})
	go func() {
		<-begun
		for range 10 {
			runtime.GC()
		}
		close(collected)
	}()
	result := make(chan error, 1)
	go func() {
		_, err := client.Analyze(context.Background(), quick(t))
		client = nil
		result <- err
	}()
	for event, err := range running {
		if err != nil {
			t.Error(err)
		}
		if event.Stage == StageDecode {
			running = nil
			close(begun)
			<-collected
		}
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	eventually(t, "it is freed", func() bool {
		runtime.GC()
		return openHandles.Load() == before
	})
}

func TestManyAnalyses(t *testing.T) {
	nothingLeft(t)
	count := 25
	if given := os.Getenv("EMOTION_LLAMA_ANALYSES"); given != "" {
		if _, err := fmt.Sscan(given, &count); err != nil {
			t.Fatal(err)
		}
	}
	// A small model: what is measured here is the binding.
	pack := os.Getenv("EMOTION_LLAMA_SMALL_PACK")
	if pack == "" {
		pack = packPath(t)
	}
	client := must(Open(context.Background(), Options{Pack: pack}))(t)
	defer client.Close()
	request := quick(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sizes []string
	began := time.Now()
	for i := range count {
		if i%2 == 0 {
			must(client.Analyze(ctx, request))(t)
		} else {
			for _, err := range client.Stream(ctx, request) {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if i == min(10, count-1) || i == count-1 {
			sizes = append(sizes, resident(t))
		}
	}
	fmt.Printf("go: %d analyses in %.1f s: %s resident after the eleventh and the last\n", count, time.Since(began).Seconds(), strings.Join(sizes, ", "))
}

// resident is how much of the machine's memory the process has.
func resident(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "an unknown size"
	}
	for line := range strings.Lines(string(text)) {
		if size, is := strings.CutPrefix(line, "VmRSS:"); is {
			return strings.TrimSpace(size)
		}
	}
	return "an unknown size"
}
