//! Upstream's `transcription_en_all.csv`: what is said in each clip.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use csv_core::{ReadFieldResult, Reader};

use super::text::read_text;
use crate::error::{Error, Result};

/// Names of the columns that are read.
const NAME: &str = "name";
const SENTENCE: &str = "sentence";

/// What is said in each clip, by the clip's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcripts {
    path: PathBuf,
    sentences: HashMap<String, String>,
}

impl Transcripts {
    /// Reads a CSV file (RFC 4180) with a header line that names the columns `name` and `sentence`; other columns are ignored.
    ///
    /// # Errors
    /// `not_found` when there is no such file. `invalid_argument` naming the file, and the line where a field is missing or a name
    /// comes a second time; also when one of the columns is missing or the file is not UTF-8.
    pub fn open(path: &Path) -> Result<Self> {
        match read_text(path).and_then(|text| sentences(&text)) {
            Ok(sentences) => Ok(Self { path: path.to_path_buf(), sentences }),
            Err(error) => Err(error.context(path.display())),
        }
    }

    /// What is said in the clip called `name`, without white space around it; empty when it is known that nothing is. None: the
    /// file does not list the clip.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.sentences.get(name).map(String::as_str)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn sentences(text: &str) -> Result<HashMap<String, String>> {
    let mut records = Records::new(text);
    let header = records.next().map(|record| record.fields).unwrap_or_default();
    let (name_at, sentence_at) = (column(&header, NAME)?, column(&header, SENTENCE)?);
    let mut sentences = HashMap::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    for Record { line, fields } in records {
        let field = |at: usize, column: &str| {
            let missing = || Error::invalid_argument(format!("line {line}: has no field for the column {column:?}"));
            fields.get(at).map(|field| field.trim()).ok_or_else(missing)
        };
        let (name, sentence) = (field(name_at, NAME)?, field(sentence_at, SENTENCE)?);
        if let Some(first) = lines.insert(name.to_owned(), line) {
            return Err(Error::invalid_argument(format!(
                "line {line}: {name:?} is already in line {first}; give each clip once"
            )));
        }
        sentences.insert(name.to_owned(), sentence.to_owned());
    }
    Ok(sentences)
}

/// Position of the column called `name`.
fn column(header: &[String], name: &str) -> Result<usize> {
    header.iter().position(|title| title.trim() == name).ok_or_else(|| {
        let found: Vec<&String> = header.iter().take(20).collect();
        Error::invalid_argument(format!("has no column {name:?}; its first line names {found:?}"))
    })
}

struct Record {
    /// Number of its first line, from 1.
    line: usize,
    fields: Vec<String>,
}

/// Goes along the records of a CSV text.
struct Records<'a> {
    reader: Reader,
    rest: &'a str,
    line: usize,
    /// As long as the text, so that any field fits.
    field: Vec<u8>,
}

impl<'a> Records<'a> {
    fn new(text: &'a str) -> Self {
        Self { reader: Reader::new(), rest: text, line: 1, field: vec![0; text.len() + 1] }
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let start = self.rest.trim_start_matches(['\r', '\n']);
        self.line += lines_in(&self.rest[..self.rest.len() - start.len()]);
        self.rest = start;
        let before = self.rest;
        let (mut fields, mut length) = (Vec::new(), 0);
        loop {
            let (result, read, written) = self.reader.read_field(self.rest.as_bytes(), &mut self.field[length..]);
            // Fields end at commas, quotes and line ends, so a character is never cut.
            self.rest = self.rest.get(read..).unwrap_or_default();
            length += written;
            let ended = match result {
                ReadFieldResult::Field { record_end } => {
                    fields.push(String::from_utf8_lossy(&self.field[..length]).into_owned());
                    length = 0;
                    record_end
                }
                ReadFieldResult::End => return None,
                // The text is over: the next call, with nothing, ends the field.
                ReadFieldResult::InputEmpty => false,
                ReadFieldResult::OutputFull => return None,
            };
            if ended {
                let line = self.line;
                self.line += lines_in(&before[..before.len() - self.rest.len()]);
                return Some(Record { line, fields });
            }
        }
    }
}

fn lines_in(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &[u8]) -> Result<Transcripts> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words.csv");
        std::fs::write(&path, text).unwrap();
        Transcripts::open(&path)
    }

    #[test]
    fn quotes_commas_and_line_ends_inside_a_field() {
        let text = "\u{feff}name,chinese,sentence\r\na,\"x\",\"Well, he said \"\"no\"\".\nThen he left.\"\r\nb,,  So. \r\n\r\nc,y,\r\n";
        let words = parsed(text.as_bytes()).unwrap();
        assert_eq!(words.get("a"), Some("Well, he said \"no\".\nThen he left."));
        assert_eq!(words.get("b"), Some("So."));
        assert_eq!(words.get("c"), Some(""));
        assert_eq!(words.get("d"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[a,\"\r\né ]{0,60}") {
            let records: Vec<Record> = Records::new(&text).collect();
            prop_assert!(records.len() <= text.len() + 1);
            prop_assert!(records.windows(2).all(|pair| pair[0].line <= pair[1].line));
            let letters = |text: &str| text.chars().filter(|c| *c == 'a' || *c == 'é').count();
            let kept: usize = records.iter().flat_map(|record| &record.fields).map(|field| letters(field)).sum();
            prop_assert_eq!(kept, letters(&text));
        }
    }

    #[test]
    fn errors_name_file_and_line() {
        let cases: [(&[u8], &str); 6] = [
            (
                b"clip,sentence\na,b\n",
                "words.csv: has no column \"name\"; its first line names [\"clip\", \"sentence\"]",
            ),
            (b"", "has no column \"name\""),
            (b"name,sentence\na,b\nc\n", "line 3: has no field for the column \"sentence\""),
            (b"name,sentence\na,\"b\nb\"\na,c\n", "line 4: \"a\" is already in line 2"),
            (b"name,sentence\r\na,\"b\r\nb\"\r\n\r\nc\r\n", "line 5: has no field"),
            (b"name,sentence\na,b\nc,\xff\xfe\n", "line 3: not UTF-8"),
        ];
        for (text, expected) in cases {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.name(), "invalid_argument");
            assert!(error.message.contains(expected), "{}: wanted {expected:?}", error.message);
        }
        let error = Transcripts::open(Path::new("no/such/words.csv")).unwrap_err();
        assert_eq!(error.name(), "not_found");
        assert!(error.message.contains("no/such/words.csv"), "{error}");
    }
}
