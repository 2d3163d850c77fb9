package emotionllama

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"runtime"
	"time"
	"unsafe"
)

// Pixels says how the pixels of a [Frame] lie.
type Pixels uint32

const (
	// PixelsRGB has 3 bytes a pixel, red first; one plane.
	PixelsRGB Pixels = 1
	// PixelsBGR has 3 bytes a pixel, blue first; one plane.
	PixelsBGR Pixels = 2
	// PixelsRGBA has 4 bytes a pixel, red first, then alpha, which is dropped; one plane.
	PixelsRGBA Pixels = 3
	// PixelsBGRA has 4 bytes a pixel, blue first, then alpha, which is dropped; one plane.
	PixelsBGRA Pixels = 4
	// PixelsNV12 has a plane of luma, and one with a blue and a red chroma byte for every 2 x 2 pixels.
	PixelsNV12 Pixels = 5
	// PixelsI420 has a plane of luma, one of blue and one of red chroma with a byte for every 2 x 2 pixels.
	PixelsI420 Pixels = 6
	// PixelsGray has 1 byte a pixel; one plane.
	PixelsGray Pixels = 7
)

const (
	samplesI16 = 1
	samplesF32 = 2
)

// LiveOptions say what a [Live] keeps; 0 for the library's default.
type LiveOptions struct {
	// Duration is how much is kept: 0.1 to 120 s, 10 s by default.
	Duration time.Duration
	// MaxSide is the longer side that pictures are scaled down to: 16 to 8192, 1280 by default.
	MaxSide int
	// MaxFramesPerSecond leaves out pictures that come faster: 0.1 to 240, 15 by default.
	MaxFramesPerSecond float64
}

// MarshalJSON gives what the library takes.
func (o LiveOptions) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Seconds            float64 `json:"seconds,omitempty"`
		MaxSide            int     `json:"max_side,omitempty"`
		MaxFramesPerSecond float64 `json:"max_frames_per_second,omitempty"`
	}{o.Duration.Seconds(), o.MaxSide, o.MaxFramesPerSecond})
}

// Frame is one picture as a camera gives it.
type Frame struct {
	Format Pixels
	Width  int
	Height int
	// Time is when it was taken, on the clock that the sound has too.
	Time time.Duration
	// Planes are as many as the format has, uppermost row first. Memory that Go does not own will do.
	Planes [3][]byte
	// Strides are the bytes from the start of one row to the start of the next.
	Strides [3]int
}

// LiveInfo is what a buffer holds.
type LiveInfo struct {
	Frames      int     `json:"frames"`
	DurationS   float64 `json:"duration_s"`
	MemoryBytes int64   `json:"memory_bytes"`
}

// Live holds the last seconds of a camera and a microphone. A camera's goroutine, a microphone's, and one that analyses may use it at once.
type Live struct {
	library *library
	live    *handle[nativeLive]
}

// NewLive makes an empty buffer.
func NewLive(options LiveOptions) (*Live, error) {
	l, err := load()
	if err != nil {
		return nil, err
	}
	wire, err := encode(options)
	if err != nil {
		return nil, err
	}
	var native *nativeLive
	if err := l.failure(context.Background(), l.LiveNew(wire, &native)); err != nil {
		return nil, err
	}
	live := &Live{library: l}
	live.live = owned(live, native, l.LiveFree)
	return live, nil
}

// PushFrame takes one picture, or leaves it out when pictures come too fast. Its memory is not used after the call.
func (l *Live) PushFrame(frame Frame) error {
	native := &nativeFrame{Format: uint32(frame.Format), TimeS: frame.Time.Seconds()}
	native.Size = unsafe.Sizeof(*native)
	var pins runtime.Pinner
	defer pins.Unpin()
	var err error
	if native.Width, err = number("width", frame.Width); err != nil {
		return err
	}
	if native.Height, err = number("height", frame.Height); err != nil {
		return err
	}
	for i, plane := range frame.Planes {
		if frame.Strides[i] < 0 {
			return newError(InvalidArgument, fmt.Sprintf("the stride of plane %d is %d; give 0 or more", i, frame.Strides[i]))
		}
		if plane == nil {
			continue
		}
		native.Planes[i] = unsafe.SliceData(plane)
		pins.Pin(native.Planes[i])
		native.Strides[i] = uintptr(frame.Strides[i])
		native.Lengths[i] = uintptr(len(plane))
	}
	return l.use(func(live *nativeLive) *nativeStatus { return l.library.LivePushFrame(live, native) })
}

// PushImage takes a picture of Go's image package. RGBA, NRGBA and gray pictures are taken as they lie; others are converted.
func (l *Live) PushImage(picture image.Image, at time.Duration) error {
	bounds := picture.Bounds()
	frame := Frame{Format: PixelsRGBA, Width: bounds.Dx(), Height: bounds.Dy(), Time: at}
	switch p := picture.(type) {
	case *image.RGBA:
		frame.Planes[0], frame.Strides[0] = p.Pix, p.Stride
	case *image.NRGBA:
		frame.Planes[0], frame.Strides[0] = p.Pix, p.Stride
	case *image.Gray:
		frame.Format = PixelsGray
		frame.Planes[0], frame.Strides[0] = p.Pix, p.Stride
	default:
		converted := image.NewRGBA(image.Rectangle{Max: bounds.Size()})
		draw.Draw(converted, converted.Rect, picture, bounds.Min, draw.Src)
		frame.Planes[0], frame.Strides[0] = converted.Pix, converted.Stride
	}
	return l.PushFrame(frame)
}

// PushInt16 takes a piece of sound: samples of all channels by turns, rate of them a second and channel, the first taken at at.
func (l *Live) PushInt16(samples []int16, rate, channels int, at time.Duration) error {
	return l.pushSamples(samplesI16, unsafe.Pointer(unsafe.SliceData(samples)), len(samples), rate, channels, at)
}

// PushFloat32 is as [Live.PushInt16], for samples whose full scale is 1.
func (l *Live) PushFloat32(samples []float32, rate, channels int, at time.Duration) error {
	return l.pushSamples(samplesF32, unsafe.Pointer(unsafe.SliceData(samples)), len(samples), rate, channels, at)
}

func (l *Live) pushSamples(format uint32, data unsafe.Pointer, count, rate, channels int, at time.Duration) error {
	native := &nativeSamples{Format: format, TimeS: at.Seconds(), Data: data, Count: uintptr(count)}
	native.Size = unsafe.Sizeof(*native)
	var pins runtime.Pinner
	defer pins.Unpin()
	if data != nil {
		pins.Pin(data)
	}
	var err error
	if native.Rate, err = number("rate", rate); err != nil {
		return err
	}
	if native.Channels, err = number("channels", channels); err != nil {
		return err
	}
	return l.use(func(live *nativeLive) *nativeStatus { return l.library.LivePushSamples(live, native) })
}

// Info says what is held.
func (l *Live) Info() (*LiveInfo, error) {
	var text *nativeText
	if err := l.use(func(live *nativeLive) *nativeStatus { return l.library.LiveInfo(live, &text) }); err != nil {
		return nil, err
	}
	return parse[LiveInfo](l.library.taken(text))
}

// Clear forgets all pictures and all sound; the clock begins anew.
func (l *Live) Clear() error {
	return l.use(func(live *nativeLive) *nativeStatus {
		l.library.LiveClear(live)
		return nil
	})
}

// Close frees the buffer once no call uses it. It may be called again, and always gives nil.
func (l *Live) Close() error {
	l.live.close()
	runtime.KeepAlive(l)
	return nil
}

func (l *Live) use(call func(*nativeLive) *nativeStatus) error {
	live, err := l.live.acquire()
	runtime.KeepAlive(l)
	if err != nil {
		return err
	}
	defer l.live.release()
	return l.library.failure(context.Background(), call(live))
}

// number makes value what the library takes.
func number(name string, value int) (uint32, error) {
	if value < 0 || int64(value) > int64(^uint32(0)) {
		return 0, newError(InvalidArgument, fmt.Sprintf("the %s is %d, which cannot be", name, value))
	}
	return uint32(value), nil
}
