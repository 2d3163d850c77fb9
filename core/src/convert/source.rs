//! Where tensors come from: a checkpoint's files, seen through the names that a role expects.

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

/// Named f32 tensors.
pub(super) trait TensorSource: Sync {
    /// Every name, in the order of the file.
    fn names(&self) -> Vec<&str>;
    /// Shape of `name`, slowest axis first.
    fn shape(&self, name: &str) -> Option<&[usize]>;
    /// Values of `name`, row-major.
    fn read(&self, name: &str) -> Result<Vec<f32>>;
    /// For messages: the file or folder.
    fn place(&self) -> String;
}

/// The model in a checkpoint: its state dict without what is saved beside it, and without prefixes that wrappers add.
pub(super) struct StateDict {
    checkpoint: Checkpoint,
    prefix: String,
}

/// Dictionaries that training scripts put the state dict in.
const CONTAINERS: [&str; 4] = ["model.", "module.", "state_dict.", "model_state_dict."];
/// Other things that training scripts save beside it.
const BESIDE: [&str; 6] = ["optimizer.", "scaler.", "args.", "config.", "ema.", "lr_scheduler."];

impl StateDict {
    /// Opens the file or folder at `path`. `outer` lists the prefixes of wrapper classes, for example `hubert.`.
    pub(super) fn open(path: &Path, outer: &[&str]) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let mut prefix = String::new();
        loop {
            let rest: Vec<&str> = checkpoint
                .names()
                .filter(|name| !BESIDE.iter().any(|beside| name.starts_with(beside)))
                .filter_map(|name| name.strip_prefix(prefix.as_str()))
                .collect();
            let count = |wrapper: &str| rest.iter().filter(|name| name.starts_with(wrapper)).count();
            // Other things than those known may stand beside a state dict, and a head beside a wrapped model.
            let most = |wrapper: &&&str| 2 * count(wrapper) > rest.len();
            let some = |wrapper: &&&str| count(wrapper) > 0;
            let wrapper = CONTAINERS.iter().find(most).or_else(|| outer.iter().find(some));
            let wrapper = wrapper.filter(|_| !rest.is_empty() && !is_language_model(&rest));
            match wrapper {
                Some(wrapper) => prefix.push_str(wrapper),
                None => break,
            }
        }
        Ok(Self { checkpoint, prefix })
    }

    /// The file or folder, with what is saved beside the tensors.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Whether the names are those of a Hugging Face LLaMA, whose own names begin with `model.`.
fn is_language_model(names: &[&str]) -> bool {
    names.iter().any(|name| name.ends_with("embed_tokens.weight"))
}

impl TensorSource for StateDict {
    fn names(&self) -> Vec<&str> {
        self.checkpoint.names().filter_map(|name| name.strip_prefix(self.prefix.as_str())).collect()
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.checkpoint.tensor(&self.full(name)).map(|entry| entry.shape.as_slice())
    }

    fn read(&self, name: &str) -> Result<Vec<f32>> {
        self.checkpoint.read(&self.full(name))
    }

    fn place(&self) -> String {
        self.checkpoint.path().display().to_string()
    }
}

/// The shape of `name`.
///
/// # Errors
/// `invalid_argument` naming file and tensor.
pub(super) fn shape<'a>(source: &'a dyn TensorSource, name: &str) -> Result<&'a [usize]> {
    source.shape(name).ok_or_else(|| {
        Error::invalid_argument(format!(
            "{}: tensor {name:?} is missing; the file is cut short or another model's",
            source.place()
        ))
    })
}

/// Checks that `name` is there with `shape`; axes of length one do not count.
///
/// # Errors
/// `invalid_argument` naming file, tensor and both shapes.
pub(super) fn expect(source: &dyn TensorSource, name: &str, wanted: &[usize]) -> Result<()> {
    let found = shape(source, name)?;
    let long = |shape: &[usize]| shape.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    if long(found) == long(wanted) {
        return Ok(());
    }
    Err(Error::invalid_argument(format!(
        "{}: tensor {name:?} is {found:?}, expected {wanted:?}; the files do not belong together",
        source.place()
    )))
}

/// Checks that there are as many layers as the configuration says.
///
/// # Errors
/// `invalid_argument` naming file and both counts.
pub(super) fn check_layers(source: &dyn TensorSource, prefix: &str, wanted: usize) -> Result<()> {
    let found = layers(source, prefix);
    if found == wanted {
        return Ok(());
    }
    let place = source.place();
    Err(Error::invalid_argument(if found < wanted {
        format!(
            "{place}: has {found} whole layers, its configuration says {wanted}; the file is cut short, fetch it again"
        )
    } else {
        format!("{place}: has {found} layers, its configuration says {wanted}; the files do not belong together")
    }))
}

/// How many layers there are: the names `PREFIX N …` count from 0 without a gap.
pub(super) fn layers(source: &dyn TensorSource, prefix: &str) -> usize {
    let numbers: std::collections::BTreeSet<usize> =
        source.names().iter().filter_map(|name| name.strip_prefix(prefix)?.split('.').next()?.parse().ok()).collect();
    numbers.into_iter().enumerate().take_while(|(i, n)| i == n).count()
}
