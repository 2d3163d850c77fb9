//! Reading lists from outside.

use std::path::Path;

use crate::error::{Error, Result};

/// The text of a file, without a byte order mark. Errors do not name the file.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found("no such file"),
        _ => Error::invalid_argument(format!("cannot be read: {error}")),
    })?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::invalid_argument(format!("line {line}: not UTF-8; save the file as UTF-8"))
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}
