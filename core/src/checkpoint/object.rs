//! What is stored beside the tensors, as a tree.

use std::borrow::Cow;

/// A value of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// Python's `None`.
    None,
    /// A boolean.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes, and text of Python 2 that is not UTF-8.
    Bytes(Vec<u8>),
    /// A list, tuple or set.
    List(Vec<Object>),
    /// A dictionary in the order of the file; no key occurs twice.
    Dict(Vec<(Object, Object)>),
    /// A tensor, by its name in the checkpoint.
    Tensor(String),
    /// An object of a class that is kept as data: its full name (`argparse.Namespace`) and its content
    /// (items, else state, else arguments; `None` for a class or function that is only named).
    Other(String, Box<Object>),
}

impl Object {
    /// The value at `path`: dictionary keys and list positions joined with dots. Keys that hold dots themselves are found.
    /// The content of an object of a class is looked into as if it stood there itself.
    pub fn get(&self, path: &str) -> Option<&Object> {
        if path.is_empty() {
            return Some(self);
        }
        match self {
            Object::Other(_, content) => content.get(path),
            Object::List(items) => {
                let (head, rest) = path.split_once('.').unwrap_or((path, ""));
                items.get(head.parse::<usize>().ok()?)?.get(rest)
            }
            Object::Dict(items) => items.iter().enumerate().find_map(|(position, (key, value))| {
                let rest = path.strip_prefix(key.component(position).as_ref())?;
                if rest.is_empty() {
                    return Some(value);
                }
                value.get(rest.strip_prefix('.').filter(|rest| !rest.is_empty())?)
            }),
            _ => None,
        }
    }

    /// The number, if this is an integer.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Object::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if this is a float or an integer.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Object::Float(value) => Some(*value),
            Object::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Object::Text(value) => Some(value),
            _ => None,
        }
    }

    /// What this is as a part of a dotted path, when it is the key of item `position` of a dictionary.
    pub(super) fn component(&self, position: usize) -> Cow<'_, str> {
        match self {
            Object::Text(text) => Cow::Borrowed(text),
            Object::Int(value) => Cow::Owned(value.to_string()),
            Object::Bool(value) => Cow::Owned(value.to_string()),
            Object::Float(value) => Cow::Owned(value.to_string()),
            Object::None
            | Object::Bytes(_)
            | Object::List(_)
            | Object::Dict(_)
            | Object::Tensor(_)
            | Object::Other(..) => Cow::Owned(position.to_string()),
        }
    }
}
