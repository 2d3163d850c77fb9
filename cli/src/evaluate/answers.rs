//! The file with the answers: one JSON object a line, written as the run goes on, and read to go on with it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use emotion_llama_core::analysis::Analysis;
use emotion_llama_core::evaluate::Annotation;
use emotion_llama_core::prompt::published::PromptPath;
use emotion_llama_core::Error;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What an answer depends on besides the clip. Answers of different runs are not mixed in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Digest of the pack.
    pub pack: String,
    /// The frame that was described: `peak`, `first`, `middle` or seconds.
    pub frame: String,
    /// Whether the words came from a file.
    pub transcripts: bool,
    /// The encoders whose features came from files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Which of the published model's prompts was written, where the caller chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_path: Option<PromptPath>,
    /// The caller's labels; None for the pack's.
    pub labels: Option<Vec<String>>,
}

impl Run {
    /// What differs between two runs, for a message.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        match () {
            () if self.pack != other.pack => Some("by another pack"),
            () if self.frame != other.frame => Some("with another --frame"),
            () if self.transcripts != other.transcripts => Some("with --transcripts in one run and not in the other"),
            () if self.features != other.features => Some("with other --features"),
            () if self.prompt_path != other.prompt_path => Some("with another --prompt-path"),
            () if self.labels != other.labels => Some("with other --labels"),
            () => None,
        }
    }
}

/// Why a clip has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable name of the kind of error.
    pub name: String,
    /// One sentence for a person.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { name: error.name().to_owned(), message: error.message.clone() }
    }
}

/// One clip's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerLine {
    /// Name of the clip.
    pub name: String,
    /// The label that the list gives it.
    pub truth: String,
    /// The answer's last word, see [`emotion_llama_core::evaluate::answer_word`]. None without an answer, as all up to `error`.
    pub answer: Option<String>,
    /// The label that the language model finds likeliest.
    pub emotion: Option<String>,
    /// Each label's probability.
    pub probabilities: Option<IndexMap<String, f32>>,
    /// The whole answer.
    pub response: Option<String>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What the answer depends on.
    pub run: Run,
}

impl AnswerLine {
    /// The line of a clip whose answer ends in `word`.
    pub fn answered(clip: &Annotation, run: &Run, word: &str, analysis: Analysis) -> Self {
        Self {
            answer: Some(word.to_owned()),
            emotion: Some(analysis.emotion),
            probabilities: Some(analysis.probabilities),
            response: Some(analysis.response),
            error: None,
            ..Self::empty(clip, run)
        }
    }

    /// The line of a clip without an answer.
    pub fn failed(clip: &Annotation, run: &Run, failure: Failure) -> Self {
        Self { error: Some(failure), ..Self::empty(clip, run) }
    }

    fn empty(clip: &Annotation, run: &Run) -> Self {
        Self {
            name: clip.name.clone(),
            truth: clip.label.clone(),
            answer: None,
            emotion: None,
            probabilities: None,
            response: None,
            error: None,
            run: run.clone(),
        }
    }
}

/// The file with the answers, open for more.
pub struct AnswersFile {
    path: PathBuf,
    file: File,
    lines: HashMap<String, AnswerLine>,
}

impl AnswersFile {
    /// Opens or creates the file and reads what it holds. A last line that was cut, and the lines of clips that failed, are taken out:
    /// those clips are tried again.
    ///
    /// # Errors
    /// `invalid_argument` when it cannot be read or written, or holds anything but answers of the same run to the same list.
    pub fn open(path: &Path, run: &Run, clips: &[Annotation]) -> Result<Self, Error> {
        let attempt = || -> Result<Self, Error> {
            let failed = |what: &str, error: &io::Error| {
                Error::invalid_argument(format!("cannot be {what}: {error}; choose another --out"))
            };
            let bytes = match std::fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(failed("read", &error)),
            };
            let (lines, kept) = parse(&bytes, run, clips)?;
            if kept != bytes {
                replace(path, &kept).map_err(|error| failed("written", &error))?;
            }
            let file = OpenOptions::new().append(true).create(true).open(path);
            let file = file.map_err(|error| failed("written", &error))?;
            Ok(Self { path: path.to_path_buf(), file, lines })
        };
        attempt().map_err(|error| error.context(path.display()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The answer to the clip called `name`.
    pub fn get(&self, name: &str) -> Option<&AnswerLine> {
        self.lines.get(name)
    }

    /// Adds a line; it is in the file when this returns.
    pub fn append(&mut self, line: AnswerLine) -> io::Result<()> {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file
            .write_all(&text)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))?;
        self.lines.insert(line.name.clone(), line);
        Ok(())
    }
}

/// The answers in `bytes`, and the bytes of their lines.
fn parse(bytes: &[u8], run: &Run, clips: &[Annotation]) -> Result<(HashMap<String, AnswerLine>, Vec<u8>), Error> {
    let truths: HashMap<&str, &str> = clips.iter().map(|clip| (clip.name.as_str(), clip.label.as_str())).collect();
    let mut lines: HashMap<String, AnswerLine> = HashMap::new();
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((number, text)) = rest.next() {
        let wrong =
            |what: String| Error::invalid_argument(format!("line {}: {what}; choose another --out", number + 1));
        if text.trim_ascii().is_empty() {
            continue;
        }
        let line: AnswerLine = match serde_json::from_slice(text) {
            Ok(line) if text.ends_with(b"\n") => line,
            // The run before ended while it wrote.
            _ if rest.peek().is_none() && is_cut(text) => break,
            Ok(_) => break,
            Err(error) => return Err(wrong(format!("is no answer of this command ({error})"))),
        };
        if let Some(difference) = line.run.difference(run) {
            return Err(wrong(format!("was answered {difference}")));
        }
        match truths.get(line.name.as_str()) {
            Some(truth) if *truth != line.truth => {
                return Err(wrong(format!("{:?} shows {:?} there, {truth:?} in the list", line.name, line.truth)));
            }
            _ => {}
        }
        if line.error.is_some() {
            continue;
        }
        if lines.contains_key(&line.name) {
            return Err(wrong(format!("{:?} has an answer already", line.name)));
        }
        kept.extend(text);
        lines.insert(line.name.clone(), line);
    }
    Ok((lines, kept))
}

/// Whether a last line looks like one of ours that was not written to its end. A file of another kind is not to be cut.
fn is_cut(text: &[u8]) -> bool {
    const START: &[u8] = b"{\"name\":";
    !text.ends_with(b"\n") && (text.starts_with(START) || START.starts_with(text))
}

/// Replaces the file in one step.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            pack: "d1".into(),
            frame: "first".into(),
            transcripts: false,
            features: Vec::new(),
            prompt_path: None,
            labels: None,
        }
    }

    fn clip(name: &str, label: &str) -> Annotation {
        Annotation { name: name.into(), frames: 1, label: label.into(), valence: None, line: 1 }
    }

    fn line(name: &str, run: &Run) -> AnswerLine {
        AnswerLine { answer: Some("happy".into()), ..AnswerLine::empty(&clip(name, "happy"), run) }
    }

    fn text(lines: &[AnswerLine]) -> String {
        lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
    }

    #[test]
    fn what_was_answered_is_kept_and_what_was_cut_or_failed_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let clips = [clip("a", "happy"), clip("b", "happy")];
        let failed = AnswerLine::failed(&clips[1], &run(), Failure { name: "x".into(), message: "y".into() });
        let whole = text(&[line("a", &run()), failed, line("elsewhere", &run())]);
        let third = text(&[line("b", &run())]);
        for cut in 0..third.len() {
            std::fs::write(&path, format!("{whole}{}", &third[..cut])).unwrap();
            let mut file = AnswersFile::open(&path, &run(), &clips).unwrap();
            assert!(file.get("a").is_some() && file.get("elsewhere").is_some() && file.get("b").is_none(), "{cut}");
            file.append(line("b", &run())).unwrap();
            let expected = text(&[line("a", &run()), line("elsewhere", &run()), line("b", &run())]);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected, "{cut}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn other_files_and_other_runs_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let clips = [clip("a", "happy")];
        let other = |change: fn(&mut Run)| {
            let mut other = run();
            change(&mut other);
            text(&[line("b", &run()), line("a", &other)])
        };
        let cases = [
            (other(|run| run.pack = "d2".into()), "line 2: was answered by another pack"),
            (other(|run| run.frame = "peak".into()), "another --frame"),
            (other(|run| run.features.push("mae".into())), "other --features"),
            (other(|run| run.prompt_path = Some(PromptPath::Demo)), "another --prompt-path"),
            (other(|run| run.transcripts = true), "--transcripts in one run"),
            (other(|run| run.labels = Some(vec!["x".into()])), "other --labels"),
            (text(&[line("a", &run()), line("a", &run())]), "line 2: \"a\" has an answer already"),
            (
                text(&[line("a", &run())]).replace("happy\",\"answer", "sad\",\"answer"),
                "shows \"sad\" there, \"happy\"",
            ),
            ("{\"name\": 1}\n".to_owned(), "line 1: is no answer of this command"),
            ("name,sentence\na,b\n".to_owned(), "line 1: is no answer"),
            ("My only notes".to_owned(), "line 1: is no answer"),
            (format!("{{\"name\":\"x\n{}", text(&[line("a", &run())])), "line 1: is no answer"),
        ];
        for (content, expected) in cases {
            std::fs::write(&path, &content).unwrap();
            let error = AnswersFile::open(&path, &run(), &clips).err().unwrap();
            assert_eq!(error.name(), "invalid_argument");
            assert!(
                error.message.contains(expected) && error.message.contains("--out"),
                "{error}: wanted {expected:?}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        assert!(AnswersFile::open(dir.path(), &run(), &clips).is_err());
        assert!(AnswersFile::open(&dir.path().join("no/such/a.jsonl"), &run(), &clips).is_err());
    }
}
