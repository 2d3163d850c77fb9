package emotionllama

import (
	"context"
	"errors"
	"image"
	"image/color"
	"math"
	"sync"
	"testing"
	"time"
)

func TestLivePicturesAndSoundAreAnalysed(t *testing.T) {
	nothingLeft(t)
	live := must(NewLive(LiveOptions{Duration: 5 * time.Second, MaxSide: 256, MaxFramesPerSecond: 10}))(t)
	defer live.Close()
	// A camera's goroutine and a microphone's.
	var both sync.WaitGroup
	both.Add(2)
	go func() {
		defer both.Done()
		for i := range 10 {
			if err := live.PushImage(picture(i), time.Duration(i)*100*time.Millisecond); err != nil {
				t.Error(err)
			}
		}
	}()
	go func() {
		defer both.Done()
		for i := range 10 {
			if err := live.PushInt16(tone(1600), 16000, 1, time.Duration(i)*100*time.Millisecond); err != nil {
				t.Error(err)
			}
		}
	}()
	both.Wait()
	info := must(live.Info())(t)
	if info.Frames != 10 || info.DurationS < 0.9 || info.DurationS > 1.1 || info.MemoryBytes == 0 {
		t.Errorf("%+v", info)
	}
	request := Request{Live: live, Last: 500 * time.Millisecond, Transcript: TranscriptNone}
	result := must(model(t).Analyze(context.Background(), request))(t)
	if result.Emotion == "" || len(result.Faces) != 0 {
		t.Errorf("%+v", result)
	}
	session := must(model(t).Session(context.Background(), Request{Live: live, Transcript: TranscriptNone}))(t)
	defer session.Close()
	if err := live.Clear(); err != nil {
		t.Fatal(err)
	}
	if info := must(live.Info())(t); info.Frames != 0 {
		t.Errorf("%+v", info)
	}
	if answer := must(session.Ask(context.Background(), Request{Task: Emotion}))(t); answer.Emotion == "" {
		t.Errorf("%+v", answer)
	}
}

func TestEveryKindOfPictureAndSoundIsTaken(t *testing.T) {
	nothingLeft(t)
	live := must(NewLive(LiveOptions{MaxFramesPerSecond: 240}))(t)
	defer live.Close()
	const width, height = 64, 48
	plane := func(bytes int) []byte { return make([]byte, bytes) }
	frames := []Frame{
		{Format: PixelsRGB, Planes: [3][]byte{plane(3 * width * height)}, Strides: [3]int{3 * width}},
		{Format: PixelsBGR, Planes: [3][]byte{plane(3 * width * height)}, Strides: [3]int{3 * width}},
		{Format: PixelsRGBA, Planes: [3][]byte{plane(4 * width * height)}, Strides: [3]int{4 * width}},
		{Format: PixelsBGRA, Planes: [3][]byte{plane(4 * width * height)}, Strides: [3]int{4 * width}},
		{Format: PixelsGray, Planes: [3][]byte{plane(100*(height-1) + width)}, Strides: [3]int{100}},
		{Format: PixelsNV12, Planes: [3][]byte{plane(width * height), plane(width * height / 2)}, Strides: [3]int{width, width}},
		{
			Format: PixelsI420, Planes: [3][]byte{plane(width * height), plane(width * height / 4), plane(width * height / 4)},
			Strides: [3]int{width, width / 2, width / 2},
		},
	}
	for i, frame := range frames {
		frame.Width, frame.Height, frame.Time = width, height, time.Duration(i)*100*time.Millisecond
		if err := live.PushFrame(frame); err != nil {
			t.Errorf("format %d: %v", frame.Format, err)
		}
	}
	at := time.Second
	pictures := []image.Image{
		image.NewNRGBA(image.Rect(0, 0, width, height)),
		image.NewGray(image.Rect(0, 0, width, height)),
		image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420),
		picture(0).SubImage(image.Rect(10, 10, 20, 20)),
	}
	for i, picture := range pictures {
		if err := live.PushImage(picture, at+time.Duration(i)*100*time.Millisecond); err != nil {
			t.Errorf("%T: %v", picture, err)
		}
	}
	if err := live.PushFloat32([]float32{0, 0.5, -0.5, 1}, 48000, 2, at); err != nil {
		t.Error(err)
	}
	if info := must(live.Info())(t); info.Frames != len(frames)+len(pictures) {
		t.Errorf("%+v", info)
	}
}

func TestPicturesAndSoundThatCannotBeAreRefused(t *testing.T) {
	nothingLeft(t)
	live := must(NewLive(LiveOptions{}))(t)
	defer live.Close()
	good := Frame{Format: PixelsGray, Width: 2, Height: 2, Planes: [3][]byte{{1, 2, 3, 4}}, Strides: [3]int{2}}
	for name, change := range map[string]func(*Frame){
		"no format":         func(f *Frame) { f.Format = 0 },
		"no width":          func(f *Frame) { f.Width = 0 },
		"a negative height": func(f *Frame) { f.Height = -2 },
		"a negative stride": func(f *Frame) { f.Strides[0] = -2 },
		"a huge width":      func(f *Frame) { f.Width = math.MaxInt },
		"no plane":          func(f *Frame) { f.Planes[0] = nil },
		"a short plane":     func(f *Frame) { f.Planes[0] = f.Planes[0][:3] },
	} {
		frame := good
		change(&frame)
		if err := live.PushFrame(frame); !errors.Is(err, InvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"no rate":                    live.PushInt16(tone(10), 0, 1, 0),
		"a negative rate":            live.PushInt16(tone(10), -1, 1, 0),
		"samples for half a channel": live.PushFloat32(make([]float32, 3), 16000, 2, 0),
	} {
		if !errors.Is(err, InvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info := must(live.Info())(t); info.Frames != 0 || info.DurationS != 0 {
		t.Errorf("%+v", info)
	}
	if _, err := NewLive(LiveOptions{Duration: time.Hour}); !errors.Is(err, InvalidArgument) {
		t.Errorf("%v", err)
	}
}

func picture(number int) *image.RGBA {
	made := image.NewRGBA(image.Rect(0, 0, 96, 64))
	for x := range 96 {
		for y := range 64 {
			made.SetRGBA(x, y, color.RGBA{uint8(3*x + 7*number), uint8(5 * y), 40, 255})
		}
	}
	return made
}

func tone(samples int) []int16 {
	made := make([]int16, samples)
	for i := range made {
		made[i] = int16(i%64-32) * 256
	}
	return made
}
