//! The SentencePiece tokenizer of Llama 2: against sentencepiece and transformers where the reference's files are
//! beside the checkout, and on a small vocabulary everywhere.

mod sentencepiece_common;

use std::sync::OnceLock;

use emotion_llama_core::gguf::{Gguf, GgufHeader};
use emotion_llama_core::llama::{Tokenizer, Vocabulary};
use proptest::prelude::*;
use sentencepiece_common::{json_file, model_file, reference, small, small_json, BYTE, CONTROL, NORMAL};
use serde_json::Value;

const MEGABYTE: usize = 1 << 20;

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Llama 2's tokenizer from both of its files, and by way of a GGUF file; `None` where there is no reference.
fn llama() -> Option<&'static [(&'static str, Tokenizer)]> {
    static TOKENIZERS: OnceLock<Option<Vec<(&str, Tokenizer)>>> = OnceLock::new();
    let tokenizers = TOKENIZERS.get_or_init(|| {
        let folder = reference("tiny-upstream/Llama-2-tiny-chat-hf")?;
        let model = Vocabulary::open(&folder).unwrap();
        let bytes = std::fs::read(folder.join("tokenizer.json")).unwrap();
        let json = Vocabulary::from_tokenizer_json(&bytes).unwrap();
        Some(vec![
            ("tokenizer.model", Tokenizer::from_vocabulary(&model).unwrap()),
            ("tokenizer.json", Tokenizer::from_vocabulary(&json).unwrap()),
            ("GGUF of tokenizer.model", through_gguf(&model)),
            ("GGUF of tokenizer.json", through_gguf(&json)),
        ])
    });
    tokenizers.as_deref()
}

fn through_gguf(vocabulary: &Vocabulary) -> Tokenizer {
    let mut header = GgufHeader::new("llama");
    vocabulary.describe(&mut header).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("llama.gguf");
    std::fs::write(&path, header.encode()).unwrap();
    Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream();
    let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
    text += &stream.finish();
    text
}

#[test]
fn both_files_hold_the_same_vocabulary() {
    let Some(folder) = reference("tiny-upstream/Llama-2-tiny-chat-hf") else { return };
    let model = Vocabulary::from_sentencepiece(&std::fs::read(folder.join("tokenizer.model")).unwrap()).unwrap();
    let json = Vocabulary::from_tokenizer_json(&std::fs::read(folder.join("tokenizer.json")).unwrap()).unwrap();
    assert_eq!(model.pieces.len(), 32000);
    assert_eq!((model.unk, model.bos, model.eos), (0, 1, 2));
    assert_eq!(model.pieces, json.pieces);
    assert_eq!(model.kinds, json.kinds);
    assert_eq!((model.unk, model.bos, model.eos), (json.unk, json.bos, json.eos));
    assert_eq!(Vocabulary::open(&folder).unwrap(), model);
}

#[test]
fn the_references_strings_give_its_ids_and_text() {
    let Some(path) = reference("tokenizer_vectors.json") else { return };
    let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = cases["vectors"].as_array().unwrap();
    assert_eq!(cases.len(), 40);
    for (name, tokenizer) in llama().unwrap() {
        for case in cases {
            let (string, wanted) = (text(&case["text"]), ids(&case["ids"]));
            assert_eq!(tokenizer.encode(string, true).unwrap(), wanted, "{name}: {string:?}");
            assert_eq!(tokenizer.encode(string, false).unwrap(), ids(&case["sentencepiece_ids"]), "{name}: {string:?}");
            assert_eq!(tokenizer.decode(&wanted, true), text(&case["decoded"]), "{name}: {string:?}");
            let without = text(&case["decoded_skip_special"]);
            assert_eq!(tokenizer.decode(&wanted, false), without, "{name}: {string:?}");
            assert_eq!(streamed(tokenizer, &wanted), without, "{name}: {string:?}");
        }
    }
}

#[test]
fn upstreams_prompts_give_its_ids() {
    let Some(path) = reference("prompts.json") else { return };
    let prompts: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut pieces = 0;
    for (name, tokenizer) in llama().unwrap() {
        for piece in prompts.as_array().unwrap().iter().flat_map(|p| p["pieces"].as_array().unwrap()) {
            if text(&piece["kind"]) == "text" {
                let begin = if piece["add_special_tokens"].as_bool().unwrap() { tokenizer.bos_id() } else { None };
                let mut ours: Vec<u32> = begin.into_iter().collect();
                ours.extend(tokenizer.encode(text(&piece["text"]), true).unwrap());
                assert_eq!(ours, ids(&piece["ids"]), "{name}: {}", piece["text"]);
                pieces += 1;
            }
        }
    }
    assert!(pieces > 40, "only {pieces} pieces");
}

#[test]
fn strings_of_many_kinds_give_sentencepieces_ids() {
    let Some(tokenizers) = llama() else { return };
    let cases: Value = serde_json::from_str(include_str!("data/sentencepiece/vectors.json")).unwrap();
    let cases = cases["vectors"].as_array().unwrap();
    assert!(cases.len() >= 200);
    for (name, tokenizer) in tokenizers {
        for case in cases {
            let (string, wanted) = (text(&case["text"]), ids(&case["ids"]));
            assert_eq!(tokenizer.encode(string, true).unwrap(), wanted, "{name}: {string:?}");
            assert_eq!(tokenizer.encode(string, false).unwrap(), ids(&case["plain_ids"]), "{name}: {string:?}");
            assert_eq!(tokenizer.decode(&wanted, true), text(&case["decoded"]), "{name}: {string:?}");
            let without = text(&case["decoded_skip_special"]);
            assert_eq!(tokenizer.decode(&wanted, false), without, "{name}: {string:?}");
            assert_eq!(streamed(tokenizer, &wanted), without, "{name}: {string:?}");
        }
    }
}

#[test]
fn a_megabyte_of_anything_is_encoded() {
    let small = Tokenizer::from_vocabulary(&small()).unwrap();
    let units = ["a", " ", "ab ", "\0", "\u{1f600}", "漢字", "<s>", "</s>a", "<s", "e\u{301}", "xyzzy \n"];
    let llama = llama().and_then(|t| t.first()).map(|(_, tokenizer)| (tokenizer, &["a", " ", "<s>", "the xyzzy"][..]));
    for (tokenizer, units) in llama.into_iter().chain([(&small, &units[..])]) {
        for unit in units {
            let text = unit.repeat(MEGABYTE / unit.len());
            let plain = tokenizer.encode(&text, false).unwrap();
            assert_eq!(tokenizer.decode(&plain, false), text, "{unit:?}");
            let parsed = tokenizer.encode(&text, true).unwrap();
            let specials = parsed.iter().filter(|&&id| tokenizer.is_special(id)).count();
            assert_eq!(specials, text.matches("s>").count(), "{unit:?}");
        }
    }
}

#[test]
fn the_highest_score_joins_first_and_then_the_leftmost() {
    let tokenizer = Tokenizer::from_vocabulary(&small()).unwrap();
    let pieces = |text: &str| -> Vec<String> {
        let vocabulary = small();
        let ids = tokenizer.encode(text, false).unwrap();
        ids.iter().map(|&id| vocabulary.pieces[id as usize].clone()).collect()
    };
    assert_eq!(pieces("ab"), ["▁ab"]);
    // "bc" (-1) before "ab" (-2).
    assert_eq!(pieces("cabc"), ["▁", "c", "a", "bc"]);
    // "aa" and "aaa" have the same score: the left pair, then what grows from it.
    assert_eq!(pieces("caaaaa"), ["▁", "c", "aaa", "aa"]);
    assert_eq!(pieces("a b"), ["▁", "a", "▁", "b"]);
    assert_eq!(pieces("\u{2581}b"), ["▁", "▁", "b"]);
    // A user-defined piece stays whole, whatever stands around; an unused one is not made.
    assert_eq!(pieces("a@@b"), ["▁", "a", "@@", "b"]);
    assert_eq!(pieces("cc"), ["▁", "c", "c"]);
    assert_eq!(pieces("é"), ["▁", "<0xC3>", "<0xA9>"]);
    assert_eq!(pieces(""), Vec::<String>::new());
    // Marks that are text.
    assert_eq!(pieces("<s>"), ["▁", "<0x3C>", "<0x73>", "<0x3E>"]);
    assert_eq!(tokenizer.encode("<s>a<unk></s>", true).unwrap(), [1, 259, 260, 0, 2]);
}

#[test]
fn tokens_have_their_roles() {
    let vocabulary = small();
    for tokenizer in [Tokenizer::from_vocabulary(&vocabulary).unwrap(), through_gguf(&vocabulary)] {
        assert_eq!(tokenizer.vocab_size(), vocabulary.pieces.len());
        assert_eq!((tokenizer.bos_id(), tokenizer.eos_id()), (Some(1), Some(2)));
        assert_eq!(tokenizer.stop_ids(), [2]);
        for (id, piece) in vocabulary.pieces.iter().enumerate() {
            assert_eq!(tokenizer.token_id(piece), Some(id as u32), "{piece:?}");
            assert_eq!(tokenizer.is_special(id as u32), id < 3, "{piece:?}");
        }
        assert_eq!(tokenizer.token_id("none"), None);
    }
}

#[test]
fn decoding_takes_off_one_space_at_the_very_beginning() {
    let tokenizer = Tokenizer::from_vocabulary(&small()).unwrap();
    let id = |piece: &str| tokenizer.token_id(piece).unwrap();
    let (space, a, b) = (id("▁"), id("a"), id("b"));
    for (ids, kept, left_out) in [
        (&[space, a][..], "a", "a"),
        (&[space, space, a], " a", " a"),
        (&[a, space, b], "a b", "a b"),
        (&[1, space, a], "<s> a", "a"),
        (&[space, a, 2, space, b], "a</s> b", "a b"),
        (&[1, 2, 0], "<s></s><unk>", ""),
        (&[id("<0x20>"), a], "a", "a"),
        (&[space, 1, space, a], "<s> a", " a"),
        (&[id("<0xC3>"), id("<0xA9>"), a], "éa", "éa"),
        // Half a character, and ids that are not in the vocabulary.
        (&[id("<0xC3>"), a], "\u{fffd}a", "\u{fffd}a"),
        (&[a, id("<0xC3>")], "a\u{fffd}", "a\u{fffd}"),
        (&[90_000, space, a, u32::MAX], "a", "a"),
        (&[], "", ""),
    ] {
        assert_eq!(tokenizer.decode(ids, true), kept, "{ids:?}");
        assert_eq!(tokenizer.decode(ids, false), left_out, "{ids:?}");
        assert_eq!(streamed(&tokenizer, ids), left_out, "{ids:?}");
    }
    // A character comes once it is whole.
    let mut stream = tokenizer.stream();
    assert_eq!([stream.push(space), stream.push(id("<0xC3>")), stream.push(id("<0xA9>"))], ["", "", "é"]);
    assert_eq!([stream.push(space), stream.push(1)], [" ", ""]);
}

#[test]
fn without_bytes_unknown_text_is_one_token() {
    let mut vocabulary = small();
    for (kind, piece) in vocabulary.kinds.iter_mut().zip(&mut vocabulary.pieces) {
        if *kind == BYTE {
            *kind = NORMAL;
            *piece += "(no byte)";
        }
    }
    let tokenizer = Tokenizer::from_vocabulary(&vocabulary).unwrap();
    let id = |piece: &str| tokenizer.token_id(piece).unwrap();
    assert_eq!(tokenizer.encode("éöa漢b", false).unwrap(), [id("▁"), 0, id("a"), 0, id("b")]);
}

#[test]
fn a_gguf_file_can_leave_the_space_out() {
    let vocabulary = small();
    let mut header = GgufHeader::new("llama");
    vocabulary.describe(&mut header).unwrap();
    header.flag("tokenizer.ggml.add_space_prefix", false);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("llama.gguf");
    std::fs::write(&path, header.encode()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&Gguf::open(&path).unwrap()).unwrap();
    let id = |piece: &str| tokenizer.token_id(piece).unwrap();
    assert_eq!(tokenizer.encode(" b", false).unwrap(), [id("▁"), id("b")]);
    assert_eq!(tokenizer.decode(&[id("▁"), id("b")], false), " b");
    assert_eq!(streamed(&tokenizer, &[id("▁"), id("b")]), " b");
}

#[test]
fn both_files_of_the_small_vocabulary_give_the_same_ids() {
    let vocabulary = small();
    let model = Vocabulary::from_sentencepiece(&model_file(&vocabulary)).unwrap();
    assert_eq!(model, vocabulary);
    // Both ways to write merges.
    let json = small_json();
    let line = Vocabulary::from_tokenizer_json(&json_file(&json)).unwrap();
    let mut pairs = json;
    for merge in pairs["model"]["merges"].as_array_mut().unwrap() {
        *merge = text(merge).split(' ').map(str::to_owned).collect::<Vec<_>>().into();
    }
    assert_eq!(Vocabulary::from_tokenizer_json(&json_file(&pairs)).unwrap(), line);
    assert_eq!(line.kinds.iter().filter(|&&k| k == CONTROL).count(), 2);
    let model = Tokenizer::from_vocabulary(&model).unwrap();
    let json = Tokenizer::from_vocabulary(&line).unwrap();
    for text in ["", "abc", "cabcab", "aaa", "a b  c", "<s>ab</s>", "é漢", "bcbcab cc"] {
        assert_eq!(model.encode(text, true).unwrap(), json.encode(text, true).unwrap(), "{text:?}");
    }
    // Two pieces of one score: SentencePiece takes the leftmost, merges the first of the list, as `tokenizers` does.
    let id = |piece: &str| model.token_id(piece).unwrap();
    let (space, a, aa, aaa) = (id("▁"), id("a"), id("aa"), id("aaa"));
    assert_eq!(model.encode("aaaaaaa", true).unwrap(), [space, aaa, aaa, a]);
    assert_eq!(json.encode("aaaaaaa", true).unwrap(), [space, aa, aa, aaa]);
}

proptest! {
    #[test]
    fn any_text_comes_back(text in "\\PC{0,40}|[abc @<s>/\0-\u{1f}]{0,60}") {
        let tokenizer = Tokenizer::from_vocabulary(&small()).unwrap();
        let ids = tokenizer.encode(&text, false).unwrap();
        prop_assert!(ids.iter().all(|&id| !tokenizer.is_special(id)));
        prop_assert_eq!(tokenizer.decode(&ids, false), text.replace('\u{2581}', " "));
        prop_assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids, false));
        tokenizer.encode(&text, true).unwrap();
    }

    #[test]
    fn any_ids_are_decoded(ids in prop::collection::vec(0u32..290, 0..40)) {
        let tokenizer = Tokenizer::from_vocabulary(&small()).unwrap();
        tokenizer.decode(&ids, true);
        prop_assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids, false));
    }
}
