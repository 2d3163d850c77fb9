//! What a caller asks.

mod json;
mod write;

use crate::error::{Error, Result};
use crate::face::FramePick;
use crate::features::ClipFeatures;
use crate::llama::SamplingOptions;
use crate::media::{Limits, Source};
use crate::prompt::published::PromptPath;
use crate::prompt::Task;

/// Most labels in one request.
const MAX_LABELS: usize = 64;
/// Longest label, question and transcript, in bytes. Beyond it the prompt would not fit the model's context.
const MAX_LABEL_BYTES: usize = 64;
const MAX_TEXT_BYTES: usize = 4000;

/// Where the words come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Transcript {
    /// Speech recognition in the clip's own language.
    #[default]
    Auto,
    /// The caller knows what is said.
    Text(String),
    /// The words are left out.
    None,
}

impl From<&str> for Transcript {
    /// `auto`, `none`, or the words themselves.
    fn from(value: &str) -> Self {
        match value {
            "auto" => Transcript::Auto,
            "none" => Transcript::None,
            text => Transcript::Text(text.to_owned()),
        }
    }
}

/// One question about one clip.
#[derive(Debug, Clone)]
pub struct Request {
    /// The clip.
    pub source: Source,
    /// What is asked.
    pub question: Question,
    /// Where the words come from.
    pub transcript: Transcript,
    /// The frame that is described.
    pub frame: FramePick,
    /// Which inputs are refused.
    pub limits: Limits,
    /// Features that were extracted beforehand, in place of what the published model's encoders would give.
    pub features: ClipFeatures,
}

impl Request {
    /// A request about `source` with every option at its default: the emotion, words by speech recognition, peak frame.
    pub fn new(source: impl Into<Source>) -> Self {
        Self {
            source: source.into(),
            question: Question::default(),
            transcript: Transcript::Auto,
            frame: FramePick::Peak,
            limits: Limits::default(),
            features: ClipFeatures::default(),
        }
    }
}

/// One question about a clip that is there already, such as one from a [`crate::live::LiveBuffer`]: a [`Request`] without the source.
#[derive(Debug, Clone, Default)]
pub struct ClipRequest {
    /// What is asked.
    pub question: Question,
    /// Where the words come from.
    pub transcript: Transcript,
    /// The frame that is described. Cut the clip with the sampling that [`crate::engine::Engine::sampling`] gives for it.
    pub frame: FramePick,
    /// Features that were extracted beforehand, in place of what the published model's encoders would give.
    pub features: ClipFeatures,
}

/// What is asked about a clip, and how the answer is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// The task; None leaves it to the prompt's tag, or else to [`Task::Free`] with a prompt and [`Task::Emotion`] without.
    pub task: Option<Task>,
    /// The caller's own question. `[emotion] …` and `[reason] …` name the task.
    pub prompt: Option<String>,
    /// The allowed label words; None for the pack's.
    pub labels: Option<Vec<String>>,
    /// Which of the published model's prompts is written; None for [`PromptPath::Eval`]. Only for converted packs.
    pub prompt_path: Option<PromptPath>,
    /// How the text is generated.
    pub sampling: SamplingOptions,
}

impl Question {
    /// The task and the question's text without its tag.
    pub(crate) fn resolve(&self) -> (Task, Option<&str>) {
        let (tagged, text) = match self.prompt.as_deref().map(Task::split_tag) {
            Some((tag, text)) => (tag, Some(text).filter(|text| !text.is_empty())),
            None => (None, None),
        };
        let otherwise = if text.is_some() { Task::Free } else { Task::Emotion };
        (self.task.or(tagged).unwrap_or(otherwise), text)
    }

    /// Checks what does not depend on a pack.
    ///
    /// # Errors
    /// `invalid_argument` naming the option, its value and what to give.
    pub fn validate(&self) -> Result<()> {
        self.sampling.validate()?;
        check_text("prompt", self.prompt.as_deref())?;
        let Some(labels) = &self.labels else { return Ok(()) };
        if !(2..=MAX_LABELS).contains(&labels.len()) {
            return Err(Error::invalid_argument(format!(
                "{} labels given; give between 2 and {MAX_LABELS}",
                labels.len()
            )));
        }
        for (index, label) in labels.iter().enumerate() {
            if label.trim() != label || label.is_empty() || label.len() > MAX_LABEL_BYTES || label.contains('\n') {
                return Err(Error::invalid_argument(format!(
                    "label {label:?} cannot be used; give a word of 1 to {MAX_LABEL_BYTES} bytes without spaces around it"
                )));
            }
            if labels[..index].contains(label) {
                return Err(Error::invalid_argument(format!("label {label:?} is given twice; give each once")));
            }
        }
        Ok(())
    }
}

/// Checks the length of a text from outside.
pub(crate) fn check_text(name: &str, text: Option<&str>) -> Result<()> {
    match text {
        Some(text) if text.len() > MAX_TEXT_BYTES => {
            Err(Error::invalid_argument(format!("the {name} has {} bytes; give at most {MAX_TEXT_BYTES}", text.len())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(task: Option<Task>, prompt: Option<&str>) -> Question {
        Question { task, prompt: prompt.map(str::to_owned), ..Question::default() }
    }

    #[test]
    fn the_task_comes_from_the_option_then_the_tag_then_the_prompt() {
        assert_eq!(question(None, None).resolve(), (Task::Emotion, None));
        assert_eq!(question(None, Some("[reason] Why?")).resolve(), (Task::Reason, Some("Why?")));
        assert_eq!(question(None, Some("[reason]")).resolve(), (Task::Reason, None));
        assert_eq!(question(None, Some("Why?")).resolve(), (Task::Free, Some("Why?")));
        assert_eq!(question(Some(Task::Emotion), Some("[reason] Why?")).resolve(), (Task::Emotion, Some("Why?")));
    }

    #[test]
    fn labels_that_cannot_be_used_are_refused() {
        let many = (0..65).map(|i| format!("l{i}")).collect::<Vec<_>>();
        let long = "x".repeat(65);
        let bad: [&[&str]; 5] = [&["one"], &["a", "a"], &["a", " b"], &["a", ""], &["a", &long]];
        for labels in bad {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            let error = Question { labels: Some(labels), ..Question::default() }.validate().unwrap_err();
            assert_eq!(error.name(), "invalid_argument");
        }
        assert!(Question { labels: Some(many), ..Question::default() }.validate().is_err());
        assert!(question(None, Some(&"x".repeat(4001))).validate().is_err());
        assert!(Question { labels: Some(vec!["calm".into(), "bored".into()]), ..Question::default() }
            .validate()
            .is_ok());
    }
}
