//! What Python servers say, for clients that were written against them: errors of JSON, of validation, and values as text.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::Json;
use serde_json::{json, Value};

/// Deepest nesting that is looked into.
const MAX_DEPTH: usize = 128;

/// 422 with FastAPI's list of problems.
pub fn unprocessable(problems: Vec<Value>) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": problems}))).into_response()
}

/// One of FastAPI's problems.
pub fn problem(kind: &str, place: Value, message: &str, input: &Value) -> Value {
    json!({"type": kind, "loc": place, "msg": message, "input": input})
}

/// A field that is not there.
pub fn missing(place: Value, input: &Value) -> Value {
    problem("missing", place, "Field required", input)
}

/// FastAPI's answer to a body that is no JSON.
pub fn invalid_json(text: &str) -> Response {
    let (message, position) = json_error(text).unwrap_or(("Expecting value", 0));
    let mut problem = problem("json_invalid", json!(["body", position]), "JSON decode error", &json!({}));
    problem["ctx"] = json!({"error": message});
    unprocessable(vec![problem])
}

/// What Python's `json.loads` finds wrong with `text`, and at which character; None when nothing is.
pub fn json_error(text: &str) -> Option<(&'static str, usize)> {
    let mut scanner = Scanner { text: text.chars().collect(), at: 0 };
    scanner.space();
    match scanner.value(0) {
        Err(error) => Some(error),
        Ok(()) => {
            scanner.space();
            (scanner.at < scanner.text.len()).then_some(("Extra data", scanner.at))
        }
    }
}

struct Scanner {
    text: Vec<char>,
    at: usize,
}

type Scan = Result<(), (&'static str, usize)>;

impl Scanner {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Scan {
        let none = Err(("Expecting value", self.at));
        if depth > MAX_DEPTH {
            return none;
        }
        match self.peek() {
            Some('"') => self.string(),
            Some('{') => self.items(depth, '}', true),
            Some('[') => self.items(depth, ']', false),
            Some('-' | '0'..='9') => self.number(),
            _ => match ["null", "true", "false", "NaN", "Infinity"].into_iter().find(|word| self.has(word)) {
                Some(word) => {
                    self.at += word.len();
                    Ok(())
                }
                None => none,
            },
        }
    }

    fn has(&self, word: &str) -> bool {
        word.chars().enumerate().all(|(offset, c)| self.text.get(self.at + offset) == Some(&c))
    }

    fn number(&mut self) -> Scan {
        let begin = self.at;
        if self.has("-Infinity") {
            self.at += "-Infinity".len();
            return Ok(());
        }
        self.at += usize::from(self.peek() == Some('-'));
        match self.peek() {
            Some('0') => self.at += 1,
            Some('1'..='9') => self.digits(),
            _ => return Err(("Expecting value", begin)),
        }
        // A point or exponent without digits is not a part of the number, and what follows is "Extra data".
        let digit =
            |scanner: &Self, offset: usize| scanner.text.get(scanner.at + offset).is_some_and(char::is_ascii_digit);
        if self.peek() == Some('.') && digit(self, 1) {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.text.get(self.at + 1), Some('+' | '-')));
            if digit(self, 1 + sign) {
                self.at += 1 + sign;
                self.digits();
            }
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Scan {
        let begin = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(("Unterminated string starting at", begin)),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => {
                    self.at += 1;
                    match self.peek() {
                        None => return Err(("Unterminated string starting at", begin)),
                        Some('u') => {
                            let digits = self.text.get(self.at + 1..self.at + 5);
                            if !digits.is_some_and(|digits| digits.iter().all(char::is_ascii_hexdigit)) {
                                return Err(("Invalid \\uXXXX escape", self.at));
                            }
                            self.at += 5;
                        }
                        Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => self.at += 1,
                        Some(_) => return Err(("Invalid \\escape", self.at - 1)),
                    }
                }
                Some(c) if c < ' ' => return Err(("Invalid control character at", self.at)),
                Some(_) => self.at += 1,
            }
        }
    }

    /// What stands between brackets, with a name before each item in an object.
    fn items(&mut self, depth: usize, end: char, named: bool) -> Scan {
        self.at += 1;
        self.space();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            if named {
                if self.peek() != Some('"') {
                    return Err(("Expecting property name enclosed in double quotes", self.at));
                }
                self.string()?;
                self.space();
                if self.peek() != Some(':') {
                    return Err(("Expecting ':' delimiter", self.at));
                }
                self.at += 1;
                self.space();
            }
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(c) if c == end => {
                    self.at += 1;
                    return Ok(());
                }
                Some(',') => {
                    self.at += 1;
                    self.space();
                }
                _ => return Err(("Expecting ',' delimiter", self.at)),
            }
        }
    }
}

/// `value` as Python's `str` writes it: what Gradio gives a function for what stands in a text field.
pub fn str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

fn repr(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.contains('\'') && !text.contains('"') => {
            format!("\"{}\"", text.replace('\\', "\\\\"))
        }
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")),
        Value::Array(items) => format!("[{}]", list(items.iter().map(repr).collect())),
        Value::Object(fields) => {
            let field =
                |(name, value): (&String, &Value)| format!("{}: {}", repr(&Value::String(name.clone())), repr(value));
            format!("{{{}}}", list(fields.iter().map(field).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_json_as_python_tells_them() {
        // From CPython 3.10's json.loads.
        for (text, message, position) in [
            ("", "Expecting value", 0),
            ("{\"video_path\": ", "Expecting value", 15),
            ("{\"data\": [", "Expecting value", 10),
            ("{'a': 1}", "Expecting property name enclosed in double quotes", 1),
            ("{\"a\" 1}", "Expecting ':' delimiter", 5),
            ("{\"a\": 1 \"b\"}", "Expecting ',' delimiter", 8),
            ("[1, ]", "Expecting value", 4),
            ("{\"a\": 1,}", "Expecting property name enclosed in double quotes", 8),
            ("{\"é\": \"x", "Unterminated string starting at", 6),
            ("\"a\nb\"", "Invalid control character at", 2),
            ("\"\\x\"", "Invalid \\escape", 1),
            ("\"\\u12\"", "Invalid \\uXXXX escape", 2),
            ("1 2", "Extra data", 2),
            ("01", "Extra data", 1),
            ("1.", "Extra data", 1),
            ("-", "Expecting value", 0),
            ("nul", "Expecting value", 0),
        ] {
            assert_eq!(json_error(text), Some((message, position)), "{text}");
        }
        for good in ["{}", " [1.5e-3, NaN, -Infinity, true, null, {\"a\": [\"\\u00e9\"]}] ", "0"] {
            assert_eq!(json_error(good), None, "{good}");
        }
        assert!(json_error(&"[".repeat(100_000)).is_some());
    }

    #[test]
    fn values_as_python_writes_them() {
        let value = json!({"a": [1, 2.5, true, null, "it's", "x"], "b": "\\"});
        assert_eq!(str(&value), "{'a': [1, 2.5, True, None, \"it's\", 'x'], 'b': '\\\\'}");
        assert_eq!(str(&json!("it's")), "it's");
    }
}
