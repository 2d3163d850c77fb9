//! From the pickle's graph to the tree of objects and the list of tensors.

use std::collections::HashSet;
use std::ops::Range;

use indexmap::IndexMap;

use super::graph::{bad, Graph, Id, Made, Node, Storage, TensorNode};
use super::{Object, TensorEntry};
use crate::error::{Error, Result};

/// Containers within containers. Python itself stops at about 1000; checkpoints stay below 20.
const MAX_DEPTH: usize = 100;
/// What a tensor's entry costs beside its name.
const ENTRY_COST: usize = 128;
/// What a key of a dictionary costs beside itself.
const KEY_COST: usize = 64;
/// An expanded tensor (stride 0) may hold this many values more than the file has bytes.
const EXPANDED: u64 = 1 << 20;

/// Tensors by name, in the order of the file.
pub(super) type Tensors = IndexMap<String, TensorEntry>;

/// Where the bytes of a storage lie.
pub(super) type Locate<'a> = &'a dyn Fn(&Storage) -> Result<Range<u64>>;

/// Unfolds `graph`; `source` is the number of its file and `file_length` that file's size in bytes.
pub(super) fn unfold(
    graph: &mut Graph,
    locate: Locate<'_>,
    source: usize,
    file_length: u64,
) -> Result<(Object, Tensors)> {
    let root = graph.root;
    let mut tree =
        Tree { graph, locate, source, file_length, name: String::new(), components: 0, tensors: Tensors::new() };
    let object = tree.object(root, 0)?;
    Ok((object, tree.tensors))
}

struct Tree<'a> {
    graph: &'a mut Graph,
    locate: Locate<'a>,
    source: usize,
    file_length: u64,
    /// The dotted path to the value at hand.
    name: String,
    components: usize,
    tensors: Tensors,
}

impl Tree<'_> {
    fn object(&mut self, id: Id, depth: usize) -> Result<Object> {
        if depth > MAX_DEPTH {
            return Err(bad(format!("nests values more than {MAX_DEPTH} deep or within themselves; refuse the file")));
        }
        self.graph.charge(size_of::<Object>())?;
        // Containers are copied (as numbers) so that the graph can be walked further.
        Ok(match self.graph.node(id) {
            Node::None => Object::None,
            Node::Bool(value) => Object::Bool(*value),
            Node::Int(value) => Object::Int(*value),
            Node::Float(value) => Object::Float(*value),
            Node::Text(text) => {
                let text = text.clone();
                self.graph.charge(text.len())?;
                Object::Text(text)
            }
            Node::Bytes(bytes) => {
                let bytes = bytes.clone();
                self.graph.charge(bytes.len())?;
                Object::Bytes(bytes)
            }
            Node::List(items) | Node::Tuple(items) => {
                let items = items.clone();
                self.graph.charge(size_of_val(items.as_slice()))?;
                self.list(&items, depth)?
            }
            Node::Dict(items) => {
                let items = items.clone();
                self.graph.charge(items.len() * KEY_COST)?;
                self.dict(&items, depth)?
            }
            Node::Global(name) => {
                let name = name.clone();
                self.graph.charge(name.len())?;
                Object::Other(name, Box::new(Object::None))
            }
            Node::Made(made) => {
                let made = Made::clone(made);
                self.graph.charge(made.items.len() * KEY_COST)?;
                self.made(&made, depth)?
            }
            Node::Storage(storage) => {
                let key = storage.key.clone();
                self.graph.charge(key.len())?;
                Object::Other("torch.storage".into(), Box::new(Object::Text(key)))
            }
            Node::Tensor(tensor) => {
                let tensor = TensorNode::clone(tensor);
                self.tensor(&tensor)?
            }
        })
    }

    fn list(&mut self, items: &[Id], depth: usize) -> Result<Object> {
        let mut list = Vec::new();
        for (position, &item) in items.iter().enumerate() {
            list.push(self.within(&position.to_string(), item, depth)?);
        }
        Ok(Object::List(list))
    }

    fn dict(&mut self, items: &[(Id, Id)], depth: usize) -> Result<Object> {
        let mut seen = HashSet::new();
        let mut dict = Vec::new();
        for (position, &(key, value)) in items.iter().enumerate() {
            let key = self.object(key, depth + 1)?;
            let component = key.component(position).into_owned();
            let value = self.within(&component, value, depth)?;
            if !seen.insert((component, matches!(key, Object::Text(_)))) {
                return Err(bad(format!("has the key {:?} twice", key.component(position))));
            }
            dict.push((key, value));
        }
        Ok(Object::Dict(dict))
    }

    fn made(&mut self, made: &Made, depth: usize) -> Result<Object> {
        let name = match self.graph.node(made.global) {
            Node::Global(name) => name.clone(),
            _ => return Err(bad("has an object without a class")),
        };
        self.graph.charge(name.len())?;
        let content = match made.state {
            _ if !made.items.is_empty() => self.dict(&made.items, depth)?,
            Some(state) => self.object(state, depth + 1)?,
            None if matches!(self.graph.node(made.args), Node::Tuple(args) if args.is_empty()) => Object::None,
            None => self.object(made.args, depth + 1)?,
        };
        Ok(Object::Other(name, Box::new(content)))
    }

    /// The value `id`, one path component further.
    fn within(&mut self, component: &str, id: Id, depth: usize) -> Result<Object> {
        let length = self.name.len();
        self.graph.charge(component.len())?;
        if self.components > 0 {
            self.name.push('.');
        }
        self.name.push_str(component);
        self.components += 1;
        let object = self.object(id, depth + 1)?;
        self.components -= 1;
        self.name.truncate(length);
        Ok(object)
    }

    fn tensor(&mut self, tensor: &TensorNode) -> Result<Object> {
        self.graph.charge(2 * self.name.len() + ENTRY_COST + 2 * size_of_val(tensor.shape.as_slice()))?;
        let Node::Storage(storage) = self.graph.node(tensor.storage) else {
            return Err(bad("has a tensor without a storage"));
        };
        let name = self.name.clone();
        let entry = self.entry(tensor, storage).map_err(|e| e.context(format!("tensor {name:?}")))?;
        if self.tensors.insert(name.clone(), entry).is_some() {
            return Err(bad(format!("has two tensors that are called {name:?}")));
        }
        Ok(Object::Tensor(name))
    }

    /// Holds a tensor against the storage that it lies in.
    fn entry(&self, tensor: &TensorNode, storage: &Storage) -> Result<TensorEntry> {
        let bytes = (self.locate)(storage)?;
        let size = storage.dtype.size() as u64;
        let needed = storage.length.checked_mul(size).ok_or_else(outside)?;
        if needed > bytes.end - bytes.start {
            return Err(outside());
        }
        let span = span(&tensor.shape, &tensor.strides).ok_or_else(outside)?;
        let end = span.checked_add(if span == 0 { 0 } else { tensor.offset }).ok_or_else(outside)?;
        if end > storage.length {
            return Err(outside());
        }
        let values = tensor.shape.iter().try_fold(1u64, |all, &extent| all.checked_mul(extent as u64));
        if span > 0 && values.is_none_or(|values| values > self.file_length + EXPANDED) {
            return Err(Error::pack(format!(
                "is {:?}, expanded from a few values to more than the file has bytes; refuse the file",
                tensor.shape
            )));
        }
        let offset = if span == 0 { 0 } else { bytes.start + tensor.offset * size };
        Ok(TensorEntry {
            shape: tensor.shape.clone(),
            dtype: storage.dtype,
            source: self.source,
            offset,
            strides: tensor.strides.clone(),
        })
    }
}

/// How many values of its storage a tensor reaches over; `None` if that overflows.
pub(super) fn span(shape: &[usize], strides: &[usize]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1u64, |span, (&extent, &stride)| span.checked_add((extent as u64 - 1).checked_mul(stride as u64)?))
}

fn outside() -> Error {
    Error::pack("reaches beyond its storage: the file is cut short or damaged; download or copy it again")
}
