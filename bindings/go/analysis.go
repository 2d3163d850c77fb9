package emotionllama

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strconv"
)

// Analysis is what a person in a clip feels, and what shows it.
type Analysis struct {
	// Response is the text as the model gave it.
	Response string `json:"response"`
	// Emotion is the label with the highest probability; empty where a server's answer names none.
	Emotion string `json:"emotion"`
	// Confidence is its probability, 0 to 1; NaN only from a server that does not tell.
	Confidence Confidence `json:"confidence"`
	// Probabilities has each allowed label's, in the labels' order; empty only from a server that does not tell.
	Probabilities Probabilities `json:"probabilities"`
	// Explanation is what shows it, in sentences; empty when only the label was asked for.
	Explanation string `json:"explanation"`
	// Transcript is what is said; empty when nothing is, or when it was not wanted.
	Transcript string `json:"transcript"`
	// Language is the ISO 639-1 code of the language that was heard, or empty.
	Language string `json:"language,omitempty"`
	// Faces are all that were found, the described one first.
	Faces []Face `json:"faces"`
	// Frame is the picture that was described; nil without a face or without pictures.
	Frame *DescribedFrame `json:"frame"`
	// Cues are what was measured.
	Cues []Cue `json:"cues"`
	// Usage counts the language model's tokens.
	Usage Usage `json:"usage"`
	// TimingsMS says where the time went.
	TimingsMS Timings `json:"timings_ms"`
	// TimeToLabelMS is how many milliseconds it took until the label and its probability were known; the text follows.
	TimeToLabelMS float64 `json:"time_to_label_ms"`
	// Model is the one that answered.
	Model Model `json:"model"`
	// Notes are what the caller should know of this input, for example that it has no sound.
	Notes []Note `json:"notes"`

	// Raw is the result as the library gave it, with the fields that this package does not know.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads a result and keeps it in Raw.
func (a *Analysis) UnmarshalJSON(text []byte) error {
	type fields Analysis
	*a = Analysis{Confidence: Confidence(math.NaN())}
	if err := json.Unmarshal(text, (*fields)(a)); err != nil {
		return err
	}
	a.Raw = bytes.Clone(text)
	return nil
}

// Confidence is a probability, or NaN where a server does not tell. NaN is neither above nor below any number.
type Confidence float64

// Known reports whether there is a probability.
func (c Confidence) Known() bool { return !math.IsNaN(float64(c)) }

// String gives the number, or "unknown".
func (c Confidence) String() string {
	if !c.Known() {
		return "unknown"
	}
	return strconv.FormatFloat(float64(c), 'g', -1, 32)
}

// MarshalJSON gives the number, or null.
func (c Confidence) MarshalJSON() ([]byte, error) {
	if !c.Known() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(c))
}

// UnmarshalJSON reads a number, or null.
func (c *Confidence) UnmarshalJSON(text []byte) error {
	number := math.NaN()
	if err := json.Unmarshal(text, &number); err != nil {
		return err
	}
	*c = Confidence(number)
	return nil
}

// Probability is that of one label.
type Probability struct {
	Label string
	Value float64
}

// Probabilities are those of all labels. They sum to 1.
type Probabilities []Probability

// Of gives the probability of label; 0 for one that is not among them.
func (p Probabilities) Of(label string) float64 {
	for _, one := range p {
		if one.Label == label {
			return one.Value
		}
	}
	return 0
}

// MarshalJSON gives an object in the labels' order.
func (p Probabilities) MarshalJSON() ([]byte, error) {
	object := []byte{'{'}
	for i, one := range p {
		if i > 0 {
			object = append(object, ',')
		}
		label, err := json.Marshal(one.Label)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(one.Value)
		if err != nil {
			return nil, err
		}
		object = append(append(append(object, label...), ':'), value...)
	}
	return append(object, '}'), nil
}

// UnmarshalJSON reads an object and keeps its order.
func (p *Probabilities) UnmarshalJSON(text []byte) error {
	// This checks the types and, as null is possible, that there is an object.
	var values map[string]float64
	if err := json.Unmarshal(text, &values); err != nil || values == nil {
		*p = nil
		return err
	}
	*p = make(Probabilities, 0, len(values))
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if label, is := token.(string); is {
			*p = append(*p, Probability{label, values[label]})
		}
	}
}

// Rect is a rectangle in pixels of the source picture, after rotation.
type Rect struct {
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// Face is a face, followed through the clip.
type Face struct {
	// Box is where it is, in the picture at TimeS.
	Box Rect `json:"box"`
	// Score is how sure the detector is, 0 to 1.
	Score float64 `json:"score"`
	// Track is the number of the person, the same through the clip.
	Track int `json:"track"`
	// TimeS is the time of the picture, in seconds.
	TimeS float64 `json:"time_s"`
}

// DescribedFrame is the picture that was described.
type DescribedFrame struct {
	// TimeS is its time, in seconds.
	TimeS float64 `json:"time_s"`
	// Index is its number in the stream, from 0.
	Index uint64 `json:"index"`
	// Face is the face in it, or nil.
	Face *Rect `json:"face"`
}

// Cue is one measurement.
type Cue struct {
	// Name is stable, for example mouth_corner or pitch.
	Name string `json:"name"`
	// Value is the measurement in Unit, or nil where there is only Z.
	Value *float64 `json:"value,omitempty"`
	// Unit is that of Value.
	Unit string `json:"unit,omitempty"`
	// Z is the distance from the norm, in standard deviations.
	Z float64 `json:"z"`
	// Level is low, normal or high.
	Level string `json:"level"`
	// Reading is the level in words, for example raised.
	Reading string `json:"reading"`
}

// Usage counts tokens.
type Usage struct {
	// PromptTokens are the positions of the prompt, soft tokens included.
	PromptTokens int `json:"prompt_tokens"`
	// CompletionTokens are those of the response.
	CompletionTokens int `json:"completion_tokens"`
	// CachedTokens are the positions of the prompt that a session had read before.
	CachedTokens int `json:"cached_tokens"`
}

// Timings are milliseconds of each stage. Some run side by side, so the parts may add up to more than the total.
type Timings struct {
	Decode     float64 `json:"decode"`
	Preprocess float64 `json:"preprocess"`
	Encode     float64 `json:"encode"`
	Prefill    float64 `json:"prefill"`
	Generate   float64 `json:"generate"`
	Total      float64 `json:"total"`
}

// Model names a model.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Digest is the SHA-256 of the pack's manifest.
	Digest string `json:"digest"`
}

// Note is something that is not an error but that the caller should know.
type Note struct {
	// Name is stable, for example no_face.
	Name string `json:"name"`
	// Message is one sentence for a person.
	Message string `json:"message"`
}

// What an [Event]'s Type may be. Later libraries may have more; pass over those that you do not know.
const (
	// EventStage: a stage begins.
	EventStage = "stage"
	// EventLabel: the label is known; the text follows. A server of the published API does not tell it.
	EventLabel = "label"
	// EventText: a piece of the answer.
	EventText = "text"
	// EventResult: the result, the last event.
	EventResult = "result"
)

// What a stage may be.
const (
	// StageUpload sends the file to a server.
	StageUpload = "upload"
	// StageDecode reads the file.
	StageDecode = "decode"
	// StageObserve looks and listens.
	StageObserve = "observe"
	// StageRespond writes the answer.
	StageRespond = "respond"
)

// Event is what a stream gives.
type Event struct {
	// Type is EventStage, EventLabel, EventText or EventResult.
	Type string `json:"type"`
	// Stage is the stage that begins.
	Stage string `json:"stage,omitempty"`
	// Emotion is the label with the highest probability, of EventLabel.
	Emotion string `json:"emotion,omitempty"`
	// Confidence is its probability, 0 to 1.
	Confidence float64 `json:"confidence,omitempty"`
	// Probabilities has each allowed label's, in the labels' order.
	Probabilities Probabilities `json:"probabilities,omitempty"`
	// Text is a piece of the answer. The pieces add up to the response.
	Text string `json:"text,omitempty"`
	// Analysis is the result.
	Analysis *Analysis `json:"analysis,omitempty"`

	// Raw is the event as the library gave it.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads an event and keeps it in Raw.
func (e *Event) UnmarshalJSON(text []byte) error {
	type fields Event
	*e = Event{}
	if err := json.Unmarshal(text, (*fields)(e)); err != nil {
		return err
	}
	e.Raw = bytes.Clone(text)
	return nil
}

// Info says what a model is and can.
type Info struct {
	// Version is the library's.
	Version string `json:"version"`
	// ABIVersion is the library's.
	ABIVersion int `json:"abi_version"`
	// Pack is the model.
	Pack PackInfo `json:"pack"`
	// Labels are the emotions that it tells apart.
	Labels []string `json:"labels"`
	// Tasks are what it can be asked.
	Tasks []string `json:"tasks"`
	// Devices are what it computes on.
	Devices []string `json:"devices"`
	// Threads is how many each call computes with.
	Threads int `json:"threads"`

	// Raw is what the library gave, with the fields that this package does not know.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON reads what the library gave and keeps it in Raw.
func (i *Info) UnmarshalJSON(text []byte) error {
	type fields Info
	*i = Info{}
	if err := json.Unmarshal(text, (*fields)(i)); err != nil {
		return err
	}
	i.Raw = bytes.Clone(text)
	return nil
}

// PackInfo says which pack a model is.
type PackInfo struct {
	Model
	FormatVersion int    `json:"format_version"`
	Architecture  string `json:"architecture"`
	Description   string `json:"description"`
}
