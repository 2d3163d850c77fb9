//! What bodies look like, for the document: the types that the library itself reads and writes. Tests compare them with it.
#![allow(dead_code, reason = "the document is made of them; nothing else is")]

use serde::Serialize;
use utoipa::ToSchema;

/// One question about one clip. All fields may be left out; one that is not known is refused.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalyzeRequest {
    /// A file of the server. Not with an upload.
    path: Option<String>,
    /// Without it, the prompt's tag decides, or else `emotion`.
    task: Option<Task>,
    /// A question; may begin with `[emotion]` or `[reason]`.
    #[schema(max_length = 4000)]
    prompt: Option<String>,
    /// `auto`, `none`, or the words that are said.
    #[schema(max_length = 4000)]
    transcript: Option<String>,
    /// The label words to choose from.
    #[schema(min_items = 2, max_items = 64)]
    labels: Option<Vec<String>>,
    /// `peak`, `first`, `middle`, or seconds.
    frame: Option<Frame>,
    /// Which of the published model's prompts is written (converted packs only).
    prompt_path: Option<PromptPath>,
    /// Features that were extracted beforehand (converted packs only).
    #[schema(nullable = false)]
    features: Option<Features>,
    /// Most tokens of the answer.
    #[schema(minimum = 1)]
    max_new_tokens: Option<u64>,
    /// How freely words are chosen; 0 takes the likeliest.
    #[schema(minimum = 0)]
    temperature: Option<f32>,
    /// Only the likeliest words that make up this share are chosen from.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    /// Only so many likeliest words are chosen from; 0 for all.
    #[schema(minimum = 0)]
    top_k: Option<u64>,
    /// Words that were written already become less likely; 1 is off.
    #[schema(exclusive_minimum = 0)]
    repetition_penalty: Option<f32>,
    /// Seed of the choice.
    #[schema(minimum = 0)]
    seed: Option<u64>,
    /// Always take the likeliest word.
    greedy: Option<bool>,
    /// What is refused; the server may set narrower limits.
    #[schema(nullable = false)]
    limits: Option<RequestLimits>,
}

/// What is answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// The label alone.
    Emotion,
    /// The label and what shows it.
    Reason,
    /// The question as it stands.
    Free,
}

/// The frame that is described.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Frame {
    /// A word.
    Name(FrameName),
    /// Seconds from the start.
    Seconds(f64),
}

/// A frame by its place.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrameName {
    /// The most expressive one.
    Peak,
    /// The first one.
    First,
    /// The one in the middle.
    Middle,
}

/// The published model's prompts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptPath {
    /// As in training.
    Train,
    /// As in evaluation.
    Eval,
    /// As in the demo.
    Demo,
}

/// One vector from each of the published model's encoders.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// MAE, the face.
    mae: Option<Vec<f32>>,
    /// VideoMAE, the face's motion.
    videomae: Option<Vec<f32>>,
    /// HuBERT, the voice.
    hubert: Option<Vec<f32>>,
}

/// Which clips are refused.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestLimits {
    /// Longest clip in seconds.
    #[schema(exclusive_minimum = 0)]
    max_duration_s: Option<f64>,
    /// Most pixels of a picture.
    #[schema(minimum = 0)]
    max_pixels: Option<u64>,
    /// Most streams of the file.
    #[schema(minimum = 0)]
    max_streams: Option<u64>,
    /// Most bytes of the file.
    #[schema(minimum = 0)]
    max_bytes: Option<u64>,
}

/// A request with its clip.
#[derive(Serialize, ToSchema)]
pub struct AnalyzeForm {
    /// The request, without `path`. The first part, where it is given.
    request: Option<AnalyzeRequest>,
    /// The clip's bytes, with a file name.
    #[schema(value_type = String, format = Binary)]
    media: Vec<u8>,
}

/// What is asked of a conversation: a request's fields about the question.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskRequest {
    /// Without it, the prompt's tag decides, or else `emotion`.
    task: Option<Task>,
    /// A question; may begin with `[emotion]` or `[reason]`.
    #[schema(max_length = 4000)]
    prompt: Option<String>,
    /// The label words to choose from.
    #[schema(min_items = 2, max_items = 64)]
    labels: Option<Vec<String>>,
    /// Which of the published model's prompts is written (converted packs only).
    prompt_path: Option<PromptPath>,
    /// Most tokens of the answer.
    #[schema(minimum = 1)]
    max_new_tokens: Option<u64>,
    /// How freely words are chosen; 0 takes the likeliest.
    #[schema(minimum = 0)]
    temperature: Option<f32>,
    /// Only the likeliest words that make up this share are chosen from.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    /// Only so many likeliest words are chosen from; 0 for all.
    #[schema(minimum = 0)]
    top_k: Option<u64>,
    /// Words that were written already become less likely; 1 is off.
    #[schema(exclusive_minimum = 0)]
    repetition_penalty: Option<f32>,
    /// Seed of the choice.
    #[schema(minimum = 0)]
    seed: Option<u64>,
    /// Always take the likeliest word.
    greedy: Option<bool>,
}

/// Many requests.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Each as for `POST /v1/analyze`, with a field `id` of any kind besides, which its line repeats.
    #[schema(min_items = 1)]
    requests: Vec<BatchItem>,
}

/// A request of a batch. Its fields are those of [`AnalyzeRequest`] and `id`, which the document is given when it is made.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchItem {
    /// Of any kind; repeated in the line of the answer.
    id: Option<serde_json::Value>,
}

/// Many requests with their clips.
#[derive(Serialize, ToSchema)]
pub struct BatchForm {
    /// The requests. The first part, where it is given.
    requests: Option<Batch>,
    /// A clip for each request without a path, in their order.
    #[schema(value_type = Vec<String>, format = Binary)]
    media: Vec<Vec<u8>>,
}

/// A line of a batch's answer: an analysis or an error.
#[derive(Serialize, ToSchema)]
pub struct BatchLine {
    /// Which request, from 0.
    index: u64,
    /// As the request has it.
    id: Option<serde_json::Value>,
    /// The analysis.
    analysis: Option<Analysis>,
    /// What went wrong.
    error: Option<String>,
    /// Stable name of the kind of error.
    code: Option<String>,
    /// More of it: null, text or an object.
    details: Option<serde_json::Value>,
}

/// What the person in a clip feels, and what shows it.
#[derive(Serialize, ToSchema)]
pub struct Analysis {
    /// The text as the model gave it.
    response: String,
    /// The label with the highest probability.
    emotion: String,
    /// Its probability.
    confidence: Option<f32>,
    /// Each label with its probability. Sums to 1.
    #[schema(value_type = std::collections::BTreeMap<String, f32>)]
    probabilities: (),
    /// What shows it, in sentences.
    explanation: String,
    /// What is said in the clip.
    transcript: Option<String>,
    /// ISO 639-1 code of the language that was heard.
    language: Option<String>,
    /// Every face that was found, the described one first.
    faces: Vec<Face>,
    /// The frame that was described.
    frame: Option<DescribedFrame>,
    /// What was measured.
    cues: Vec<Cue>,
    /// Tokens read and written.
    usage: Usage,
    /// Milliseconds of each stage.
    timings_ms: Timings,
    /// Milliseconds from the beginning of the analysis until the label and the probabilities were known; the text follows.
    time_to_label_ms: f64,
    /// Which model answered.
    model: ModelInfo,
    /// What the caller should know of this clip.
    notes: Vec<Note>,
}

/// A rectangle in pixels.
#[derive(Serialize, ToSchema)]
pub struct Rect {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

/// A face.
#[derive(Serialize, ToSchema)]
pub struct Face {
    r#box: Rect,
    /// How sure the detector is.
    score: f32,
    /// Number of the person.
    track: u64,
    /// Seconds.
    time_s: f64,
}

/// A frame.
#[derive(Serialize, ToSchema)]
pub struct DescribedFrame {
    /// Seconds.
    time_s: f64,
    /// Its number, from 0.
    index: u64,
    /// The face in it.
    face: Option<Rect>,
}

/// A measurement.
#[derive(Serialize, ToSchema)]
pub struct Cue {
    /// For example `pitch`.
    name: String,
    /// In `unit`.
    value: Option<f32>,
    /// Unit of `value`.
    unit: Option<String>,
    /// Standard deviations from the norm.
    z: f32,
    /// `low`, `normal` or `high`.
    level: String,
    /// The level in words.
    reading: String,
}

/// Tokens.
#[derive(Serialize, ToSchema)]
pub struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    cached_tokens: u64,
}

/// Milliseconds.
#[derive(Serialize, ToSchema)]
pub struct Timings {
    decode: f64,
    preprocess: f64,
    encode: f64,
    prefill: f64,
    generate: f64,
    total: f64,
}

/// A model's name.
#[derive(Serialize, ToSchema)]
pub struct ModelInfo {
    name: String,
    version: String,
    digest: String,
}

/// A remark.
#[derive(Serialize, ToSchema)]
pub struct Note {
    /// Stable name.
    name: String,
    /// A sentence.
    message: String,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    /// A sentence: what, where, what to do.
    error: String,
    /// Stable name of the kind.
    code: Code,
    /// More of it: null, text or an object.
    details: Option<serde_json::Value>,
}

/// Kinds of errors.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400, 401, 403, 405, 408, 415
    InvalidArgument,
    /// 400
    MediaUndecodable,
    /// 413
    MediaTooLarge,
    /// 404
    NotFound,
    /// 500
    PackInvalid,
    /// 503
    OutOfMemory,
    /// 429, 503
    Overloaded,
    /// 499
    Cancelled,
    /// 504
    Timeout,
    /// 500
    Internal,
    /// 502
    Unreachable,
}

/// What FastAPI says of a body that cannot be used.
#[derive(Serialize, ToSchema)]
pub struct HTTPValidationError {
    /// The problems.
    detail: Vec<ValidationError>,
}

/// A problem.
#[derive(Serialize, ToSchema)]
pub struct ValidationError {
    /// Where: names and positions.
    #[schema(value_type = Vec<Value>)]
    loc: Vec<u8>,
    /// A sentence.
    msg: String,
    /// Stable name.
    r#type: String,
}

/// What `POST /api/predict/` takes.
#[derive(Serialize, ToSchema)]
pub struct PredictRequest {
    /// A path (or a picture in base64) and a question.
    #[schema(value_type = Vec<Value>, min_items = 2)]
    data: Vec<u8>,
}

/// What `POST /api/predict/` gives.
#[derive(Serialize, ToSchema)]
pub struct PredictResponse {
    /// The answer.
    #[schema(min_items = 1, max_items = 1)]
    data: Vec<String>,
    is_generating: bool,
    /// Seconds.
    duration: f64,
    /// Seconds.
    average_duration: f64,
}
