//! A small SentencePiece vocabulary and the files that hold it.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};

use emotion_llama_core::llama::Vocabulary;
use serde_json::{json, Value};

pub const NORMAL: i32 = 1;
pub const UNKNOWN: i32 = 2;
pub const CONTROL: i32 = 3;
pub const USER_DEFINED: i32 = 4;
pub const UNUSED: i32 = 5;
pub const BYTE: i32 = 6;

/// A path below the reference fixtures; `None`, loudly, where there are none.
pub fn reference(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference");
    match std::env::var_os("EMOTION_LLAMA_REFERENCE").map(PathBuf::from) {
        Some(folder) => {
            assert!(folder.is_dir(), "EMOTION_LLAMA_REFERENCE names {}, which is no folder", folder.display());
            Some(folder.join(path))
        }
        None if beside.is_dir() => Some(beside.join(path)),
        None => {
            // Past the test harness, which holds back what passing tests print.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: no reference fixtures in {}; set EMOTION_LLAMA_REFERENCE",
                beside.display()
            );
            None
        }
    }
}

/// Marks, all bytes, and a few pieces over a, b, c.
pub fn small() -> Vocabulary {
    let mut all = vec![("<unk>".to_owned(), 0.0, UNKNOWN), ("<s>".to_owned(), 0.0, CONTROL)];
    all.push(("</s>".to_owned(), 0.0, CONTROL));
    all.extend((0..=255u8).map(|b| (format!("<0x{b:02X}>"), 0.0, BYTE)));
    for (piece, score, kind) in [
        ("▁", -100.0, NORMAL),
        ("a", -101.0, NORMAL),
        ("b", -102.0, NORMAL),
        ("c", -103.0, NORMAL),
        ("bc", -1.0, NORMAL),
        ("ab", -2.0, NORMAL),
        ("▁ab", -3.0, NORMAL),
        ("aa", -4.0, NORMAL),
        ("aaa", -4.0, NORMAL),
        ("cc", -0.5, UNUSED),
        ("@@", 0.0, USER_DEFINED),
    ] {
        all.push((piece.to_owned(), score, kind));
    }
    Vocabulary {
        pieces: all.iter().map(|p| p.0.clone()).collect(),
        scores: all.iter().map(|p| p.1).collect(),
        kinds: all.iter().map(|p| p.2).collect(),
        bos: 1,
        eos: 2,
        unk: 0,
    }
}

/// A field of a protobuf message whose value is bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

/// `tokenizer.model` of `vocabulary`, as SentencePiece writes it.
pub fn model_file(vocabulary: &Vocabulary) -> Vec<u8> {
    let mut out = Vec::new();
    for ((piece, score), kind) in vocabulary.pieces.iter().zip(&vocabulary.scores).zip(&vocabulary.kinds) {
        let mut message = field(1, piece.as_bytes());
        message.push(2 << 3 | 5);
        message.extend(score.to_le_bytes());
        message.extend([3 << 3, *kind as u8]);
        out.extend(field(1, &message));
    }
    // model_type BPE, vocabulary size, unk_id, bos_id, eos_id.
    out.extend(field(2, &[0x18, 2, 0x20, 0x80, 0x02, 0xc0, 0x02, 0, 0xc8, 0x02, 1, 0xd0, 0x02, 2]));
    // name identity, add_dummy_prefix, not remove_extra_whitespaces, escape_whitespaces.
    out.extend(field(3, &[&field(1, b"identity")[..], &[0x18, 1, 0x20, 0, 0x28, 1]].concat()));
    out
}

/// The small vocabulary less its user-defined piece as `tokenizer.json`.
pub fn small_json() -> Value {
    let vocabulary = small();
    let vocab: serde_json::Map<String, Value> = vocabulary
        .pieces
        .iter()
        .filter(|p| p.as_str() != "@@")
        .enumerate()
        .map(|(id, piece)| (piece.clone(), id.into()))
        .collect();
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "special": true, "normalized": false});
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": true,
            "byte_fallback": true,
            "vocab": vocab,
            "merges": ["b c", "a b", "▁ ab", "a a", "a aa", "aa a"],
        },
    })
}

pub fn json_file(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}
