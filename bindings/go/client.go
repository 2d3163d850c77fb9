package emotionllama

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ebitengine/purego"
)

// Options say which model is opened, and how. The zero value is the built-in model.
type Options struct {
	// APIURL is the address of a running server, which is used in place of a model here.
	APIURL string
	// Pack is the directory of a model, or the name of one. Empty, with no APIURL: the built-in model, emotion-llama-mini, looked for in
	// ../share/emotion-llama/packs and packs beside the library, then where EMOTION_LLAMA_PACK says.
	Pack string
	// Search are directories in which a pack's name is looked for.
	Search []string
	// SkipVerify leaves out comparing the pack's files with their checksums.
	SkipVerify bool
	// Threads is how many threads each call computes with; 0 for what [SetThreadCount] says.
	Threads int
	// Device is where it computes: auto (a graphics processor if one can be used), cpu, cuda, cuda:1 or cuda:UUID; empty for auto.
	Device string
	// Progress is told how far a load is, in bytes, on the goroutine that called [Open]. End the context to stop the load.
	Progress func(done, total uint64)

	// APIKey is sent to the server.
	APIKey string
	// Timeout is how long a call to the server may take; 0 for the library's default.
	Timeout time.Duration
	// ConnectTimeout is how long reaching the server may take; 0 for the library's default.
	ConnectTimeout time.Duration
	// CAFile holds the certificates that the server's is checked with, in place of the system's.
	CAFile string
	// Upload says which files are sent to the server; empty for UploadAuto.
	Upload Upload
}

// Upload says whether files are sent to a server.
type Upload string

const (
	// UploadAuto sends a clip's file.
	UploadAuto Upload = "auto"
	// UploadNever takes a clip's path for one of the server's.
	UploadNever Upload = "never"
)

// defaultPack is the name of the built-in model.
const defaultPack = "emotion-llama-mini"

// wireOptions are what emotion_llama_engine_open takes.
type wireOptions struct {
	Source         string   `json:"source"`
	Search         []string `json:"search,omitempty"`
	Verify         *bool    `json:"verify,omitempty"`
	Threads        int      `json:"threads,omitempty"`
	Device         string   `json:"device,omitempty"`
	APIKey         string   `json:"api_key,omitempty"`
	Timeout        float64  `json:"timeout_s,omitempty"`
	ConnectTimeout float64  `json:"connect_timeout_s,omitempty"`
	CAFile         string   `json:"ca_file,omitempty"`
	Upload         Upload   `json:"upload,omitempty"`
}

func (o *Options) wire(l *library) (string, error) {
	wire := wireOptions{
		Search:         o.Search,
		Threads:        o.Threads,
		Device:         o.Device,
		APIKey:         o.APIKey,
		Timeout:        o.Timeout.Seconds(),
		ConnectTimeout: o.ConnectTimeout.Seconds(),
		CAFile:         o.CAFile,
		Upload:         o.Upload,
	}
	if o.SkipVerify {
		wire.Verify = new(bool)
	}
	switch {
	case o.APIURL != "" && o.Pack != "":
		return "", newError(InvalidArgument, "APIURL and Pack are both given; give one of them")
	case o.APIURL != "" && !strings.HasPrefix(o.APIURL, "http://") && !strings.HasPrefix(o.APIURL, "https://"):
		return "", newError(InvalidArgument, fmt.Sprintf("APIURL is %q; it must begin with http:// or https://", o.APIURL))
	case o.APIURL != "":
		wire.Source = o.APIURL
	case o.Pack != "":
		wire.Source = o.Pack
	default:
		pack, err := findPack(l.path)
		if err != nil {
			return "", err
		}
		wire.Source = pack
	}
	return encode(wire)
}

// Client is a model: loaded here, or of a running server.
type Client struct {
	library *library
	engine  *handle[nativeEngine]
}

// Open loads a model, or makes a client of a running server.
func Open(ctx context.Context, options Options) (*Client, error) {
	l, err := load()
	if err != nil {
		return nil, err
	}
	wire, err := options.wire(l)
	if err != nil {
		return nil, err
	}
	token, err := l.newToken(ctx)
	if err != nil {
		return nil, err
	}
	defer token.end()
	var callback, number uintptr
	var load *progress
	if options.Progress != nil {
		load = &progress{report: options.Progress}
		number = loads.add(load)
		defer loads.remove(number)
		callback = progressCallback()
	}
	var native *nativeEngine
	status := l.EngineOpen(wire, token.native, callback, number, &native)
	err = l.failure(ctx, status)
	if load != nil && load.panicked {
		if native != nil {
			l.EngineFree(native)
		}
		panic(load.panic)
	}
	if err != nil {
		return nil, err
	}
	client := &Client{library: l}
	client.engine = owned(client, native, l.EngineFree)
	return client, nil
}

// Analyze says what a person in a clip feels, and what shows it.
func (c *Client) Analyze(ctx context.Context, request Request) (*Analysis, error) {
	text, err := given(ctx, c, &request, c.library.functions.Analyze)
	if err != nil {
		return nil, err
	}
	return parse[Analysis](c.library.taken(text))
}

// Stream is as [Client.Analyze], with an event for each stage and each piece of the answer; the last one holds the result. The analysis
// begins when the sequence is gone through, and again when that is done again, but what is read from Request.Video is read once. Leaving the loop
// stops the analysis. An error is the last that is given.
//
//	for event, err := range client.Stream(ctx, request) {
//		if err != nil { … }
//		fmt.Print(event.Text)
//	}
func (c *Client) Stream(ctx context.Context, request Request) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		c.library.events(ctx, yield, func(token *token) (*nativeStream, error) {
			return givenToken(ctx, c, &request, token, c.library.AnalyzeStream)
		})
	}
}

// Session begins a conversation about a clip, which is decoded and read once. Only the fields of request that concern the clip are for
// this: the clip itself, Transcript, Frame, Features and Limits.
func (c *Client) Session(ctx context.Context, request Request) (*Session, error) {
	native, err := given(ctx, c, &request, c.library.SessionNew)
	if err != nil {
		return nil, err
	}
	session := &Session{library: c.library}
	session.session = owned(session, native, c.library.SessionFree)
	return session, nil
}

// Info says what the model is and can.
func (c *Client) Info() (*Info, error) {
	engine, err := c.engine.acquire()
	runtime.KeepAlive(c)
	if err != nil {
		return nil, err
	}
	defer c.engine.release()
	var text *nativeText
	if err := c.library.failure(context.Background(), c.library.EngineInfo(engine, &text)); err != nil {
		return nil, err
	}
	return parse[Info](c.library.taken(text))
}

// Close frees the model once no call uses it. Calls that run go on; end their contexts to stop them. It may be called again, and always
// gives nil.
func (c *Client) Close() error {
	c.engine.close()
	runtime.KeepAlive(c)
	return nil
}

// engineCall is a function that is given an engine, a request, a clip and a token.
type engineCall[T any] func(*nativeEngine, string, *nativeMedia, *nativeCancel, **T) *nativeStatus

func given[T any](ctx context.Context, c *Client, request *Request, call engineCall[T]) (*T, error) {
	token, err := c.library.newToken(ctx)
	if err != nil {
		return nil, err
	}
	defer token.end()
	return givenToken(ctx, c, request, token, call)
}

func givenToken[T any](ctx context.Context, c *Client, request *Request, token *token, call engineCall[T]) (*T, error) {
	engine, err := c.engine.acquire()
	runtime.KeepAlive(c)
	if err != nil {
		return nil, err
	}
	defer c.engine.release()
	wire, err := encode(request)
	if err != nil {
		return nil, err
	}
	clip, err := request.clip(ctx)
	if err != nil {
		return nil, err
	}
	defer clip.release()
	var out *T
	if err := c.library.failure(ctx, call(engine, wire, clip.media, token.native, &out)); err != nil {
		return nil, err
	}
	return out, nil
}

// token stops work of the library when a context ends.
type token struct {
	native *nativeCancel
	handle *handle[nativeCancel]
	stop   func() bool
}

// newToken fails when ctx has ended. A context that never ends needs no token.
func (f *functions) newToken(ctx context.Context) (*token, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	if ctx.Done() == nil {
		return &token{}, nil
	}
	var native *nativeCancel
	if err := f.failure(ctx, f.CancelNew(&native)); err != nil {
		return nil, err
	}
	t := &token{native: native, handle: newHandle(native, f.CancelFree)}
	t.stop = context.AfterFunc(ctx, func() {
		if native, err := t.handle.acquire(); err == nil {
			f.CancelRequest(native)
			t.handle.release()
		}
	})
	return t, nil
}

func (t *token) end() {
	if t.native != nil {
		t.stop()
		t.handle.close()
	}
}

// events begins a stream, hands its events to yield, and frees it, which stops what still runs.
func (f *functions) events(ctx context.Context, yield func(Event, error) bool, begin func(*token) (*nativeStream, error)) {
	token, err := f.newToken(ctx)
	if err != nil {
		yield(Event{}, err)
		return
	}
	defer token.end()
	native, err := begin(token)
	if err != nil {
		yield(Event{}, err)
		return
	}
	stream := newHandle(native, f.StreamFree)
	defer stream.close()
	for {
		var text *nativeText
		if err := f.failure(ctx, f.StreamNext(native, &text)); err != nil {
			yield(Event{}, err)
			return
		}
		if text == nil {
			return
		}
		event, err := parse[Event](f.taken(text))
		if err != nil {
			yield(Event{}, err)
			return
		}
		if !yield(*event, nil) {
			return
		}
	}
}

// progress is a load that is watched.
type progress struct {
	report   func(done, total uint64)
	panicked bool
	panic    any
}

var loads registry[*progress]

// progressCallback is made once: such functions are never freed.
var progressCallback = sync.OnceValue(func() uintptr { return purego.NewCallback(onProgress) })

// onProgress must not unwind into the library: a panic stops the load and goes on in Open.
var onProgress progressFunction = func(userdata uintptr, done, total uint64) (goOn bool) {
	load, there := loads.get(userdata)
	if !there {
		return true
	}
	load.panicked = true
	defer func() {
		if load.panicked {
			load.panic = recover()
			goOn = false
		}
	}()
	load.report(done, total)
	load.panicked = false
	return true
}

// encode makes JSON of what is given to the library.
func encode(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", newError(InvalidArgument, "it cannot be written as JSON: "+err.Error(), err)
	}
	return string(text), nil
}

// parse reads what the library gave. Fields that are not known are passed over.
func parse[T any](text []byte) (*T, error) {
	value := new(T)
	if err := json.Unmarshal(text, value); err != nil {
		return nil, newError(Internal, "the library's answer cannot be read: "+err.Error(), err)
	}
	return value, nil
}
