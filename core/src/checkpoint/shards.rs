//! Hugging Face folders: weights in one file, or in shards with an index.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;

use super::{Checkpoint, Object};
use crate::error::{Error, Result};

/// What is looked for, in this order, as transformers does.
const SINGLE: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
const INDEX: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
/// A Llama of 70 billion parameters has 60 kB.
const MAX_INDEX: u64 = 64 << 20;

/// `model.safetensors.index.json` and `pytorch_model.bin.index.json`.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: IndexMap<String, String>,
}

/// Opens the weights of a folder.
pub(super) fn open(folder: &Path) -> Result<Checkpoint> {
    for (single, index) in SINGLE.into_iter().zip(INDEX) {
        let file = folder.join(single);
        if file.is_file() {
            return Checkpoint::open_files(folder, vec![file]);
        }
        let file = folder.join(index);
        if file.is_file() {
            return open_index(folder, file);
        }
    }
    Err(Error::not_found(format!(
        "{}: has none of {}, {}, {}, {}; name the folder or the file that holds the weights",
        folder.display(),
        SINGLE[0],
        INDEX[0],
        SINGLE[1],
        INDEX[1]
    )))
}

fn open_index(folder: &Path, path: PathBuf) -> Result<Checkpoint> {
    let here = |e: Error| e.context(path.display());
    let wrong = |message: String| here(Error::pack(message));
    let length = fs::metadata(&path).map_err(|e| wrong(format!("cannot be read: {e}")))?.len();
    if length > MAX_INDEX {
        return Err(wrong("is too large for an index of shards".into()));
    }
    let json = fs::read(&path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    super::sniff::not_a_model(&json).map_err(here)?;
    let index: Index = serde_json::from_slice(&json)
        .map_err(|e| wrong(format!("is no index of shards: {e}; download the folder again")))?;

    let shards: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    let mut files = Vec::with_capacity(shards.len());
    for shard in shards {
        let plain = Path::new(shard).file_name().is_some_and(|name| name == shard);
        if !plain || shard.contains(['/', '\\']) {
            return Err(wrong(format!("names the shard {shard:?}, which is not a plain file name; refuse the folder")));
        }
        let file = folder.join(shard);
        if !file.is_file() {
            return Err(here(Error::not_found(format!(
                "the shard {shard:?} is missing; download it into the same folder"
            ))));
        }
        files.push(file);
    }
    if files.is_empty() {
        return Err(wrong("names no shards; download the folder again".into()));
    }
    let mut checkpoint = Checkpoint::open_files(folder, files)?;
    for (name, shard) in &index.weight_map {
        let found = checkpoint.tensors.get(name).map(|tensor| &checkpoint.sources[tensor.source].path);
        if found.and_then(|path| path.file_name()).is_none_or(|file| file != shard.as_str()) {
            return Err(wrong(format!(
                "says that {shard:?} holds {name:?}, which it does not; download the folder again"
            )));
        }
    }
    checkpoint.files.insert(0, path);
    Ok(checkpoint)
}

/// One tree of several files' trees, each a dictionary at the top.
pub(super) fn join(path: &Path, whole: Object, part: Object) -> Result<Object> {
    match (whole, part) {
        (Object::Dict(mut whole), Object::Dict(part)) => {
            whole.extend(part);
            Ok(Object::Dict(whole))
        }
        _ => Err(Error::pack(format!("{}: holds no dictionary of tensors, as a shard must", path.display()))),
    }
}
