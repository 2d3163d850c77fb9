//! Checkpoints, and the writers of the checkpoint tests.

#[allow(dead_code, unused_imports, clippy::all)]
#[path = "../../core/tests/checkpoint_common/mod.rs"]
mod writers;

use emotion_llama_core::checkpoint::Checkpoint;

pub use writers::{entry, safetensors, zip};

use crate::{file, settle};

/// Tensors whose values are read.
const MOST_TENSORS: usize = 8;

/// Opens a checkpoint of these bytes and reads its first tensors.
pub fn open_and_read(data: &[u8]) {
    let Some(checkpoint) = settle(Checkpoint::open(&file("checkpoint", data, 0))) else { return };
    for name in checkpoint.names().take(MOST_TENSORS) {
        let count: usize = checkpoint.tensor(name).map_or(0, |tensor| tensor.shape.iter().product());
        if let Some(values) = settle(checkpoint.read(name)) {
            assert_eq!(values.len(), count, "{name}");
        }
    }
    for path in ["config.model.lora_r", "model", "epoch", "0", ""] {
        let _ = checkpoint.value(path);
    }
}
