package emotionllama

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Task is what is asked.
type Task string

const (
	// Emotion asks for the label only.
	Emotion Task = "emotion"
	// Reason asks for the label and what shows it.
	Reason Task = "reason"
	// Free asks the prompt as it is; not every model can.
	Free Task = "free"
)

// What a Request's Transcript may be besides the words.
const (
	// TranscriptAuto has the speech recognised.
	TranscriptAuto = "auto"
	// TranscriptNone leaves the words out.
	TranscriptNone = "none"
)

// Request is a question about a clip. Exactly one of VideoPath, Video, Data and Live is given; a question of a [Session] has none.
// The zero value of every other field is the default.
type Request struct {
	// VideoPath is the file of a video, sound or picture.
	VideoPath string `json:"path,omitempty"`
	// Video is read to its end in place of a file, or to one byte beyond Limits.MaxBytes.
	Video io.Reader `json:"-"`
	// Data are the bytes of a file. They are copied.
	Data []byte `json:"-"`
	// Live is a buffer of pictures and sound; what is pushed to it later does not count.
	Live *Live `json:"-"`
	// Last is how much of the end of Live the clip has; 0 for all it holds.
	Last time.Duration `json:"-"`

	// Task is what is asked.
	Task Task `json:"task,omitempty"`
	// Prompt is a question; it may begin with [emotion] or [reason].
	Prompt string `json:"prompt,omitempty"`
	// Transcript is TranscriptAuto, TranscriptNone, or the words that are said.
	Transcript string `json:"transcript,omitempty"`
	// Labels are the words that the answer is one of.
	Labels []string `json:"labels,omitzero"`
	// Frame is the picture that is described.
	Frame FramePick `json:"frame,omitzero"`
	// PromptPath is the published model's way of asking: train, eval or demo.
	PromptPath string `json:"prompt_path,omitempty"`
	// Features were extracted beforehand, for the published model.
	Features *Features `json:"features,omitempty"`

	// MaxNewTokens is the length of the answer; 0 for 500.
	MaxNewTokens int `json:"max_new_tokens,omitempty"`
	// Temperature divides the logits; nil for 0.2.
	Temperature *float64 `json:"temperature,omitempty"`
	// TopP is the sum of probabilities that is drawn from; 0 for 0.9.
	TopP float64 `json:"top_p,omitempty"`
	// TopK is how many tokens are drawn from, 0 for all; nil for 50.
	TopK *int `json:"top_k,omitempty"`
	// RepetitionPenalty makes words that were written less likely; 0 for 1.05.
	RepetitionPenalty float64 `json:"repetition_penalty,omitempty"`
	// Seed makes another answer from the same question.
	Seed uint64 `json:"seed,omitempty"`
	// Greedy takes the likeliest token always.
	Greedy bool `json:"greedy,omitempty"`

	// Limits are which files are refused.
	Limits *Limits `json:"limits,omitempty"`
}

// Ptr gives a pointer to value, for the fields whose zero is not their default.
func Ptr[T any](value T) *T { return &value }

// FramePick says which picture of a clip is described. The zero value is the library's choice, the one that shows most.
type FramePick struct {
	name string
	at   time.Duration
}

var (
	// FramePeak is the picture that shows most.
	FramePeak = FramePick{name: "peak"}
	// FrameFirst is the first picture.
	FrameFirst = FramePick{name: "first"}
	// FrameMiddle is the picture in the middle.
	FrameMiddle = FramePick{name: "middle"}
)

// FrameAt is the picture so long after the start.
func FrameAt(at time.Duration) FramePick { return FramePick{name: "at", at: at} }

// MarshalJSON gives the name, or the seconds.
func (f FramePick) MarshalJSON() ([]byte, error) {
	if f.name == "at" {
		return json.Marshal(f.at.Seconds())
	}
	return json.Marshal(f.name)
}

// Features are what the published model's encoders gave, 1024 values each.
type Features struct {
	MAE      []float32 `json:"mae,omitempty"`
	VideoMAE []float32 `json:"videomae,omitempty"`
	HuBERT   []float32 `json:"hubert,omitempty"`
}

// Limits are which files are refused; 0 for the library's default.
type Limits struct {
	MaxDurationS float64 `json:"max_duration_s,omitempty"`
	MaxPixels    uint64  `json:"max_pixels,omitempty"`
	MaxStreams   int     `json:"max_streams,omitempty"`
	MaxBytes     uint64  `json:"max_bytes,omitempty"`
}

// clip is what the library is given besides the request; release it after the call.
type clip struct {
	media *nativeMedia
	pins  runtime.Pinner
	live  *handle[nativeLive]
}

func (c *clip) release() {
	c.pins.Unpin()
	if c.live != nil {
		c.live.release()
	}
}

// clip takes the request's clip, other than a path, and refuses two.
func (r *Request) clip(ctx context.Context) (*clip, error) {
	given := 0
	for _, is := range []bool{r.VideoPath != "", r.Video != nil, r.Data != nil, r.Live != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		return nil, newError(InvalidArgument, "more than one of VideoPath, Video, Data and Live is given; give one of them")
	}
	if !utf8.ValidString(r.VideoPath) {
		return nil, newError(InvalidArgument, fmt.Sprintf("VideoPath %q is not UTF-8; open the file and give it as Video", r.VideoPath))
	}
	data := r.Data
	if r.Video != nil {
		read, err := r.read(ctx)
		if err != nil {
			return nil, err
		}
		data = read
	}
	c := &clip{}
	switch {
	case r.Live != nil:
		live, err := r.Live.live.acquire()
		runtime.KeepAlive(r.Live)
		if err != nil {
			return nil, err
		}
		c.live = r.Live.live
		c.media = &nativeMedia{Live: live}
	case data != nil || r.Video != nil:
		c.media = &nativeMedia{Data: unsafe.SliceData(data), Length: uintptr(len(data))}
		if len(data) == 0 {
			c.media.Data = new(byte)
		}
		c.pins.Pin(c.media.Data)
	case r.Last != 0:
		c.media = &nativeMedia{}
	default:
		return c, nil
	}
	c.media.Size = unsafe.Sizeof(*c.media)
	c.media.Seconds = r.Last.Seconds()
	return c, nil
}

// read reads Video, as long as ctx lives.
func (r *Request) read(ctx context.Context) ([]byte, error) {
	var reader io.Reader = contextReader{ctx, r.Video}
	if r.Limits != nil && r.Limits.MaxBytes > 0 && r.Limits.MaxBytes < 1<<62 {
		reader = io.LimitReader(reader, int64(r.Limits.MaxBytes)+1)
	}
	var data bytes.Buffer
	if sized, is := r.Video.(interface{ Len() int }); is {
		data.Grow(sized.Len() + bytes.MinRead)
	}
	_, err := data.ReadFrom(reader)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ended(ctx)
	case err != nil:
		return nil, newError(MediaUndecodable, "the clip cannot be read: "+err.Error(), err)
	}
	return data.Bytes(), nil
}

type contextReader struct {
	ctx    context.Context
	reader io.Reader
}

func (r contextReader) Read(into []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.reader.Read(into)
}
