//! Text through a tokenizer and back.

use emotion_llama_core::llama::Tokenizer;

use crate::settle;

/// Text with spaces at both ends, other scripts, control characters and what looks like a special token.
const TEXT: &str = "  Well, abc: \u{1f600} über 漢字\n\u{0}</s><|eot|>123 ";

/// Encodes a text and decodes it, whole and piece by piece.
pub fn round_trip(tokenizer: &Tokenizer) {
    for parse_specials in [false, true] {
        let Some(ids) = settle(tokenizer.encode(TEXT, parse_specials)) else { continue };
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "an id beyond the vocabulary: {ids:?}");
        tokenizer.decode(&ids, true);
        let mut stream = tokenizer.stream();
        for id in ids.into_iter().chain([0, u32::MAX]) {
            stream.push(id);
        }
        stream.finish();
    }
}
