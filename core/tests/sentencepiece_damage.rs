//! Damaged and foreign `tokenizer.model` and `tokenizer.json`: a typed error that says what is wrong; never a panic.

mod sentencepiece_common;

use emotion_llama_core::llama::{Tokenizer, Vocabulary};
use emotion_llama_core::{Error, ErrorKind};
use proptest::prelude::*;
use sentencepiece_common::{field, json_file, model_file, reference, small, small_json, BYTE, UNKNOWN};
use serde_json::{json, Value};

/// Parses and, where that goes well, encodes and decodes.
fn try_model(bytes: &[u8]) -> Result<(), Error> {
    use_it(&Vocabulary::from_sentencepiece(bytes)?)
}

fn try_json(bytes: &[u8]) -> Result<(), Error> {
    use_it(&Vocabulary::from_tokenizer_json(bytes)?)
}

fn use_it(vocabulary: &Vocabulary) -> Result<(), Error> {
    let tokenizer = Tokenizer::from_vocabulary(vocabulary)?;
    let ids = tokenizer.encode("<s>ab cabab é</s>", true)?;
    tokenizer.decode(&ids, true);
    Ok(())
}

fn refused(result: Result<(), Error>, words: &str) {
    let error = result.expect_err(words);
    assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
    assert!(error.message.contains(words), "{error} lacks {words:?}");
}

#[test]
fn a_model_cut_anywhere_is_refused_or_has_fewer_pieces() {
    let bytes = model_file(&small());
    let whole = small().pieces.len();
    let mut refused = 0;
    for length in 0..bytes.len() {
        match Vocabulary::from_sentencepiece(&bytes[..length]) {
            // Protobuf has no end mark: where a piece ends the file may end.
            Ok(vocabulary) => assert!(vocabulary.pieces.len() <= whole && vocabulary.pieces.len() > 2),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::PackInvalid, "cut at {length}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > bytes.len() - whole - 10, "{refused} of {}", bytes.len());
}

#[test]
fn flipped_bytes_never_panic() {
    let model = model_file(&small());
    let json = json_file(&small_json());
    for (bytes, parse, least) in [(model, try_model as fn(&[u8]) -> Result<(), Error>, 3_000), (json, try_json, 3_000)]
    {
        let mut failed = 0;
        for at in 0..bytes.len() {
            for flip in [0x01, 0x02, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                if let Err(error) = parse(&damaged) {
                    failed += 1;
                    assert_eq!(error.kind, ErrorKind::PackInvalid, "byte {at} ^ {flip:#x}: {error}");
                }
            }
        }
        assert!(failed > least, "only {failed} of the flips were noticed");
    }
}

#[test]
fn the_published_files_cut_short_are_refused() {
    let Some(folder) = reference("tiny-upstream/Llama-2-tiny-chat-hf") else { return };
    let model = std::fs::read(folder.join("tokenizer.model")).unwrap();
    let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
    for part in [1, 10, 100, 1_000, 10_000, 300_001] {
        refused(try_model(&model[..part]), "");
        refused(try_json(&json[..part]), "not a tokenizer.json");
    }
    // Each in the other's place.
    refused(try_model(&json), "not a SentencePiece model");
    refused(try_json(&model), "not a tokenizer.json");
}

#[test]
fn what_is_wrong_with_a_model_is_named() {
    refused(try_model(b""), "no pieces");
    refused(try_model(b"version https://git-lfs.github.com/spec/v1\n"), "not a SentencePiece model");
    refused(try_model(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "cut short");
    refused(try_model(&[0x0a; 200]), "piece 0");
    refused(try_model(&[0xff; 20]), "10 bytes");
    refused(try_model(&[0x0b, 0x0c]), "wire type 3");
    refused(try_model(&[0x08, 1]), "field 1 is not a message");

    let with = |section: u8, fields: &[u8]| [model_file(&small()), field(section, fields)].concat();
    refused(try_model(&with(2, &[0x18, 1])), "type 1 (unigram)");
    refused(try_model(&with(2, &[0x18, 3])), "type 3 (word)");
    refused(try_model(&with(2, &[0x18, 99])), "type 99 (unknown)");
    refused(try_model(&with(2, &[0xc0, 0x01, 1])), "spaces at the end of words");
    refused(try_model(&with(2, &[0xc8, 0x02, 0xff, 0x7f])), "begin token's id is 16383");
    refused(try_model(&with(3, &field(2, b"map"))), "normalises characters");
    refused(try_model(&with(3, &[0x18, 0])), "no space in front");
    refused(try_model(&with(3, &[0x20, 1])), "removes repeated spaces");
    refused(try_model(&with(3, &[0x28, 0])), "leaves spaces as they are");
    refused(try_model(&with(2, &[0x18])), "trainer section");
    // Later sections, which no tokenizer needs.
    try_model(&with(4, b"self test data")).unwrap();

    let piece = |message: &[u8]| [model_file(&small()), field(1, message)].concat();
    refused(try_model(&piece(&[])), "has no text");
    refused(try_model(&piece(&field(1, &[0xc3]))), "not UTF-8");
    refused(try_model(&piece(&field(1, b"ab"))), "is \"ab\", as an earlier one");
    refused(try_model(&piece(&field(1, b""))), "is empty");
    refused(try_model(&piece(&field(1, &[b'x'; 300]))), "300 bytes long");
    refused(try_model(&piece(&[&field(1, b"x")[..], &[0x18, 7]].concat())), "unknown type 7");
    refused(try_model(&piece(&[&field(1, b"x")[..], &[0x10, 7]].concat())), "field 2 is of a wrong type");
    let infinite = [&field(1, b"x")[..], &[0x15], &f32::INFINITY.to_le_bytes()].concat();
    refused(try_model(&piece(&infinite)), "score inf");

    let changed = |change: &dyn Fn(&mut Vocabulary)| {
        let mut vocabulary = small();
        change(&mut vocabulary);
        try_model(&model_file(&vocabulary))
    };
    refused(changed(&|v| v.kinds[260] = BYTE), "marked as a byte");
    refused(changed(&|v| v.kinds[0] = 1), "no piece for unknown text");
}

#[test]
fn what_is_wrong_with_a_json_is_named() {
    refused(try_json(b""), "not a tokenizer.json");
    refused(try_json(b"[]"), "not a tokenizer.json");
    refused(try_json(b"{}"), "not a tokenizer.json");
    refused(try_json(b"{\"model\": 1}"), "of no stated type");
    refused(try_json(&[b"{\"model\":".repeat(10_000)].concat()), "not a tokenizer.json");

    let case = |words: &str, change: &dyn Fn(&mut Value)| {
        let mut file = small_json();
        change(&mut file);
        refused(try_json(&json_file(&file)), words);
    };
    case("WordPiece", &|f| f["model"]["type"] = "WordPiece".into());
    case("Unigram", &|f| f["model"]["type"] = "Unigram".into());
    case("no byte fallback", &|f| f["model"]["byte_fallback"] = false.into());
    case("marks the parts of words", &|f| f["model"]["end_of_word_suffix"] = "</w>".into());
    case("ByteLevel", &|f| f["pre_tokenizer"] = json!({"type": "ByteLevel", "add_prefix_space": false}));
    case("NFKC", &|f| f["normalizer"] = json!({"type": "NFKC"}));
    case("normalizer is Prepend", &|f| f["normalizer"]["normalizers"][0]["prepend"] = "_".into());
    case("U+2581", &|f| f["normalizer"] = Value::Null);
    case("U+2581", &|f| f["normalizer"]["normalizers"] = json!([]));
    case("merge \"b\" \"d\" names", &|f| f["model"]["merges"][0] = "b d".into());
    case("(unreadable)", &|f| f["model"]["merges"][0] = "bc".into());
    case("not a tokenizer.json", &|f| f["model"]["merges"][0] = 1.into());
    case("\"bc\" are not all there or not together", &|f| {
        f["model"]["merges"].as_array_mut().unwrap().push("b c".into());
    });
    case("\"aaa\" are not all there", &|f| {
        f["model"]["merges"].as_array_mut().unwrap().pop();
    });
    case("gaps", &|f| f["model"]["vocab"]["a"] = 4_000_000_000u32.into());
    case("gaps", &|f| f["model"]["vocab"]["a"] = 5.into());
    case("not a tokenizer.json", &|f| f["model"]["vocab"]["a"] = (-1).into());
    case("has the ids", &|f| f["added_tokens"][1]["id"] = 7.into());
    case("\"<new>\" is not special", &|f| {
        f["added_tokens"].as_array_mut().unwrap().push(json!({"id": 269, "content": "<new>"}));
    });
    case("no \"<unknown>\"", &|f| f["model"]["unk_token"] = "<unknown>".into());
    case("300 bytes", &|f| f["model"]["vocab"]["x".repeat(300)] = 269.into());
    case("no \"</s>\"", &|f| {
        f["added_tokens"].as_array_mut().unwrap().pop();
        let vocab = f["model"]["vocab"].as_object_mut().unwrap();
        let id = vocab.remove("</s>").unwrap();
        vocab.insert("</t>".into(), id);
    });
}

#[test]
fn newer_spellings_of_the_json_are_read() {
    // Spaces marked by the pre-tokenizer, and a mark that only the list of added tokens has.
    let mut file = small_json();
    file["normalizer"] = Value::Null;
    file["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false});
    let next = file["model"]["vocab"].as_object().unwrap().len() as u32;
    file["added_tokens"].as_array_mut().unwrap().push(json!({"id": next, "content": "<pad>", "special": true}));
    let vocabulary = Vocabulary::from_tokenizer_json(&json_file(&file)).unwrap();
    let tokenizer = Tokenizer::from_vocabulary(&vocabulary).unwrap();
    assert_eq!(tokenizer.encode("ab<pad>", true).unwrap(), [tokenizer.token_id("▁ab").unwrap(), next]);
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let case = |words: &str, change: &dyn Fn(&mut Vocabulary)| {
        let mut vocabulary = small();
        change(&mut vocabulary);
        refused(use_it(&vocabulary), words);
    };
    case("scores", &|v| v.scores.truncate(3));
    case("types", &|v| v.kinds.push(UNKNOWN));
    case("0 pieces", &|v| v.pieces.clear());
    case("end token's id is 999", &|v| v.eos = 999);
    case("unknown token's id", &|v| v.unk = u32::MAX);
}

#[test]
fn a_directory_is_searched_for_either_file() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Vocabulary::open(folder.path());
    let error = open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("tokenizer.model") && error.message.contains("tokenizer.json"), "{error}");
    std::fs::write(folder.path().join("tokenizer.json"), json_file(&small_json())).unwrap();
    assert_eq!(open().unwrap().pieces.len(), small().pieces.len() - 1);
    std::fs::write(folder.path().join("tokenizer.model"), model_file(&small())).unwrap();
    assert_eq!(open().unwrap(), small());
    std::fs::write(folder.path().join("tokenizer.model"), "not found").unwrap();
    let error = open().unwrap_err();
    assert_eq!(error.kind, ErrorKind::PackInvalid);
    assert!(error.message.contains("tokenizer.model: "), "{error}");
    std::fs::remove_file(folder.path().join("tokenizer.model")).unwrap();
    std::fs::create_dir(folder.path().join("tokenizer.model")).unwrap();
    assert_eq!(open().unwrap_err().kind, ErrorKind::PackInvalid);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for result in [try_model(&bytes), try_json(&bytes)] {
            prop_assert_eq!(result.unwrap_err().kind, ErrorKind::PackInvalid);
        }
    }

    #[test]
    fn random_fields_never_panic(
        fields in prop::collection::vec((1u8..5, prop::collection::vec(any::<u8>(), 0..20)), 0..20),
    ) {
        let mut bytes = model_file(&small());
        for (number, value) in fields {
            bytes.extend(field(number, &value));
        }
        if let Err(error) = try_model(&bytes) {
            prop_assert_eq!(error.kind, ErrorKind::PackInvalid);
        }
    }
}
