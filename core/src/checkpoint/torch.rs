//! Files of `torch.save`: the zip container since torch 1.6, and the row of pickles before.
//!
//! Follows `torch/serialization.py` (`_save`, `_legacy_save`): `data.pkl` describes the tensors, each storage is an entry `data/<key>`;
//! in the older form the storages follow the pickles, each with its count of values in front.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;

use super::graph::{bad, Graph, Node, Storage};
use super::input::{cut_short, read_at, unreadable, Input};
use super::pickle;
use super::tree::{unfold, Tensors};
use super::zip::Archive;
use super::{Dtype, Object};
use crate::error::{Error, Result};

/// `MAGIC_NUMBER` of `torch/serialization.py`, 0x1950a86a20f9469cfc6c, little endian.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const LEGACY_PROTOCOL: i64 = 1001;

/// The zip form.
pub(super) fn read_zip(file: &File, length: u64, source: usize) -> Result<(Object, Tensors)> {
    let archive = Archive::open(file, length)?;
    let folder = top_folder(&archive)?;
    match archive.read(&format!("{folder}byteorder"), 16)?.as_deref() {
        None | Some(b"little") => {}
        Some(_) => return Err(big_endian()),
    }
    let pickle = archive.locate(&format!("{folder}data.pkl"))?.ok_or_else(|| Error::pack("has no data.pkl"))?;
    let mut input = Input::section(file, pickle.start, pickle.end - pickle.start);
    let mut graph = pickle::load(&mut input).map_err(|e| e.context("data.pkl"))?;
    let locate = |storage: &Storage| {
        let name = format!("{folder}data/{}", storage.key);
        archive.locate(&name)?.ok_or_else(|| Error::pack(format!("has no entry {name:?}; the file is damaged")))
    };
    unfold(&mut graph, &locate, source, length)
}

/// The folder within the zip that `data.pkl` lies in, with its slash.
fn top_folder(archive: &Archive<'_>) -> Result<String> {
    let mut folder = None;
    for name in archive.names() {
        let Some(before) = name.strip_suffix("data.pkl") else {
            continue;
        };
        if before.trim_end_matches('/').contains('/') || !(before.is_empty() || before.ends_with('/')) {
            continue;
        }
        if folder.replace(before).is_some() {
            return Err(Error::pack("has two data.pkl; take the original file"));
        }
    }
    let Some(folder) = folder else {
        return Err(Error::pack(
            "is a zip file, but no checkpoint: it has no data.pkl. Unpack it and name the checkpoint inside",
        ));
    };
    let script = format!("{folder}code/");
    if archive.names().any(|name| name.starts_with(&script)) {
        return Err(Error::pack("is a TorchScript program; save the model's `state_dict()` with `torch.save` instead"));
    }
    Ok(folder.to_owned())
}

/// The form before torch 1.6: magic number, protocol, system, object, keys (a pickle each), then the storages.
pub(super) fn read_legacy(file: &File, length: u64, source: usize) -> Result<(Object, Tensors)> {
    let mut input = Input::section(file, 0, length);
    let magic = pickle::load(&mut input)?;
    if !is_magic(&magic) {
        return Err(Error::pack(
            "is a pickle, but not one that `torch.save` wrote; save the weights with `torch.save`",
        ));
    }
    let protocol = pickle::load(&mut input)?;
    if !matches!(protocol.node(protocol.root), Node::Int(LEGACY_PROTOCOL)) {
        return Err(Error::pack(
            "is of an unknown version of torch's old format; load it with torch and save it again",
        ));
    }
    let mut system = pickle::load(&mut input)?;
    let (system, _) = unfold(&mut system, &|_| Err(bad("has a tensor in its header")), source, length)?;
    if system.get("little_endian") != Some(&Object::Bool(true)) {
        return Err(big_endian());
    }
    let mut graph = pickle::load(&mut input).map_err(|e| e.context("the object's pickle"))?;
    let mut keys = pickle::load(&mut input).map_err(|e| e.context("the pickle of storage keys"))?;
    let (keys, _) = unfold(&mut keys, &|_| Err(bad("has a tensor among its keys")), source, length)?;
    let storages = locate_storages(file, input.position()..length, &graph, &keys)?;
    let locate = |storage: &Storage| {
        let found = storages.get(&storage.key).cloned();
        found.ok_or_else(|| Error::pack(format!("has no storage {:?}; the file is damaged", storage.key)))
    };
    unfold(&mut graph, &locate, source, length)
}

fn is_magic(graph: &Graph) -> bool {
    let Node::Made(made) = graph.node(graph.root) else {
        return false;
    };
    match graph.node(made.args) {
        Node::Tuple(args) => args.iter().any(|&id| matches!(graph.node(id), Node::Bytes(b) if *b == LEGACY_MAGIC)),
        _ => false,
    }
}

/// Walks the storages after the pickles; their counts are of values, so the dtype comes from the object's pickle.
fn locate_storages(file: &File, part: Range<u64>, graph: &Graph, keys: &Object) -> Result<HashMap<String, Range<u64>>> {
    let mut dtypes: HashMap<&str, Dtype> = HashMap::new();
    for node in &graph.nodes {
        let Node::Storage(storage) = node else {
            continue;
        };
        if dtypes.insert(&storage.key, storage.dtype).is_some_and(|before| before != storage.dtype) {
            return Err(bad(format!("gives storage {:?} two dtypes", storage.key)));
        }
    }
    let Object::List(keys) = keys else {
        return Err(bad("has no list of storage keys"));
    };
    let mut position = part.start;
    let mut found = HashMap::new();
    for key in keys {
        let Object::Text(key) = key else {
            return Err(bad("has a storage key that is not text"));
        };
        let dtype = dtypes.get(key.as_str()).ok_or_else(|| bad(format!("does not use storage {key:?}")))?;
        let mut count = [0; 8];
        read_at(file, &mut count, position).map_err(unreadable)?;
        let start = position.checked_add(8).ok_or_else(cut_short)?;
        let bytes = u64::from_le_bytes(count).checked_mul(dtype.size() as u64).ok_or_else(cut_short)?;
        position = start.checked_add(bytes).filter(|&position| position <= part.end).ok_or_else(cut_short)?;
        if found.insert(key.clone(), start..position).is_some() {
            return Err(bad(format!("lists storage {key:?} twice")));
        }
    }
    Ok(found)
}

fn big_endian() -> Error {
    Error::pack("was written on a big-endian machine; load it with torch there or here and save it again")
}
