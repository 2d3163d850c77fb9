//! The tokenizer against transformers.

mod llama_common;

use llama_common::{fixture, tokenizer};
use proptest::prelude::*;

#[derive(Debug)]
struct Case {
    text: String,
    ids: Vec<u32>,
    plain_ids: Vec<u32>,
    decoded: String,
}

fn cases() -> Vec<Case> {
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&fixture("tokenizer.json")).unwrap();
    let ids = |v: &serde_json::Value| v.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    cases
        .iter()
        .map(|c| Case {
            text: text(&c["text"]),
            ids: ids(&c["ids"]),
            plain_ids: ids(&c["plain_ids"]),
            decoded: text(&c["decoded"]),
        })
        .collect()
}

#[test]
fn ids_are_those_of_transformers() {
    let cases = cases();
    assert!(cases.len() >= 200);
    for case in cases {
        assert_eq!(tokenizer().encode(&case.text, true).unwrap(), case.ids, "{:?}", case.text);
        assert_eq!(tokenizer().encode(&case.text, false).unwrap(), case.plain_ids, "plain {:?}", case.text);
    }
}

#[test]
fn text_is_that_of_transformers() {
    let mut exact = 0;
    for case in cases() {
        assert_eq!(tokenizer().decode(&case.ids, true), case.decoded, "{:?}", case.text);
        exact += usize::from(case.decoded == case.text);
    }
    // All but those with control characters or private planes that the vocabulary has no byte for.
    assert!(exact >= 220, "only {exact} strings come back as they were");
}

#[test]
fn a_stream_gives_whole_characters() {
    for case in cases() {
        let mut stream = tokenizer().stream();
        let mut text = String::new();
        for &id in &case.plain_ids {
            let piece = stream.push(id);
            assert!(!piece.contains('\u{fffd}') || case.decoded.contains('\u{fffd}'), "{:?}: {piece:?}", case.text);
            text += &piece;
        }
        text += &stream.finish();
        assert_eq!(text, tokenizer().decode(&case.plain_ids, true), "{:?}", case.text);
    }
}

#[test]
fn special_tokens_are_ids_only_when_asked() {
    let tokenizer = tokenizer();
    let (start, end) = (tokenizer.token_id("<|im_start|>").unwrap(), tokenizer.token_id("<|im_end|>").unwrap());
    assert_eq!((start, end), (1, 2));
    assert_eq!((tokenizer.bos_id(), tokenizer.eos_id()), (Some(1), Some(2)));
    assert_eq!(tokenizer.stop_ids(), [0, 2]);
    let ids = tokenizer.encode("<|im_start|>user\n", true).unwrap();
    assert_eq!(ids[0], start);
    let plain = tokenizer.encode("<|im_start|>user\n", false).unwrap();
    assert!(plain.len() > ids.len() && plain.iter().all(|&id| !tokenizer.is_special(id)));
    assert_eq!(tokenizer.decode(&plain, false), "<|im_start|>user\n");
    assert_eq!(tokenizer.decode(&ids, false), "user\n");
    let mut stream = tokenizer.stream();
    assert_eq!(stream.push(end), "");
    assert_eq!(tokenizer.decode(&[u32::MAX, 60_000], true), "");
}

#[test]
fn long_runs_do_not_take_quadratic_time() {
    // A minute's worth of quadratic merging if it were; the result must still be exact.
    for text in ["a".repeat(200_000), " ".repeat(200_000), "漢".repeat(50_000), "ab1 ".repeat(50_000)] {
        let ids = tokenizer().encode(&text, false).unwrap();
        assert_eq!(tokenizer().decode(&ids, true), text);
    }
}

proptest! {
    #[test]
    fn text_without_missing_bytes_comes_back(text in "[ -~\n\t\u{a0}-\u{2fff}\u{3040}-\u{d7ff}\u{1f300}-\u{1f6ff}]{0,60}") {
        let ids = tokenizer().encode(&text, false).unwrap();
        prop_assert_eq!(tokenizer().decode(&ids, true), text);
    }

    #[test]
    fn any_ids_decode_and_stream_alike(ids in prop::collection::vec(17u32..49_200, 0..40)) {
        let mut stream = tokenizer().stream();
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text += &stream.finish();
        prop_assert_eq!(text, tokenizer().decode(&ids, true));
    }
}
