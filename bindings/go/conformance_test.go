package emotionllama

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// conformanceCase is a file of conformance/cases; conformance/README.md says what its fields mean.
type conformanceCase struct {
	Name           string
	About          string
	Modes          []string
	Call           string
	Open           json.RawMessage
	Clip           *conformanceClip
	Request        json.RawMessage
	Cancel         string
	Concurrent     int
	Questions      []conformanceQuestion
	TypesMayRefuse bool `json:"types_may_refuse"`
	Expect         expectation
}

type conformanceQuestion struct {
	Request json.RawMessage
	Reset   bool
	Expect  expectation
}

// expectation has what is expected by name: that a name is there with null is something else than that it is not there.
type expectation map[string]json.RawMessage

type conformanceClip struct {
	Path    string
	BytesOf string `json:"bytes_of"`
	First   int
	Base64  *[]byte
	Live    *conformanceLive
}

type conformanceLive struct {
	Options struct {
		Seconds            float64
		MaxSide            int     `json:"max_side"`
		MaxFramesPerSecond float64 `json:"max_frames_per_second"`
	}
	Pictures *struct {
		Format        string
		Width, Height int
		Count         int
		PerSecond     float64 `json:"per_second"`
	}
	Sound *struct {
		Format         string
		Rate, Channels int
		Seconds        float64
		Pieces         int
	}
	Seconds float64
	Info    map[string]float64
}

// errRefused is a case that cannot be written with the types of Go.
var errRefused = errors.New("the types do not let it be written")

func TestConformance(t *testing.T) {
	paths := must(filepath.Glob(filepath.Join(repository(t), "conformance/cases/*.json")))(t)
	if len(paths) == 0 {
		t.Fatal("there are no cases")
	}
	slices.Sort(paths)
	for _, mode := range []string{"embedded", "server"} {
		places := map[string]string{
			"${pack}":  packPath(t),
			"${clips}": filepath.Dir(clipPath(t)),
			"${files}": filepath.Join(repository(t), "conformance/files"),
		}
		places["${source}"] = places["${pack}"]
		if mode == "server" {
			places["${server}"] = conformanceServer(t)
			places["${source}"] = places["${server}"]
			if places["${server}"] == "" {
				fmt.Println("SKIPPED: there is no python3, so no case is run against the server")
				continue
			}
		}
		runner := &conformanceRunner{client: must(Open(context.Background(), conformanceOptions(t, places["${source}"])))(t)}
		for _, path := range paths {
			text := string(must(os.ReadFile(path))(t))
			for place, what := range places {
				quoted := string(must(json.Marshal(what))(t))
				text = strings.ReplaceAll(text, place, quoted[1:len(quoted)-1])
			}
			var c conformanceCase
			if err := strictly(json.RawMessage(text), &c); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			outcome := "-"
			if c.Modes == nil || slices.Contains(c.Modes, mode) {
				outcome = runner.outcome(&c)
			}
			fmt.Printf("go %s %s %s\n", mode, c.Name, outcome)
			if strings.HasPrefix(outcome, "FAILED") {
				t.Errorf("%s %s %s", mode, c.Name, outcome)
			}
		}
		runner.client.Close()
	}
}

func conformanceOptions(t *testing.T, source string) Options {
	if strings.Contains(source, "://") {
		return Options{APIURL: source}
	}
	return Options{Pack: source}
}

// conformanceServer gives the URL of a server, which ends with the test; none without Python.
func conformanceServer(t *testing.T) string {
	if server := os.Getenv("EMOTION_LLAMA_SERVER"); server != "" {
		return server
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return ""
	}
	command := exec.Command(python, filepath.Join(repository(t), "conformance/server.py"))
	command.Stderr = os.Stderr
	input := must(command.StdinPipe())(t)
	output := must(command.StdoutPipe())(t)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		command.Wait()
	})
	line := must(bufio.NewReader(output).ReadString('\n'))(t)
	url, is := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !is {
		t.Fatalf("the server says %q", line)
	}
	return url
}

// strictly reads JSON with no field that is not known.
func strictly(text json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

type conformanceRunner struct {
	client *Client
}

func (r *conformanceRunner) outcome(c *conformanceCase) string {
	err := r.run(c)
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errRefused) && c.TypesMayRefuse:
		return "n/a " + err.Error()
	default:
		return "FAILED " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
}

// outcome is what a call gave.
type outcome struct {
	analysis *Analysis
	info     *Info
	events   []string
	err      error
}

func (r *conformanceRunner) run(c *conformanceCase) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := r.client
	if c.Open != nil {
		options, err := openOptions(c.Open)
		if err != nil {
			return err
		}
		opened, err := Open(ctx, options)
		if err != nil {
			return check(c.Expect, outcome{err: err})
		}
		defer opened.Close()
		client = opened
	}
	if c.Call == "open" {
		info, err := client.Info()
		return check(c.Expect, outcome{info: info, err: err})
	}
	request, err := requestOf(c.Request)
	if err != nil {
		return err
	}
	release, err := c.Clip.put(&request)
	if err != nil {
		return err
	}
	defer release()
	if c.Cancel == "before" {
		cancel()
	}
	switch c.Call {
	case "", "analyze":
		return r.analyze(ctx, c, client, request)
	case "stream":
		return check(c.Expect, gather(client.Stream(ctx, request), c.Cancel, cancel))
	case "session":
		session, err := client.Session(ctx, request)
		if err != nil {
			return check(c.Expect, outcome{err: err})
		}
		defer session.Close()
		for i, question := range c.Questions {
			if err := ask(ctx, session, question); err != nil {
				return fmt.Errorf("question %d: %w", i, err)
			}
		}
		return check(c.Expect, outcome{})
	}
	return fmt.Errorf("the runner does not know the call %q", c.Call)
}

func (r *conformanceRunner) analyze(ctx context.Context, c *conformanceCase, client *Client, request Request) error {
	results := make([]outcome, max(c.Concurrent, 1))
	var all sync.WaitGroup
	for i := range results {
		all.Add(1)
		go func() {
			defer all.Done()
			results[i].analysis, results[i].err = client.Analyze(ctx, request)
		}()
	}
	all.Wait()
	for _, result := range results {
		if err := check(c.Expect, result); err != nil {
			return err
		}
		if result.err != nil {
			continue
		}
		first := results[0].analysis
		if result.analysis.Response != first.Response {
			return fmt.Errorf("calls at once gave %q and %q", result.analysis.Response, first.Response)
		}
		for _, one := range first.Probabilities {
			if math.Abs(one.Value-result.analysis.Probabilities.Of(one.Label)) > 1e-5 {
				return fmt.Errorf("calls at once gave %v and %v", result.analysis.Probabilities, first.Probabilities)
			}
		}
	}
	return nil
}

func ask(ctx context.Context, session *Session, question conformanceQuestion) error {
	if question.Reset {
		if err := session.Reset(); err != nil {
			return err
		}
	}
	request, err := requestOf(question.Request)
	if err != nil {
		return err
	}
	analysis, err := session.Ask(ctx, request)
	return check(question.Expect, outcome{analysis: analysis, err: err})
}

// gather goes through events and checks what always holds; it cancels when the stage at begins.
func gather(events func(func(Event, error) bool), at string, cancel func()) outcome {
	var result outcome
	var label *Event
	var text strings.Builder
	events(func(event Event, err error) bool {
		switch {
		case err != nil:
			result.err = err
			return true
		case result.analysis != nil:
			result.err = fmt.Errorf("%s after the result", event.Type)
			return false
		}
		switch event.Type {
		case EventStage:
			if event.Stage != StageUpload {
				result.events = append(result.events, event.Stage)
			}
			if event.Stage == at {
				cancel()
			}
		case EventLabel:
			result.events = append(result.events, EventLabel)
			label = &event
		case EventText:
			text.WriteString(event.Text)
			if len(result.events) == 0 || result.events[len(result.events)-1] != EventText {
				result.events = append(result.events, EventText)
			}
		case EventResult:
			result.events = append(result.events, EventResult)
			result.analysis = event.Analysis
		}
		return true
	})
	if result.err == nil && result.analysis == nil {
		result.err = errors.New("the events ended without a result")
	}
	if result.err == nil && text.String() != result.analysis.Response {
		result.err = fmt.Errorf("the text was %q and the response %q", text.String(), result.analysis.Response)
	}
	if result.err == nil && label != nil {
		told := result.analysis
		if label.Emotion != told.Emotion || label.Confidence != float64(told.Confidence) || !slices.Equal(label.Probabilities, told.Probabilities) {
			result.err = fmt.Errorf("the label was told as %v, not as in %v", *label, *told)
		}
	}
	return result
}

// openOptions makes options of what the ABI takes.
func openOptions(text json.RawMessage) (Options, error) {
	var wire wireOptions
	if err := strictly(text, &wire); err != nil {
		return Options{}, fmt.Errorf("%w: %v", errRefused, err)
	}
	options := Options{
		Search: wire.Search, Threads: wire.Threads, APIKey: wire.APIKey, CAFile: wire.CAFile, Upload: wire.Upload,
		Timeout: seconds(wire.Timeout), ConnectTimeout: seconds(wire.ConnectTimeout), SkipVerify: wire.Verify != nil && !*wire.Verify,
	}
	if strings.Contains(wire.Source, "://") {
		options.APIURL = wire.Source
	} else {
		options.Pack = wire.Source
	}
	return options, nil
}

// requestOf makes a request of what the ABI takes.
func requestOf(text json.RawMessage) (Request, error) {
	if text == nil {
		return Request{}, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return Request{}, err
	}
	frame := fields["frame"]
	delete(fields, "frame")
	rest, err := json.Marshal(fields)
	if err != nil {
		return Request{}, err
	}
	var request Request
	if err := strictly(rest, &request); err != nil {
		return Request{}, fmt.Errorf("%w: %v", errRefused, err)
	}
	var name string
	var at float64
	switch {
	case frame == nil:
	case json.Unmarshal(frame, &at) == nil:
		request.Frame = FrameAt(seconds(at))
	case json.Unmarshal(frame, &name) == nil:
		named := map[string]FramePick{"peak": FramePeak, "first": FrameFirst, "middle": FrameMiddle}
		pick, there := named[name]
		if !there {
			return Request{}, fmt.Errorf("%w: there is no frame %q", errRefused, name)
		}
		request.Frame = pick
	}
	return request, nil
}

func seconds(given float64) time.Duration { return time.Duration(math.Round(given * 1e9)) }

// put gives the request its clip.
func (c *conformanceClip) put(request *Request) (release func(), err error) {
	release = func() {}
	switch {
	case c == nil:
	case c.Path != "":
		request.VideoPath = c.Path
	case c.Base64 != nil:
		request.Data = *c.Base64
	case c.BytesOf != "":
		if request.Data, err = os.ReadFile(c.BytesOf); err == nil && c.First > 0 {
			request.Data = request.Data[:c.First]
		}
	case c.Live != nil:
		live, err := c.Live.make()
		if err != nil {
			return release, err
		}
		request.Live, request.Last = live, seconds(c.Live.Seconds)
		return func() { live.Close() }, nil
	}
	return release, err
}

func (c *conformanceLive) make() (*Live, error) {
	live, err := NewLive(LiveOptions{
		Duration: seconds(c.Options.Seconds), MaxSide: c.Options.MaxSide, MaxFramesPerSecond: c.Options.MaxFramesPerSecond,
	})
	if err != nil {
		return nil, err
	}
	if p := c.Pictures; p != nil {
		format, channels := PixelsRGB, 3
		if p.Format == "gray" {
			format, channels = PixelsGray, 1
		}
		for i := range p.Count {
			pixels := make([]byte, 0, p.Width*p.Height*channels)
			for y := range p.Height {
				for x := range p.Width {
					for channel := range channels {
						pixels = append(pixels, byte(3*x+5*y+7*i+40*channel))
					}
				}
			}
			frame := Frame{Format: format, Width: p.Width, Height: p.Height, Time: seconds(float64(i) / p.PerSecond)}
			frame.Planes[0], frame.Strides[0] = pixels, p.Width*channels
			if err := live.PushFrame(frame); err != nil {
				return nil, err
			}
		}
	}
	if s := c.Sound; s != nil {
		whole := int(math.Round(s.Seconds * float64(s.Rate)))
		piece := whole / s.Pieces
		for first := 0; first < whole; first += piece {
			i16 := make([]int16, 0, piece*s.Channels)
			f32 := make([]float32, 0, piece*s.Channels)
			for n := first; n < first+piece; n++ {
				for range s.Channels {
					i16 = append(i16, int16(n%64-32)*256)
					f32 = append(f32, float32(n%64-32)*256/32768)
				}
			}
			at := seconds(float64(first) / float64(s.Rate))
			if s.Format == "f32" {
				err = live.PushFloat32(f32, s.Rate, s.Channels, at)
			} else {
				err = live.PushInt16(i16, s.Rate, s.Channels, at)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	info, err := live.Info()
	if err != nil {
		return nil, err
	}
	held := map[string]float64{"frames": float64(info.Frames), "duration_s": info.DurationS}
	for name, want := range c.Info {
		if got, there := held[name]; !there || math.Abs(got-want) > 1e-6 {
			return nil, fmt.Errorf("the live buffer's %s is %v, not %v", name, got, want)
		}
	}
	return live, nil
}

// check compares what a call gave with what is expected.
func check(expect expectation, got outcome) error {
	if wanted, there := expect["error"]; there {
		return checkFailure(wanted, got.err)
	}
	if got.err != nil {
		return got.err
	}
	for name, wanted := range expect {
		if name == "tolerance" {
			continue
		}
		compare, known := comparisons[name]
		if !known {
			return fmt.Errorf("the runner does not know the expectation %q", name)
		}
		if err := compare(wanted, expect, &got); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, given := expect["confidence"]; got.analysis != nil && !given {
		return checkConfidence(got.analysis)
	}
	return nil
}

func checkFailure(text json.RawMessage, err error) error {
	var wanted struct {
		Name       string
		Code       Code
		HTTPStatus int    `json:"http_status"`
		MessageHas string `json:"message_has"`
	}
	if err := strictly(text, &wanted); err != nil {
		return err
	}
	var failure *Error
	switch {
	case err == nil:
		return fmt.Errorf("it did not fail with %s", wanted.Name)
	case !errors.As(err, &failure):
		return fmt.Errorf("%w is of another type", err)
	case failure.Name != wanted.Name || failure.Code != wanted.Code || !errors.Is(err, wanted.Code):
		return fmt.Errorf("it failed with %w, not with %s", err, wanted.Name)
	case wanted.HTTPStatus != 0 && failure.Code.HTTPStatus() != wanted.HTTPStatus:
		return fmt.Errorf("%w has the HTTP status %d, not %d", err, failure.Code.HTTPStatus(), wanted.HTTPStatus)
	case !strings.Contains(failure.Message, wanted.MessageHas):
		return fmt.Errorf("the message %q has no %q", failure.Message, wanted.MessageHas)
	}
	return nil
}

func checkConfidence(a *Analysis) error {
	best := slices.MaxFunc(a.Probabilities, func(a, b Probability) int {
		if a.Value < b.Value {
			return -1
		}
		return 1
	})
	sum := 0.0
	for _, one := range a.Probabilities {
		sum += one.Value
	}
	if math.Abs(best.Value-float64(a.Confidence)) > 1e-6 || math.Abs(a.Probabilities.Of(a.Emotion)-best.Value) > 1e-6 || math.Abs(sum-1) > 1e-3 {
		return fmt.Errorf("emotion %s, confidence %v, probabilities %v", a.Emotion, a.Confidence, a.Probabilities)
	}
	return nil
}

// comparisons compare one expectation each.
var comparisons = map[string]func(wanted json.RawMessage, all expectation, got *outcome) error{
	"emotion":     textual(func(a *Analysis) string { return a.Emotion }),
	"response":    textual(func(a *Analysis) string { return a.Response }),
	"language":    textual(func(a *Analysis) string { return a.Language }),
	"transcript":  textual(func(a *Analysis) string { return a.Transcript }),
	"model":       textual(func(a *Analysis) string { return a.Model.Name }),
	"explanation": some(func(a *Analysis) int { return len(a.Explanation) }),
	"cues":        some(func(a *Analysis) int { return len(a.Cues) }),
	"cached_tokens": some(func(a *Analysis) int {
		return a.Usage.CachedTokens
	}),
	"response_begins": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		var begins string
		if err := json.Unmarshal(wanted, &begins); err != nil {
			return err
		}
		if !strings.HasPrefix(got.analysis.Response, begins) {
			return fmt.Errorf("it is %q", got.analysis.Response)
		}
		return nil
	},
	"probabilities": func(wanted json.RawMessage, all expectation, got *outcome) error {
		var probabilities Probabilities
		var tolerance float64
		if err := errors.Join(json.Unmarshal(wanted, &probabilities), json.Unmarshal(all["tolerance"], &tolerance)); err != nil {
			return err
		}
		if !slices.EqualFunc(probabilities, got.analysis.Probabilities, func(a, b Probability) bool {
			return a.Label == b.Label && math.Abs(a.Value-b.Value) <= tolerance
		}) {
			return fmt.Errorf("they are %v", got.analysis.Probabilities)
		}
		return nil
	},
	"labels": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		var labels []string
		if err := json.Unmarshal(wanted, &labels); err != nil {
			return err
		}
		var has []string
		for _, one := range got.analysis.Probabilities {
			has = append(has, one.Label)
		}
		return same(labels, has)
	},
	"confidence": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		if string(wanted) != "null" {
			return errors.New("the runner expects null")
		}
		if got.analysis.Confidence.Known() || len(got.analysis.Probabilities) != 0 {
			return fmt.Errorf("%v %v", got.analysis.Confidence, got.analysis.Probabilities)
		}
		return nil
	},
	"faces": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		return sameJSON(wanted, len(got.analysis.Faces))
	},
	"frame": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		return sameJSON(wanted, got.analysis.Frame != nil)
	},
	"notes": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		names := []string{}
		for _, note := range got.analysis.Notes {
			names = append(names, note.Name)
		}
		var want []string
		if err := json.Unmarshal(wanted, &want); err != nil {
			return err
		}
		return same(want, names)
	},
	"events": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		var events []string
		if err := json.Unmarshal(wanted, &events); err != nil {
			return err
		}
		return same(events, got.events)
	},
	"info": func(wanted json.RawMessage, _ expectation, got *outcome) error {
		var want struct {
			Labels, Tasks []string
			Pack          *struct{ Name string }
		}
		if err := strictly(wanted, &want); err != nil {
			return err
		}
		if want.Labels != nil && !slices.Equal(want.Labels, got.info.Labels) ||
			want.Tasks != nil && !slices.Equal(want.Tasks, got.info.Tasks) || want.Pack != nil && want.Pack.Name != got.info.Pack.Name {
			return fmt.Errorf("%s", got.info.Raw)
		}
		return nil
	},
}

// textual compares a text; null is an empty one.
func textual(of func(*Analysis) string) func(json.RawMessage, expectation, *outcome) error {
	return func(wanted json.RawMessage, _ expectation, got *outcome) error {
		var want string
		if err := json.Unmarshal(wanted, &want); err != nil {
			return err
		}
		if has := of(got.analysis); has != want {
			return fmt.Errorf("it is %q", has)
		}
		return nil
	}
}

// some compares whether there is something.
func some(of func(*Analysis) int) func(json.RawMessage, expectation, *outcome) error {
	return func(wanted json.RawMessage, _ expectation, got *outcome) error {
		is := "none"
		if of(got.analysis) > 0 {
			is = "some"
		}
		return sameJSON(wanted, is)
	}
}

func sameJSON(wanted json.RawMessage, got any) error {
	text, err := json.Marshal(got)
	if err == nil && string(text) != string(wanted) {
		err = fmt.Errorf("it is %s, not %s", text, wanted)
	}
	return err
}

func same(want, got []string) error {
	if !slices.Equal(want, got) {
		return fmt.Errorf("they are %q", got)
	}
	return nil
}
