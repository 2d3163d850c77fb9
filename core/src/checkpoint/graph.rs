//! What a pickle holds, as data: values that refer to one another by number.

use super::Dtype;
use crate::error::{Error, Result};

/// Bytes that may be copied or made for each byte read, beyond [`FREE_COST`].
const COST_PER_BYTE: u64 = 64;
const FREE_COST: u64 = 1 << 20;
const MAX_COST: u64 = 1 << 30;

/// A value's number in its [`Graph`].
pub(super) type Id = u32;

/// A part of a storage, as the pickle names it.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub key: String,
    pub dtype: Dtype,
    /// Values in the whole storage.
    pub length: u64,
}

/// A tensor as the pickle describes it; not yet held against its storage.
#[derive(Debug, Clone)]
pub(super) struct TensorNode {
    pub storage: Id,
    pub offset: u64,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// An object of a class that is kept as data.
#[derive(Debug, Clone)]
pub(super) struct Made {
    /// Its class or the function that makes it.
    pub global: Id,
    /// The tuple of arguments.
    pub args: Id,
    /// What BUILD set.
    pub state: Option<Id>,
    /// What SETITEMS set, for subclasses of dictionaries.
    pub items: Vec<(Id, Id)>,
}

/// One value.
#[derive(Debug, Clone)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function by name; naming it is harmless.
    Global(String),
    Made(Box<Made>),
    Storage(Box<Storage>),
    Tensor(Box<TensorNode>),
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub root: Id,
    budget: Budget,
}

/// The values that every graph begins with.
pub(super) const NONE: Id = 0;
pub(super) const FALSE: Id = 1;
pub(super) const TRUE: Id = 2;

impl Graph {
    /// A graph of the values that every graph begins with; its root is None.
    pub fn new() -> Self {
        Self { nodes: vec![Node::None, Node::Bool(false), Node::Bool(true)], root: NONE, budget: Budget::default() }
    }

    /// Says how much of the pickle was read, which bounds what may be made of it.
    pub fn set_read(&mut self, read: u64) {
        self.budget.read = read;
    }

    pub fn node(&self, id: Id) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    pub fn add(&mut self, node: Node) -> Result<Id> {
        let id = Id::try_from(self.nodes.len()).map_err(|_| bad("has too many values"))?;
        self.nodes.push(node);
        Ok(id)
    }

    /// Counts `cost` bytes against what a pickle of this size may make.
    pub fn charge(&mut self, cost: usize) -> Result<()> {
        self.budget.charge(cost)
    }

    /// The members of a tuple.
    pub fn tuple(&self, id: Id) -> Result<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) => Ok(items),
            _ => Err(bad("has no tuple where one belongs")),
        }
    }

    /// Sets the state of an object that was made before.
    pub fn set_state(&mut self, target: Id, value: Id) -> Result<()> {
        match self.nodes.get_mut(target as usize) {
            Some(Node::Made(made)) => {
                made.state = Some(value);
                Ok(())
            }
            _ => Err(bad("sets the state of what is not an object")),
        }
    }

    /// An object of a class that is kept as data.
    pub fn made(&mut self, global: Id, args: Id) -> Result<Id> {
        self.add(Node::Made(Box::new(Made { global, args, state: None, items: Vec::new() })))
    }
}

/// Bounds what is made by what was read.
#[derive(Debug, Default)]
struct Budget {
    read: u64,
    spent: u64,
}

impl Budget {
    fn charge(&mut self, cost: usize) -> Result<()> {
        self.spent = self.spent.saturating_add(cost as u64);
        if self.spent > self.read.saturating_mul(COST_PER_BYTE).saturating_add(FREE_COST).min(MAX_COST) {
            return Err(bad("repeats shared values until they outgrow the file; refuse the file"));
        }
        Ok(())
    }
}

/// An error about the pickle itself.
pub(super) fn bad(message: impl std::fmt::Display) -> Error {
    Error::pack(format!("the pickle {message}"))
}
