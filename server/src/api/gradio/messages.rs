//! What is written on Gradio's streams.

use serde::Serialize;
use serde_json::Value;

/// A message on a session's stream.
#[derive(Debug, Serialize)]
#[serde(tag = "msg", rename_all = "snake_case")]
pub enum Message<'a> {
    /// How many are before an event.
    Estimation {
        /// The event.
        event_id: Option<&'a str>,
        /// So many are before it.
        rank: Option<usize>,
        /// So many wait.
        queue_size: usize,
        /// Seconds until its answer may be there.
        rank_eta: Option<f64>,
    },
    /// An event's turn has come.
    ProcessStarts {
        /// The event.
        event_id: &'a str,
        /// Seconds that it may take.
        eta: Option<f64>,
    },
    /// A piece of an answer: all of it in the first one, then what came to it.
    ProcessGenerating {
        /// The event.
        event_id: &'a str,
        /// The piece.
        output: Output,
        /// Always true.
        success: bool,
    },
    /// An event ended.
    ProcessCompleted {
        /// The event.
        event_id: &'a str,
        /// How.
        output: Ended<'a>,
        /// Whether there is an answer, or nobody wants one any more.
        success: bool,
    },
    /// A sign of life.
    Heartbeat {
        /// Always null.
        event_id: Option<&'a str>,
    },
    /// The last one: nothing of the session is waited for.
    CloseStream {
        /// Always null.
        event_id: Option<&'a str>,
    },
    /// The stream cannot be had.
    UnexpectedError {
        /// Always null.
        event_id: Option<&'a str>,
        /// Why.
        message: &'a str,
        /// Always false.
        success: bool,
    },
}

/// An answer, or a piece of one.
#[derive(Debug, Clone, Serialize)]
pub struct Output {
    data: [Value; 1],
    is_generating: bool,
    duration: f64,
    average_duration: f64,
    render_config: (),
    changed_state_ids: [(); 0],
}

impl Output {
    /// A piece of an answer.
    pub fn piece(data: Value, duration: f64, average: f64) -> Self {
        Self::new(data, true, duration, average)
    }

    /// A whole answer.
    pub fn whole(text: &str, duration: f64, average: f64) -> Self {
        Self::new(text.into(), false, duration, average)
    }

    fn new(data: Value, is_generating: bool, duration: f64, average_duration: f64) -> Self {
        Self { data: [data], is_generating, duration, average_duration, render_config: (), changed_state_ids: [] }
    }
}

/// How an event ended.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Ended<'a> {
    /// With an answer.
    Answered(Output),
    /// With an error. Clients raise it with exactly these fields as arguments: a further one is a `TypeError` there.
    Failed {
        /// What happened.
        error: &'a str,
    },
    /// By the client's wish.
    Stopped {},
}

impl Message<'_> {
    /// The message as it stands on the stream.
    pub fn line(&self) -> String {
        // A message has string keys and plain values, so that it can always be written.
        format!("data: {}\n\n", serde_json::to_string(self).unwrap_or_default())
    }
}

/// An event on the stream of one call, its data written as Python writes it.
pub fn event(name: &str, data: &Value) -> String {
    let mut text = Vec::new();
    // Nothing but the writer could fail, and this one does not.
    let _ = data.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Python));
    format!("event: {name}\ndata: {}\n\n", String::from_utf8_lossy(&text))
}

/// JSON as Python's `json.dumps` writes it: a space after commas and colons, ASCII alone.
struct Python;

impl serde_json::ser::Formatter for Python {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => writer.write_all(&[byte])?,
                _ => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_as_recorded() {
        let estimation = Message::Estimation { event_id: Some("e"), rank: Some(0), queue_size: 1, rank_eta: None };
        assert_eq!(
            estimation.line(),
            "data: {\"msg\":\"estimation\",\"event_id\":\"e\",\"rank\":0,\"queue_size\":1,\"rank_eta\":null}\n\n"
        );
        let output = Output::piece(json!([["append", [], " 愤怒"]]), 0.5, 0.25);
        assert_eq!(
            Message::ProcessGenerating { event_id: "e", output, success: true }.line(),
            "data: {\"msg\":\"process_generating\",\"event_id\":\"e\",\"output\":{\"data\":[[[\"append\",[],\" 愤怒\"]]],\
             \"is_generating\":true,\"duration\":0.5,\"average_duration\":0.25,\"render_config\":null,\"changed_state_ids\":[]},\
             \"success\":true}\n\n"
        );
        let ended = |output, success| Message::ProcessCompleted { event_id: "e", output, success }.line();
        assert!(ended(Ended::Stopped {}, true).contains("\"output\":{},\"success\":true"));
        assert!(
            ended(Ended::Failed { error: "why" }, false).contains("\"output\":{\"error\":\"why\"},\"success\":false")
        );
        assert_eq!(
            Message::CloseStream { event_id: None }.line(),
            "data: {\"msg\":\"close_stream\",\"event_id\":null}\n\n"
        );
    }

    #[test]
    fn events_of_calls_are_written_as_python_does() {
        let data = json!(["情绪：😀 \"a\"\n", {"a": 1, "b": null}]);
        let expected = "event: complete\ndata: [\"\\u60c5\\u7eea\\uff1a\\ud83d\\ude00 \\\"a\\\"\\n\", {\"a\": 1, \"b\": null}]\n\n";
        assert_eq!(event("complete", &data), expected);
        assert_eq!(event("heartbeat", &Value::Null), "event: heartbeat\ndata: null\n\n");
    }
}
