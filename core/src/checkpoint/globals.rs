//! What a pickle may ask to call, and what becomes of it. Nothing is called: the answer is built here as data.

use super::graph::{bad, Graph, Id, Node, Storage, TensorNode};
use super::Dtype;
use crate::error::{Error, Result};

/// No tensor of a network has more axes.
const MAX_RANK: usize = 16;

/// What stands for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// A dictionary, perhaps with pairs as first argument.
    Dict,
    /// A dictionary whose first argument is no content (`defaultdict`).
    EmptyDict,
    /// A list or set, perhaps with content.
    List,
    /// The first argument itself, a tensor (`Parameter`).
    Parameter,
    /// `(storage, offset, shape, strides, ..)`.
    Tensor,
    /// `(function, type, arguments, state)`: a tensor with attributes.
    TensorOfType,
    /// The first argument itself, whatever it is.
    First,
    /// Text to the bytes it stands for (`_codecs.encode(text, "latin1")`, how protocol 2 writes bytes).
    Encode,
    /// An empty object of the class in the first argument.
    Reconstruct,
    /// Kept as data: name, arguments, state.
    Opaque,
}

fn meaning(global: &str) -> Option<Meaning> {
    let (module, name) = global.rsplit_once('.')?;
    // Python 2's names in protocol 2.
    let module = match module {
        "__builtin__" => "builtins",
        "copy_reg" => "copyreg",
        other => other,
    };
    Some(match (module, name) {
        ("collections", "OrderedDict" | "Counter") | ("builtins", "dict") => Meaning::Dict,
        ("collections", "defaultdict") => Meaning::EmptyDict,
        ("collections", "deque") | ("builtins", "list" | "set" | "frozenset") => Meaning::List,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Meaning::Tensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Meaning::Parameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Meaning::TensorOfType,
        ("torch", "Size") | ("builtins", "tuple" | "bytes" | "str" | "int" | "float" | "bool") => Meaning::First,
        ("_codecs", "encode") => Meaning::Encode,
        ("copyreg", "_reconstructor") => Meaning::Reconstruct,
        ("torch", "device")
        | ("torch.serialization", "_get_layout")
        | ("argparse", "Namespace")
        | ("types", "SimpleNamespace")
        | ("builtins", "complex" | "slice" | "range" | "bytearray")
        | ("datetime", "date" | "datetime" | "time" | "timedelta")
        | ("pathlib", "Path" | "PosixPath" | "PurePosixPath" | "PureWindowsPath" | "WindowsPath")
        | ("numpy", "dtype" | "ndarray")
        | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct")
        | ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer")
        | ("easydict", "EasyDict")
        | ("yacs.config", "CfgNode")
        | ("pytorch_lightning.utilities.parsing" | "lightning_fabric.utilities.data", "AttributeDict") => {
            Meaning::Opaque
        }
        ("omegaconf", _) => Meaning::Opaque,
        (module, _) if module.starts_with("omegaconf.") => Meaning::Opaque,
        _ => return None,
    })
}

fn refused(global: &str) -> Error {
    if global.starts_with("torch._utils._rebuild_") {
        return bad(format!(
            "has a tensor of a kind that is not read ({global}: quantised, sparse or of a rare dtype); save it as plain floats"
        ));
    }
    let hint = if global.starts_with("torch.") || global.starts_with("__main__.") || global.contains(".nn.") {
        "; if this is a whole model, save its `state_dict()` and try again"
    } else {
        ""
    };
    bad(format!("asks for {global}; only data is read, no code runs: refuse the file{hint}"))
}

/// REDUCE, NEWOBJ and their kin: `callable` on the tuple `args`.
pub(super) fn call(graph: &mut Graph, callable: Id, args: Id) -> Result<Id> {
    let Node::Global(name) = graph.node(callable) else {
        return Err(bad("calls what is not a class or function; refuse the file"));
    };
    let meaning = meaning(name).ok_or_else(|| refused(name))?;
    let first = graph.tuple(args)?.first().copied();
    match meaning {
        Meaning::Tensor => tensor(graph, args),
        Meaning::TensorOfType => {
            let &[function, _type, arguments, ..] = graph.tuple(args)? else {
                return Err(bad("rebuilds a tensor without saying how"));
            };
            match graph.node(function) {
                Node::Global(name) if self::meaning(name) == Some(Meaning::Tensor) => tensor(graph, arguments),
                Node::Global(name) => Err(refused(name)),
                _ => Err(bad("rebuilds a tensor by what is not a function; refuse the file")),
            }
        }
        Meaning::Parameter => match first {
            Some(id) if matches!(graph.node(id), Node::Tensor(_)) => Ok(id),
            _ => Err(bad("makes a parameter of what is not a tensor")),
        },
        Meaning::First => first.map_or_else(|| graph.add(Node::None), Ok),
        Meaning::List => match first {
            Some(id) if matches!(graph.node(id), Node::List(_)) => Ok(id),
            _ => graph.add(Node::List(Vec::new())),
        },
        Meaning::EmptyDict => graph.add(Node::Dict(Vec::new())),
        Meaning::Dict => dict(graph, first),
        Meaning::Encode => encode(graph, first),
        Meaning::Reconstruct => {
            let class = first.ok_or_else(|| bad("makes an object without a class"))?;
            match graph.node(class) {
                Node::Global(name) if self::meaning(name) == Some(Meaning::Opaque) => graph.made(class, args),
                Node::Global(name) if self::meaning(name) == Some(Meaning::Dict) => dict(graph, None),
                Node::Global(name) => Err(refused(name)),
                _ => Err(bad("makes an object of what is not a class; refuse the file")),
            }
        }
        Meaning::Opaque => graph.made(callable, args),
    }
}

/// BUILD: sets `state` on `target`. Attributes of dictionaries (`_metadata` of a state dict) and tensors are not weights: ignored.
pub(super) fn build(graph: &mut Graph, target: Id, state: Id) -> Result<()> {
    match graph.node(target) {
        Node::Dict(_) | Node::Tensor(_) => Ok(()),
        Node::Global(name) => Err(refused(name)),
        _ => graph.set_state(target, state),
    }
}

/// A persistent id: `("storage", class, key, location, length)`, in files before torch 1.6 with a view after it.
pub(super) fn persistent(graph: &mut Graph, pid: Id) -> Result<Id> {
    let unknown = || bad("refers to something outside that is not a tensor's storage; refuse the file");
    let Ok(&[tag, class, key, _location, length, ref view @ ..]) = graph.tuple(pid) else {
        return Err(unknown());
    };
    let (Node::Text(tag), Node::Global(class), Node::Int(length)) =
        (graph.node(tag), graph.node(class), graph.node(length))
    else {
        return Err(unknown());
    };
    if tag != "storage" || view.len() > 1 {
        return Err(unknown());
    }
    if view.first().is_some_and(|&view| !matches!(graph.node(view), Node::None)) {
        return Err(bad("has a view of a storage as torch wrote it before 0.4; load it with torch and save it again"));
    }
    let dtype = storage_dtype(class)?;
    let length = u64::try_from(*length).map_err(|_| bad("has a storage of negative length"))?;
    let key = match graph.node(key) {
        Node::Text(key) => key.clone(),
        Node::Int(key) => key.to_string(),
        _ => return Err(unknown()),
    };
    graph.charge(key.len())?;
    graph.add(Node::Storage(Box::new(Storage { key, dtype, length })))
}

/// The dtype of a storage class; `UntypedStorage` counts bytes.
fn storage_dtype(class: &str) -> Result<Dtype> {
    let name = ["torch.cuda.", "torch.storage.", "torch."].iter().find_map(|prefix| class.strip_prefix(prefix));
    Ok(match name.unwrap_or_default() {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "DoubleStorage" => Dtype::F64,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" | "UntypedStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        _ => {
            return Err(bad(format!(
                "has a tensor in {class}; floats, integers and booleans are read: save it with another dtype"
            )))
        }
    })
}

fn tensor(graph: &mut Graph, args: Id) -> Result<Id> {
    let &[storage, offset, shape, strides, ..] = graph.tuple(args)? else {
        return Err(bad("rebuilds a tensor with too few arguments"));
    };
    if !matches!(graph.node(storage), Node::Storage(_)) {
        return Err(bad("rebuilds a tensor from what is not a storage"));
    }
    let offset = extent(graph, offset)? as u64;
    let (shape, strides) = (extents(graph, shape)?, extents(graph, strides)?);
    if shape.len() != strides.len() {
        return Err(bad(format!("has a tensor of {} axes with {} strides", shape.len(), strides.len())));
    }
    graph.add(Node::Tensor(Box::new(TensorNode { storage, offset, shape, strides })))
}

fn extents(graph: &Graph, id: Id) -> Result<Vec<usize>> {
    let items = graph.tuple(id)?;
    if items.len() > MAX_RANK {
        return Err(bad(format!("has a tensor of {} axes; {MAX_RANK} at most are read", items.len())));
    }
    items.iter().map(|&id| extent(graph, id)).collect()
}

fn extent(graph: &Graph, id: Id) -> Result<usize> {
    match graph.node(id) {
        Node::Int(value) => usize::try_from(*value).map_err(|_| bad(format!("has a tensor with the extent {value}"))),
        _ => Err(bad("has a tensor whose extents are not numbers")),
    }
}

/// A dictionary from nothing, from another one, or from a list of pairs (how Python 2 writes an `OrderedDict`).
fn dict(graph: &mut Graph, content: Option<Id>) -> Result<Id> {
    let Some(content) = content else {
        return graph.add(Node::Dict(Vec::new()));
    };
    let items = match graph.node(content) {
        Node::Dict(_) => return Ok(content),
        Node::List(items) => items,
        _ => return Err(bad("makes a dictionary of what is neither pairs nor a dictionary")),
    };
    let mut pairs = Vec::with_capacity(items.len());
    for &item in items {
        match graph.node(item) {
            Node::List(pair) | Node::Tuple(pair) if pair.len() == 2 => pairs.push((pair[0], pair[1])),
            _ => return Err(bad("makes a dictionary of what is not pairs")),
        }
    }
    graph.charge(pairs.len() * size_of::<(Id, Id)>())?;
    graph.add(Node::Dict(pairs))
}

fn encode(graph: &mut Graph, text: Option<Id>) -> Result<Id> {
    let Some(Node::Text(text)) = text.map(|id| graph.node(id)) else {
        return Err(bad("encodes what is not text"));
    };
    let cost = text.len();
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let bytes = bytes.ok_or_else(|| bad("encodes text beyond latin-1"))?;
    graph.charge(cost)?;
    graph.add(Node::Bytes(bytes))
}
