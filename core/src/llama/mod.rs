//! The language model: LLaMA with grouped-query attention, LoRA, soft tokens, label scoring and sampling.
//!
//! [`Llama`] holds the weights and is shared; a [`KvCache`] holds one sequence. A prompt is rows of the model's width:
//! [`Llama::embed`] makes them of token ids, projectors make them of measurements, and [`Llama::prefill`] takes both
//! alike. [`Llama::score`] gives label words their likelihoods, [`generate`] and [`Scheduler`] write text, token by token through a [`Decoder`].

mod cache;
mod config;
mod decoder;
mod generate;
mod lora;
mod model;
mod prefix;
mod sampler;
mod scheduler;
mod score;
mod tokenizer;

pub use crate::kernels::{Precision, WeightType};
pub use cache::KvCache;
pub use config::LlamaConfig;
pub use decoder::Decoder;
pub use generate::{generate, Generation, StopReason};
pub(crate) use lora::interleave_heads;
#[cfg(any(feature = "cuda", test))]
pub(crate) use lora::Adapter;
pub use lora::LoraWeights;
#[cfg(any(feature = "cuda", test))]
pub(crate) use model::Layer as HostLayer;
pub use model::{LayerPart, Llama};
pub(crate) use prefix::Prefixes;
pub use sampler::{Sampler, SamplingOptions};
pub use scheduler::{Scheduler, MAX_SEQUENCES};
pub use tokenizer::{StreamDecoder, Tokenizer, Vocabulary};
