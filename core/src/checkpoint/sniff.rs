//! What kind of file it is, told from its first bytes.

use crate::error::{Error, Result};

/// How many bytes are looked at.
pub(super) const LENGTH: usize = 512;

/// The kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Zip,
    LegacyTorch,
    Safetensors,
}

/// The kind of a file that begins with `head` (at most [`LENGTH`] bytes).
pub(super) fn kind(head: &[u8]) -> Result<Kind> {
    // First, since the header's length in front of the brace can begin like anything.
    if head.get(8) == Some(&b'{') && head.get(6..8) == Some(&[0, 0]) {
        return Ok(Kind::Safetensors);
    }
    not_a_model(head)?;
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Ok(Kind::Zip);
    }
    // A pickle of protocol 2 or later begins with its number.
    if head.first() == Some(&0x80) && head.get(1).is_some_and(|&version| version <= 5) {
        return Ok(Kind::LegacyTorch);
    }
    Err(Error::pack(
        "is neither a PyTorch nor a safetensors file; check that it is the right file and download or copy it again",
    ))
}

/// Tells what is often found in a model's place.
pub(super) fn not_a_model(head: &[u8]) -> Result<()> {
    let text = head.trim_ascii_start();
    let what = if head.is_empty() {
        "is empty; download or copy it again"
    } else if head.starts_with(b"version https://git-lfs") {
        "is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository or download the file"
    } else if text.starts_with(b"<") {
        "is a web page saved under the name of a model; download the file itself (often behind a login or a confirmation)"
    } else if head.iter().all(|&byte| byte == 0) {
        "begins with zeros only, as an unfinished download does; download it again"
    } else if head.starts_with(b"GGUF") {
        "is a GGUF file, already converted; the original PyTorch or safetensors file is wanted here"
    } else if head.starts_with(b"\x93NUMPY") {
        "is a NumPy array (extracted features), not a model"
    } else if head.starts_with(&[0x1f, 0x8b]) || head.starts_with(b"7z\xbc\xaf") || head.starts_with(b"Rar!") {
        "is a packed archive; unpack it and name the checkpoint inside"
    } else if head.get(257..262) == Some(b"ustar") {
        "is a tar archive; unpack it and name the checkpoint inside, or load it with torch and save it again"
    } else {
        return Ok(());
    };
    Err(Error::pack(what))
}
