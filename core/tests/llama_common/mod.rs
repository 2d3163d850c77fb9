//! What the language model's tests share: the pack's model, and the reference figures.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use emotion_llama_core::gguf::Gguf;
use emotion_llama_core::llama::{KvCache, Llama, Precision, Tokenizer};
use emotion_llama_core::CancelToken;
use safetensors::SafeTensors;

/// The language model's file in the built pack; `EMOTION_LLAMA_PACK` names another pack.
pub fn model_path() -> PathBuf {
    let pack = std::env::var_os("EMOTION_LLAMA_PACK")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/packs/emotion-llama-mini"));
    let path = pack.join("llm.gguf");
    assert!(path.is_file(), "{} is missing: run `make pack` first, or set EMOTION_LLAMA_PACK", path.display());
    path
}

/// A model of one's own, which computes as the reference does.
pub fn load() -> Llama {
    let mut model = Llama::from_gguf(model_path()).unwrap();
    model.set_precision(Precision::Full);
    model
}

/// The model, loaded once.
pub fn model() -> &'static Llama {
    static MODEL: OnceLock<Llama> = OnceLock::new();
    MODEL.get_or_init(load)
}

/// The tokenizer, loaded once.
pub fn tokenizer() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| Tokenizer::from_gguf(&Gguf::open(&model_path()).unwrap()).unwrap())
}

pub fn prefill_ids(model: &Llama, ids: &[u32], cache: &mut KvCache) -> Vec<f32> {
    model.prefill(&model.embed(ids).unwrap(), cache, &CancelToken::new()).unwrap()
}

/// The greatest magnitude; NaN if any value is.
pub fn largest(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(0.0, |m, v| if v.is_nan() || v.abs() > m { v.abs() } else { m })
}

pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/llama").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Figures written by `tools/reference/llama.py`.
pub struct Fixture(Vec<u8>);

pub fn reference() -> Fixture {
    Fixture(fixture("parity.safetensors"))
}

impl Fixture {
    pub fn open(name: &str) -> Self {
        Self(fixture(name))
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().data().to_vec()
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.bytes(name).chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        match tensor.dtype() {
            safetensors::Dtype::F16 => {
                tensor.data().chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            safetensors::Dtype::F32 => {
                tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            other => panic!("{name} is {other:?}"),
        }
    }
}
