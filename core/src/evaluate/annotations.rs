//! Upstream's list of clips: one line `name frames label valence` each.

use std::collections::HashMap;
use std::path::Path;

use super::text::read_text;
use crate::error::{Error, Result};

/// One clip and what it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Name of the clip's file without its extension.
    pub name: String,
    /// Number of frames that the list gives for it. Not used here, nor by upstream's evaluation.
    pub frames: u64,
    /// The label.
    pub label: String,
    /// Valence, where it is given.
    pub valence: Option<f64>,
    /// Number of the line in the file, from 1.
    pub line: usize,
}

/// Reads the list of clips in `path`.
///
/// As upstream's `line.strip().split(' ')`: name, number of frames, label, and mostly a valence, between white space; what
/// follows is ignored. Empty lines, a byte order mark and CRLF are allowed.
///
/// # Errors
/// `not_found` when there is no such file. `invalid_argument` naming the file, and the line where a field is missing or is no number
/// or a name comes a second time; also when the file is not UTF-8 or lists nothing.
pub fn annotations(path: &Path) -> Result<Vec<Annotation>> {
    let attempt = || -> Result<Vec<Annotation>> {
        let text = read_text(path)?;
        let mut clips: Vec<Annotation> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line_number = number + 1;
            let Some(clip) =
                annotation(line, line_number).map_err(|error| error.context(format!("line {line_number}")))?
            else {
                continue;
            };
            if let Some(first) = lines.insert(clip.name.clone(), line_number) {
                return Err(Error::invalid_argument(format!(
                    "line {line_number}: {:?} is already in line {first}; give each clip once",
                    clip.name
                )));
            }
            clips.push(clip);
        }
        if clips.is_empty() {
            return Err(Error::invalid_argument(
                "lists no clips; give lines of name, number of frames, label, valence",
            ));
        }
        Ok(clips)
    };
    attempt().map_err(|error| error.context(path.display()))
}

fn annotation(line: &str, line_number: usize) -> Result<Option<Annotation>> {
    let mut fields = line.split_whitespace();
    let Some(name) = fields.next() else { return Ok(None) };
    let (Some(frames), Some(label)) = (fields.next(), fields.next()) else {
        return Err(Error::invalid_argument(format!(
            "{:?} is not a clip; give name, number of frames, label, valence",
            shortened(line)
        )));
    };
    let frames = frames.parse().map_err(|_| {
        Error::invalid_argument(format!("{:?} stands where the number of frames should", shortened(frames)))
    })?;
    let valence =
        match fields.next() {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                Error::invalid_argument(format!("{:?} stands where the valence should", shortened(text)))
            })?),
        };
    Ok(Some(Annotation { name: name.to_owned(), frames, label: label.to_owned(), valence, line: line_number }))
}

/// The start of a text from outside, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Vec<Annotation>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clips.txt");
        std::fs::write(&path, text).unwrap();
        annotations(&path)
    }

    #[test]
    fn lines_as_upstream_writes_them() {
        let text =
            "\u{feff}samplenew_00000611 38 neutral -0.5\r\n\r\n  sample_2\t1  worried\n\nsample_3 250 happy 1.5 x\n";
        let clips = parsed(text.as_bytes()).unwrap();
        let clip = |name: &str, frames, label: &str, valence, line| Annotation {
            name: name.into(),
            frames,
            label: label.into(),
            valence,
            line,
        };
        let expected = [
            clip("samplenew_00000611", 38, "neutral", Some(-0.5), 1),
            clip("sample_2", 1, "worried", None, 3),
            clip("sample_3", 250, "happy", Some(1.5), 5),
        ];
        assert_eq!(clips, expected);
    }

    #[test]
    fn errors_name_file_and_line() {
        let cases: [(&[u8], &str); 7] = [
            (b"a 1 happy\nb 2\n", "clips.txt: line 2: \"b 2\" is not a clip"),
            (b"a 1 happy\n\nb x sad 0\n", "line 3: \"x\" stands where the number of frames should"),
            (b"a -1 happy\n", "line 1: \"-1\""),
            (b"a 1 happy very\n", "line 1: \"very\" stands where the valence should"),
            (b"a 1 happy\nb 1 sad\na 2 sad\n", "line 3: \"a\" is already in line 1"),
            (b"a 1 happy\nb\xff 1 sad\n", "line 2: not UTF-8"),
            (b"\n  \n", "clips.txt: lists no clips"),
        ];
        for (text, expected) in cases {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.name(), "invalid_argument");
            assert!(error.message.contains(expected), "{}: wanted {expected:?}", error.message);
        }
        let error = annotations(Path::new("no/such/clips.txt")).unwrap_err();
        assert_eq!(error.name(), "not_found");
        assert!(error.message.contains("no/such/clips.txt"));
    }
}
