//! Server-sent events, as the HTML standard's section of that name reads them.

/// Takes the bytes of an event stream as they come and gives its events.
#[derive(Debug, Default)]
pub(super) struct EventParser {
    line: Vec<u8>,
    /// The last byte was a carriage return, which may be half a line end.
    after_return: bool,
    is_begun: bool,
    name: String,
    data: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerEvent {
    /// What its `event:` line says; empty without one.
    pub name: String,
    /// Its `data:` lines, joined by line feeds.
    pub data: String,
}

impl EventParser {
    /// Takes the next bytes; gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let is_second_half = std::mem::take(&mut self.after_return) && byte == b'\n';
            match byte {
                b'\n' if is_second_half => {}
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    events.extend(self.end_line());
                }
                other => self.line.push(other),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<ServerEvent> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.is_begun, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return self.data.take().map(|data| ServerEvent { name, data });
        }
        let text = String::from_utf8_lossy(line);
        // A line that begins with a colon is a comment: its field has no name.
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut self.data) {
            ("event", _) => self.name = value.to_owned(),
            ("data", Some(data)) => {
                data.push('\n');
                data.push_str(value);
            }
            ("data", none) => *none = Some(value.to_owned()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, data: &str) -> ServerEvent {
        ServerEvent { name: name.into(), data: data.into() }
    }

    const STREAM: &str =
        "\u{feff}: hello\r\nevent: stage\ndata: {\"a\": 1}\n\nid: 3\nretry: 9\r\rdata:one\r\ndata: two\r\n\r\n\
        event: gone\n\ndata\n\ndata:  é你\n\nevent: cut\ndata: never ends";

    fn expected() -> Vec<ServerEvent> {
        vec![event("stage", "{\"a\": 1}"), event("", "one\ntwo"), event("", ""), event("", " é你")]
    }

    #[test]
    fn lines_comments_and_line_ends() {
        assert_eq!(EventParser::default().push(STREAM.as_bytes()), expected());
    }

    proptest! {
        #[test]
        fn chunks_may_be_split_anywhere(cuts in proptest::collection::vec(0..STREAM.len(), 0..40)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut parser = EventParser::default();
            let mut events = Vec::new();
            for piece in cuts.windows(2) {
                events.extend(parser.push(&STREAM.as_bytes()[piece[0]..piece[1]]));
            }
            prop_assert_eq!(events, expected());
        }

        #[test]
        fn any_bytes_give_the_same_events_whole_and_byte_by_byte(bytes in "[a-z:\r\n ï]{0,80}|event: a\ndata: [a-z\r\n]{0,20}") {
            let whole = EventParser::default().push(bytes.as_bytes());
            let mut parser = EventParser::default();
            let single: Vec<_> = bytes.as_bytes().iter().flat_map(|byte| parser.push(&[*byte])).collect();
            prop_assert_eq!(whole, single);
        }
    }
}
