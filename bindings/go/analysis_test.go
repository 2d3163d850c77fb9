package emotionllama

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func TestAResultOfALaterReleaseIsRead(t *testing.T) {
	text := []byte(`{"response": "so", "emotion": "😀 joy", "confidence": null, "probabilities": {"b": 0.25, "حزين": 0.5, "a": 0.25},
		"explanation": "", "transcript": null, "faces": [{"box": {"x": 1, "y": 2, "width": 3, "height": 4, "depth": 5}, "mood": {}}],
		"frame": null, "cues": [{"name": "pitch", "value": 200.5, "z": -1}], "weather": ["blue"]}`)
	result, err := parse[Analysis](text)
	if err != nil {
		t.Fatal(err)
	}
	if result.Confidence.Known() || result.Confidence > 0 || fmt.Sprint(result.Confidence) != "unknown" {
		t.Errorf("%v", result.Confidence)
	}
	if !reflect.DeepEqual(result.Probabilities, Probabilities{{"b", 0.25}, {"حزين", 0.5}, {"a", 0.25}}) {
		t.Errorf("%v", result.Probabilities)
	}
	if result.Probabilities.Of("حزين") != 0.5 || result.Probabilities.Of("c") != 0 {
		t.Errorf("%v", result.Probabilities)
	}
	if result.Transcript != "" || result.Faces[0].Box.Height != 4 || *result.Cues[0].Value != 200.5 || string(result.Raw) != string(text) {
		t.Errorf("%+v", result)
	}
	again := must(parse[Analysis](must(json.Marshal(result))(t)))(t)
	again.Raw, result.Raw = nil, nil
	if again.Confidence.Known() {
		t.Errorf("%v", again.Confidence)
	}
	again.Confidence, result.Confidence = 0, 0
	if !reflect.DeepEqual(again, result) {
		t.Errorf("%+v, not %+v", again, result)
	}
	if _, err := parse[Analysis]([]byte(`{"confidence": "high"}`)); !errors.Is(err, Internal) {
		t.Errorf("%v", err)
	}
	if event := must(parse[Event]([]byte(`{"type": "mood", "of": 1}`)))(t); event.Type != "mood" || len(event.Raw) == 0 {
		t.Errorf("%+v", event)
	}
}

func TestARequestIsWrittenAsTheLibraryTakesIt(t *testing.T) {
	request := Request{
		VideoPath: "a.mp4", Task: Reason, Prompt: "Why?", Transcript: "😢 \"so\"", Labels: []string{"a", "b"}, Frame: FrameAt(1500e6),
		PromptPath: "demo", Features: &Features{HuBERT: []float32{1, 2}}, MaxNewTokens: 7, Temperature: Ptr(0.0), TopP: 0.8, TopK: Ptr(0),
		RepetitionPenalty: 1.2, Seed: 9, Greedy: true, Limits: &Limits{MaxBytes: 100},
	}
	want := `{"path":"a.mp4","task":"reason","prompt":"Why?","transcript":"😢 \"so\"","labels":["a","b"],"frame":1.5,` +
		`"prompt_path":"demo","features":{"hubert":[1,2]},"max_new_tokens":7,"temperature":0,"top_p":0.8,"top_k":0,` +
		`"repetition_penalty":1.2,"seed":9,"greedy":true,"limits":{"max_bytes":100}}`
	if text := must(encode(request))(t); text != want {
		t.Errorf("%s", text)
	}
	if text := must(encode(Request{}))(t); text != "{}" {
		t.Errorf("%s", text)
	}
	if text := must(encode(Request{Frame: FrameMiddle}))(t); text != `{"frame":"middle"}` {
		t.Errorf("%s", text)
	}
}

func TestAContextSaysWhatEndedTheWork(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := ended(ctx); !errors.Is(err, context.Canceled) || len(err.Unwrap()) != 1 || err.Name != "cancelled" {
		t.Errorf("%v", err)
	}
	if name := Code(77).String(); name != "code_77" {
		t.Errorf("%s", name)
	}
}
