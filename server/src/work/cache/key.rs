//! What makes two requests equal: the clip's content, the question, every option, the model, and this program's version.
//!
//! A request has a seed, given or 0, and the engine gives the same answer for the same seed; so every answer about a clip can be kept, also
//! one whose words are drawn. What is not kept: answers of conversations, which depend on what was asked before, and answers about files so
//! long that hashing them would cost as much as it saves.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use emotion_llama_core::media::{OpenFile, Source};
use emotion_llama_core::request::Request;
use moka::sync::Cache as Moka;

use crate::work::ask::Ask;

/// Longest file that is hashed.
const LONGEST: u64 = 1 << 30;
/// Most files whose hashes are remembered.
const MOST_FILES: u64 = 4096;
/// A file that was changed so recently may change again without another time.
const UNSETTLED: Duration = Duration::from_secs(2);

/// A request's name. Equal requests have the same, others another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from(self.0).to_hex().to_string()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", &self.to_hex()[..8])
    }
}

/// What a file was like when it was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    file: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &OpenFile) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            file: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether a later change would show.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed.0.max(self.modified.0)).unwrap_or_default());
        changed + UNSETTLED < now
    }
}

/// A request's name, and what its file was like.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub key: Key,
    stamp: Option<(OpenFile, Stamp)>,
}

impl Named {
    /// Whether the file is still what it was; what an upload holds cannot change.
    pub fn is_unchanged(&self) -> bool {
        self.stamp.as_ref().is_none_or(|(file, stamp)| Stamp::of(file).is_ok_and(|now| now == *stamp))
    }
}

/// Hashes contents, and remembers those of files.
#[derive(Debug)]
pub struct Hasher(Moka<Stamp, blake3::Hash>);

impl Default for Hasher {
    fn default() -> Self {
        Self(Moka::new(MOST_FILES))
    }
}

impl Hasher {
    /// The name of what is asked of the model with this digest; None for what is not kept. Reads the file: not for threads that must not wait.
    pub fn name(&self, ask: &Ask, model: &str) -> Option<Named> {
        let (content, stamp) = match (&ask.upload, &ask.request.source) {
            (Some(upload), _) => (upload.digest(), None),
            (None, Source::Bytes(bytes)) => (blake3::hash(bytes), None),
            (None, Source::File(file)) => {
                let (content, stamp) = self.file(file).ok()??;
                (content, Some((file.clone(), stamp)))
            }
            (None, Source::Path(_)) => return None,
        };
        Some(Named { key: key(&ask.request, &content, model), stamp })
    }

    fn file(&self, file: &OpenFile) -> io::Result<Option<(blake3::Hash, Stamp)>> {
        let stamp = Stamp::of(file)?;
        if stamp.bytes > LONGEST {
            return Ok(None);
        }
        if let Some(content) = self.0.get(&stamp) {
            return Ok(Some((content, stamp)));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file.reader().take(LONGEST))?;
        let content = hasher.finalize();
        // It was written to meanwhile.
        if Stamp::of(file)? != stamp {
            return Ok(None);
        }
        if stamp.is_settled() {
            self.0.insert(stamp, content);
        }
        Ok(Some((content, stamp)))
    }
}

fn key(request: &Request, content: &blake3::Hash, model: &str) -> Key {
    let Request { source: _, question, transcript, frame, limits, features } = request;
    // The form for debugging holds every field, also those that will be added, and numbers to their last digit.
    let asked = format!("{:?}", (question, transcript, frame, limits, features));
    let mut hasher = blake3::Hasher::new_derive_key("emotion-llama-server 2026 answers, first form");
    for part in [env!("CARGO_PKG_VERSION").as_bytes(), model.as_bytes(), content.as_bytes(), asked.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Key(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn request(text: &str) -> Request {
        Request::from_json(text.as_bytes(), Some(Source::from(vec![1u8]))).unwrap()
    }

    #[test]
    fn whatever_changes_the_answer_changes_the_name() {
        let (one, two) = (blake3::hash(b"one"), blake3::hash(b"two"));
        let mut names =
            vec![key(&request("{}"), &one, "m"), key(&request("{}"), &two, "m"), key(&request("{}"), &one, "n")];
        for text in [
            r#"{"task": "reason"}"#,
            r#"{"prompt": "Why?"}"#,
            r#"{"prompt": "why?"}"#,
            r#"{"transcript": "none"}"#,
            r#"{"transcript": "auto "}"#,
            r#"{"labels": ["a", "b"]}"#,
            r#"{"labels": ["b", "a"]}"#,
            r#"{"labels": ["a, b", "c"]}"#,
            r#"{"labels": ["a", "b, c"]}"#,
            r#"{"frame": "first"}"#,
            r#"{"frame": 0.5}"#,
            r#"{"prompt_path": "demo"}"#,
            r#"{"features": {"mae": [1]}}"#,
            r#"{"features": {"hubert": [1]}}"#,
            r#"{"features": {"hubert": [1.0000001]}}"#,
            r#"{"max_new_tokens": 7}"#,
            r#"{"temperature": 0.3}"#,
            r#"{"top_p": 0.5}"#,
            r#"{"top_k": 5}"#,
            r#"{"repetition_penalty": 1.2}"#,
            r#"{"seed": 1}"#,
            r#"{"greedy": true}"#,
            r#"{"limits": {"max_bytes": 100}}"#,
        ] {
            names.push(key(&request(text), &one, "m"));
        }
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{index}");
        }
        assert_eq!(key(&request(r#"{"seed": 0, "temperature": 0.2}"#), &one, "m"), names[0]);
    }

    #[test]
    fn a_files_hash_is_remembered_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip");
        let write = |text: &str, seconds: u64| {
            let mut file = std::fs::File::create(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        let hasher = Hasher::default();
        let content = || {
            let file = OpenFile::new(std::fs::File::open(&path).unwrap(), "clip");
            hasher.file(&file).unwrap().unwrap().0
        };
        write("one", 1000);
        assert_eq!(content(), blake3::hash(b"one"));
        // As long, and as old: the time of the change itself cannot be set.
        write("two", 1000);
        assert_eq!(content(), blake3::hash(b"two"));
    }
}
