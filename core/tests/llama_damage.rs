//! Damaged, cut and hostile model files: a typed error, or a model that still answers; never a panic.

mod llama_common;

use emotion_llama_core::gguf::Gguf;
use emotion_llama_core::llama::{KvCache, Llama, Sampler, SamplingOptions, Tokenizer};
use emotion_llama_core::{CancelToken, Error, ErrorKind};
use std::path::{Path, PathBuf};

/// A GGUF file under construction.
#[derive(Default)]
struct Builder {
    pairs: Vec<(String, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

fn text(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat()
}

impl Builder {
    fn pair(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.pairs.retain(|p| p.0 != key);
        self.pairs.push((key.into(), [&kind.to_le_bytes()[..], value].concat()));
    }

    fn uint(&mut self, key: &str, value: u32) {
        self.pair(key, 4, &value.to_le_bytes());
    }

    fn texts(&mut self, key: &str, values: &[&str]) {
        let mut bytes = [&8u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
        values.iter().for_each(|v| bytes.extend(text(v)));
        self.pair(key, 9, &bytes);
    }

    /// A vocabulary of model "llama" in place of the byte-level one.
    fn sentencepiece(&mut self) {
        self.pair("tokenizer.ggml.model", 8, &text("llama"));
        self.pairs.retain(|p| p.0 != "tokenizer.ggml.merges");
        self.texts("tokenizer.ggml.tokens", &["<unk>", "<s>", "</s>", "a"]);
        self.numbers("tokenizer.ggml.scores", 6, &[0f32, 0.0, 0.0, -1.0].map(f32::to_le_bytes));
        self.numbers("tokenizer.ggml.token_type", 5, &[2i32, 3, 3, 1].map(i32::to_le_bytes));
        self.uint("tokenizer.ggml.bos_token_id", 1);
        self.uint("tokenizer.ggml.eos_token_id", 2);
    }

    fn numbers(&mut self, key: &str, kind: u32, values: &[[u8; 4]]) {
        let head = [kind.to_le_bytes().to_vec(), (values.len() as u64).to_le_bytes().to_vec()].concat();
        self.pair(key, 9, &[head, values.concat()].concat());
    }

    fn f32s(&mut self, name: &str, shape: &[u64]) {
        let n: u64 = shape.iter().product();
        let data = (0..n).flat_map(|i| ((i as f32 * 0.731).sin() * 0.3).to_le_bytes()).collect();
        self.tensors.retain(|t| t.0 != name);
        self.tensors.push((name.into(), shape.to_vec(), 0, data));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            out.extend(text(key));
            out.extend(value);
        }
        let mut offset = 0u64;
        for (name, shape, kind, data) in &self.tensors {
            out.extend(text(name));
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += (data.len() as u64).next_multiple_of(32);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        for (_, _, _, data) in &self.tensors {
            out.extend(data);
            out.resize(out.len().next_multiple_of(32), 0);
        }
        out
    }

    /// Two layers, eight wide, two heads over one key head; a vocabulary of four.
    fn tiny() -> Self {
        let mut b = Self::default();
        b.pair("general.architecture", 8, &text("llama"));
        for (key, value) in [
            ("block_count", 2),
            ("embedding_length", 8),
            ("feed_forward_length", 12),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
            ("context_length", 16),
        ] {
            b.uint(&format!("llama.{key}"), value);
        }
        b.pair("llama.attention.layer_norm_rms_epsilon", 6, &1e-5f32.to_le_bytes());
        b.pair("tokenizer.ggml.model", 8, &text("gpt2"));
        b.texts("tokenizer.ggml.tokens", &["a", "b", "ab", "<|im_end|>"]);
        b.texts("tokenizer.ggml.merges", &["a b"]);
        b.f32s("token_embd.weight", &[8, 4]);
        b.f32s("output_norm.weight", &[8]);
        for i in 0..2 {
            for (name, shape) in [
                ("attn_norm", &[8][..]),
                ("attn_q", &[8, 8]),
                ("attn_k", &[8, 4]),
                ("attn_v", &[8, 4]),
                ("attn_output", &[8, 8]),
                ("ffn_norm", &[8]),
                ("ffn_gate", &[8, 12]),
                ("ffn_up", &[8, 12]),
                ("ffn_down", &[12, 8]),
            ] {
                b.f32s(&format!("blk.{i}.{name}.weight"), shape);
            }
        }
        b
    }
}

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("llm.gguf");
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Loads, encodes, and runs a few tokens, as far as the file allows.
fn try_all(path: &Path) -> Result<(), Error> {
    let gguf = Gguf::open(path)?;
    let tokenizer = Tokenizer::from_gguf(&gguf)?;
    let model = Llama::load(&gguf)?;
    let ids: Vec<u32> = tokenizer.encode("abba", true)?;
    tokenizer.decode(&ids, true);
    let cancel = CancelToken::new();
    let mut cache = KvCache::new(model.config());
    let logits = model.prefill(&model.embed(&[0, 1])?, &mut cache, &cancel)?;
    model.score(&cache, &logits, &[vec![0, 1], vec![1]], &cancel)?;
    Sampler::new(SamplingOptions::default())?.sample(&logits)?;
    Ok(())
}

#[test]
fn the_tiny_model_runs() {
    let directory = Directory::new();
    try_all(&directory.write(&Builder::tiny().bytes())).unwrap();
}

#[test]
fn a_sentencepiece_vocabulary_runs_or_says_what_is_wrong() {
    let directory = Directory::new();
    let built = |change: &dyn Fn(&mut Builder)| {
        let mut builder = Builder::tiny();
        builder.sentencepiece();
        change(&mut builder);
        try_all(&directory.write(&builder.bytes()))
    };
    built(&|_| {}).unwrap();
    let case = |words: &str, change: &dyn Fn(&mut Builder)| {
        let error = built(change).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
        assert!(error.message.contains(words) && error.message.contains("llm.gguf"), "{error} lacks {words:?}");
    };
    let (scores, kinds) = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type");
    case(scores, &|b| b.pairs.retain(|p| p.0 != scores));
    case(scores, &|b| b.numbers(scores, 6, &[[0; 4]; 3]));
    case(scores, &|b| b.numbers(scores, 5, &[[0; 4]; 4]));
    case("piece 3 of the vocabulary has the score NaN", &|b| {
        b.numbers(scores, 6, &[[0; 4], [0; 4], [0; 4], f32::NAN.to_le_bytes()]);
    });
    case(kinds, &|b| b.pairs.retain(|p| p.0 != kinds));
    case(kinds, &|b| b.numbers(kinds, 5, &[[0; 4]; 5]));
    case("unknown type 9", &|b| b.numbers(kinds, 5, &[2i32, 3, 3, 9].map(i32::to_le_bytes)));
    case("no piece for unknown text", &|b| b.numbers(kinds, 5, &[1i32, 3, 3, 1].map(i32::to_le_bytes)));
    case("marked as a byte", &|b| b.numbers(kinds, 5, &[2i32, 3, 3, 6].map(i32::to_le_bytes)));
    case("is \"a\", as an earlier one", &|b| b.texts("tokenizer.ggml.tokens", &["<unk>", "a", "</s>", "a"]));
    case("is empty", &|b| b.texts("tokenizer.ggml.tokens", &["<unk>", "<s>", "</s>", ""]));
    case("bos_token_id\" is missing", &|b| b.pairs.retain(|p| p.0 != "tokenizer.ggml.bos_token_id"));
    case("beyond the vocabulary", &|b| b.uint("tokenizer.ggml.eos_token_id", 4));
    case("beyond the vocabulary", &|b| b.uint("tokenizer.ggml.unknown_token_id", 4));
    case("add_space_prefix", &|b| b.uint("tokenizer.ggml.add_space_prefix", 2));
}

#[test]
fn a_file_cut_anywhere_is_pack_invalid() {
    let directory = Directory::new();
    let bytes = Builder::tiny().bytes();
    for length in (0..bytes.len() - 32).step_by(7) {
        let path = directory.write(&bytes[..length]);
        let error = try_all(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PackInvalid, "cut at {length}: {error}");
        assert!(error.message.contains("llm.gguf"), "cut at {length}: {error}");
    }
}

#[test]
fn the_packs_file_cut_short_names_a_tensor() {
    let directory = Directory::new();
    let whole = std::fs::read(llama_common::model_path()).unwrap();
    // Inside the vocabulary, the merges, and the weights.
    for length in [100, 4_000, 500_000, 1_500_000, 3_000_000, whole.len() / 2, whole.len() - 1_000] {
        let error = try_all(&directory.write(&whole[..length])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PackInvalid);
        if length > 3_000_000 {
            assert!(error.message.contains("tensor \"") && error.message.contains("cut short"), "{error}");
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let directory = Directory::new();
    let mut sentencepiece = Builder::tiny();
    sentencepiece.sentencepiece();
    // All of the header, of which the second differs in the metadata only, and here and there in the weights.
    for (builder, header, stride) in [(Builder::tiny(), 2_600, 41), (sentencepiece, 1_200, 4_001)] {
        let bytes = builder.bytes();
        let mut failed = 0;
        for at in (0..header).chain((header..bytes.len()).step_by(stride)) {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                if let Err(error) = try_all(&directory.write(&damaged)) {
                    failed += 1;
                    assert!(
                        matches!(error.kind, ErrorKind::PackInvalid | ErrorKind::InvalidArgument),
                        "byte {at} ^ {flip:#x}: {error}"
                    );
                }
            }
        }
        assert!(failed > 1_000, "only {failed} of the flips were noticed");
    }
}

#[test]
fn counts_beyond_the_file_take_no_memory() {
    let directory = Directory::new();
    for (at, value) in [(8, u64::MAX), (16, u64::MAX), (8, 1 << 40), (16, 1 << 33), (24, u64::MAX), (24, 1 << 62)] {
        let mut bytes = Builder::tiny().bytes();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let error = try_all(&directory.write(&bytes)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let directory = Directory::new();
    let case = |words: &str, change: &dyn Fn(&mut Builder)| {
        let mut builder = Builder::tiny();
        change(&mut builder);
        let error = try_all(&directory.write(&builder.bytes())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::PackInvalid, "{error}");
        assert!(error.message.contains(words) && error.message.contains("llm.gguf"), "{error} lacks {words:?}");
    };
    case("\"mamba\"", &|b| b.pair("general.architecture", 8, &text("mamba")));
    case("\"blk.1.ffn_up.weight\" is missing", &|b| b.tensors.retain(|t| t.0 != "blk.1.ffn_up.weight"));
    case("\"blk.0.attn_k.weight\" is [8, 8], expected [8, 4]", &|b| b.f32s("blk.0.attn_k.weight", &[8, 8]));
    case("\"output_norm.weight\" is [4], expected [8]", &|b| b.f32s("output_norm.weight", &[4]));
    case("\"llama.block_count\" is 0", &|b| b.uint("llama.block_count", 0));
    case("\"llama.context_length\" is missing", &|b| b.pairs.retain(|p| p.0 != "llama.context_length"));
    case("do not fit together", &|b| b.uint("llama.attention.head_count_kv", 3));
    case("dimension_count", &|b| b.uint("llama.rope.dimension_count", 2));
    case("rotary scaling", &|b| b.pair("llama.rope.scaling.type", 8, &text("yarn")));
    case("not an integer", &|b| b.pair("llama.embedding_length", 8, &text("8")));
    case("storage type 99", &|b| b.tensors[0].2 = 99);
    case("do not fit the blocks", &|b| b.tensors[0].2 = 3);
    case("tokenizer \"bert\"", &|b| b.pair("tokenizer.ggml.model", 8, &text("bert")));
    case("word splitting \"qwen2\"", &|b| b.pair("tokenizer.ggml.pre", 8, &text("qwen2")));
    case("merge \"a c\"", &|b| b.texts("tokenizer.ggml.merges", &["a c"]));
    case("beyond the vocabulary", &|b| b.uint("tokenizer.ggml.eos_token_id", 4));
    case("tokenizer.ggml.token_type", &|b| b.uint("tokenizer.ggml.token_type", 1));
    case("not a sensible number", &|b| b.uint("general.alignment", 0));
}

#[test]
fn files_that_are_no_model_are_told_apart() {
    let directory = Directory::new();
    let kind = |path: &Path| Llama::from_gguf(path).unwrap_err().kind;
    assert_eq!(kind(&directory.0.path().join("none.gguf")), ErrorKind::NotFound);
    assert_eq!(kind(directory.0.path()), ErrorKind::PackInvalid);
    assert_eq!(kind(&directory.write(b"")), ErrorKind::PackInvalid);
    assert_eq!(kind(&directory.write(b"{\"not\": \"a model\"}")), ErrorKind::PackInvalid);
    assert_eq!(kind(&directory.write(b"GGUF\x01\0\0\0aaaaaaaaaaaaaaaa")), ErrorKind::PackInvalid);
}

#[test]
fn weights_that_are_not_numbers_end_as_an_error() {
    let directory = Directory::new();
    let mut builder = Builder::tiny();
    for tensor in &mut builder.tensors {
        if tensor.0 == "output_norm.weight" {
            tensor.3 = f32::NAN.to_le_bytes().repeat(8);
        }
    }
    let error = try_all(&directory.write(&builder.bytes())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PackInvalid);
    assert!(error.message.contains("not a number"), "{error}");
}
