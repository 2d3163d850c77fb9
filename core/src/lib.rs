//! What a person in a video feels, and what shows it.
//!
//! Data flows one way: media → faces and voice → encoders → projector → prompt → language model → answer.

#![deny(unsafe_code)]

pub mod analysis;
pub mod answer;
pub mod backend;
pub mod cancel;
pub mod checkpoint;
pub mod convert;
#[cfg(any(feature = "cuda", test))]
mod cuda;
#[cfg(any(feature = "cuda", test))]
pub mod device;
pub mod encode;
pub mod encoders;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod event;
pub mod face;
pub mod features;
pub mod gguf;
pub mod kernels;
pub mod live;
pub mod llama;
pub mod media;
pub mod nn;
pub mod npy;
pub mod pack;
pub mod perceive;
pub mod placement;
pub mod preprocess;
pub mod projector;
pub mod prompt;
pub mod remote;
pub mod request;
pub mod respond;
pub mod session;
pub mod voice;
mod workers;

pub use cancel::CancelToken;
pub use error::{Error, ErrorKind, Result};
