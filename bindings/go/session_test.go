package emotionllama

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestAFollowUpKnowsWhatWasAsked(t *testing.T) {
	nothingLeft(t)
	ctx := context.Background()
	session := must(model(t).Session(ctx, Request{Data: beginning(t), Transcript: TranscriptNone}))(t)
	defer session.Close()
	first := must(session.Ask(ctx, Request{Task: Emotion}))(t)
	if first.Usage.CachedTokens != 0 || first.Emotion == "" {
		t.Errorf("%+v", first)
	}
	question := Request{Prompt: "[reason] Why?", Greedy: true, MaxNewTokens: 8}
	second := must(session.Ask(ctx, question))(t)
	if second.Usage.CachedTokens == 0 || second.Explanation == "" {
		t.Errorf("%+v", second)
	}
	var text strings.Builder
	var streamed *Analysis
	for event, err := range session.AskStream(ctx, question) {
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(event.Text)
		streamed = event.Analysis
	}
	if streamed == nil || streamed.Response != text.String() || streamed.Usage.CachedTokens <= second.Usage.CachedTokens {
		t.Errorf("%+v", streamed)
	}
	if err := session.Reset(); err != nil {
		t.Fatal(err)
	}
	again := must(session.Ask(ctx, Request{Task: Emotion}))(t)
	if again.Response != first.Response {
		t.Errorf("%s, then %s", first.Response, again.Response)
	}
}

func TestAQuestionHasNoClip(t *testing.T) {
	nothingLeft(t)
	ctx := context.Background()
	session := must(model(t).Session(ctx, Request{Data: beginning(t), Transcript: TranscriptNone}))(t)
	defer session.Close()
	for _, question := range []Request{{VideoPath: "clip.mp4"}, {Data: []byte("a")}, {Video: strings.NewReader("a")}, {Transcript: "none"}} {
		if _, err := session.Ask(ctx, question); !errors.Is(err, InvalidArgument) {
			t.Errorf("%+v: %v", question, err)
		}
	}
}

func TestASessionAnswersOneQuestionAtATime(t *testing.T) {
	nothingLeft(t)
	ctx := context.Background()
	session := must(model(t).Session(ctx, Request{Data: beginning(t), Transcript: TranscriptNone}))(t)
	defer session.Close()
	for event, err := range session.AskStream(ctx, Request{Task: Reason}) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Stage != StageRespond {
			continue
		}
		if _, err := session.Ask(ctx, Request{Task: Emotion}); !errors.Is(err, Overloaded) {
			t.Errorf("a question meanwhile: %v", err)
		}
		if err := session.Reset(); !errors.Is(err, Overloaded) {
			t.Errorf("a reset meanwhile: %v", err)
		}
		break
	}
	// The question that was given up ends soon, and the conversation is as it was.
	eventually(t, "another question is answered", func() bool {
		result, err := session.Ask(ctx, Request{Task: Emotion})
		return err == nil && result.Usage.CachedTokens == 0
	})
}
