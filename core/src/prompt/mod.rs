//! From a request to the segments of a prompt: text and soft tokens in the order in which the model reads them.
//!
//! [`template`] fills the built-in model's template, [`published`] writes the three prompts of the published model.

pub mod published;
pub mod template;

use crate::error::{Error, Result};

/// What is asked of the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Task {
    /// The label alone.
    #[default]
    Emotion,
    /// The label and what shows it.
    Reason,
    /// Whatever the caller's own question asks for, without a tag.
    Free,
}

impl Task {
    /// The task called `name`.
    ///
    /// # Errors
    /// `invalid_argument` listing the names.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "emotion" => Ok(Task::Emotion),
            "reason" => Ok(Task::Reason),
            "free" => Ok(Task::Free),
            other => Err(Error::invalid_argument(format!(
                "unknown task {other:?}; use emotion, reason, or free with a prompt"
            ))),
        }
    }

    /// The name that [`Task::parse`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            Task::Emotion => "emotion",
            Task::Reason => "reason",
            Task::Free => "free",
        }
    }

    /// Splits a prompt as upstream writes it: `[emotion] …` and `[reason] …` name the task, other text leaves it open.
    pub fn split_tag(prompt: &str) -> (Option<Self>, &str) {
        let prompt = prompt.trim();
        for (tag, task) in [("[emotion]", Task::Emotion), ("[reason]", Task::Reason)] {
            if let Some(rest) = prompt.strip_prefix(tag) {
                return (Some(task), rest.trim_start());
            }
        }
        (None, prompt)
    }
}

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Text to be tokenized as one piece, special tokens included.
    Text(String),
    /// The soft tokens of the feature with this name.
    Soft(String),
}

/// Parts a prompt behind its last soft token: what it says of the clip, and what comes after.
pub(crate) fn split_clip(mut segments: Vec<Segment>) -> (Vec<Segment>, Vec<Segment>) {
    let clip = segments.iter().rposition(|segment| matches!(segment, Segment::Soft(_))).map_or(0, |last| last + 1);
    let rest = segments.split_off(clip);
    (segments, rest)
}

/// What a prompt is made from.
#[derive(Debug, Clone, Copy)]
pub struct PromptParts<'a> {
    /// Which task's tag and question are used.
    pub task: Task,
    /// The caller's question; None for the task's own.
    pub question: Option<&'a str>,
    /// What the person says.
    pub transcript: Option<&'a str>,
    /// The labels that the caller chose; None for the pack's own.
    pub labels: Option<&'a [String]>,
}

/// Text from outside as one line that cannot be taken for special tokens: in the vocabularies of packs these begin with `<` before a letter,
/// a slash or a bar (`<file_sep>`, `</s>`, `<|im_end|>`).
fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("|>", "| >");
    let mut line = String::with_capacity(words.len());
    let mut letters = words.chars().peekable();
    while let Some(letter) = letters.next() {
        line.push(letter);
        if letter == '<' && letters.peek().is_some_and(|next| next.is_alphabetic() || "/|_".contains(*next)) {
            line.push(' ');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_tags_name_the_task() {
        assert_eq!(Task::split_tag("[emotion] What?"), (Some(Task::Emotion), "What?"));
        assert_eq!(Task::split_tag(" [reason]Why?"), (Some(Task::Reason), "Why?"));
        assert_eq!(Task::split_tag("Who?"), (None, "Who?"));
        assert_eq!(Task::parse("guess").unwrap_err().name(), "invalid_argument");
    }

    #[test]
    fn words_from_outside_hold_no_special_tokens() {
        assert_eq!(plain("a </s><s> <|im_end|>\n<unk>"), "a < /s>< s> < |im_end| > < unk>");
        assert_eq!(plain("<file_sep><</s>/s> <_x> <3 a<b a < b"), "< file_sep><< /s>/s> < _x> <3 a< b a < b");
    }
}
