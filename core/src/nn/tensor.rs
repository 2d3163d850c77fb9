//! The tensor that flows through a net, and the store its memory comes from.

use std::sync::{Mutex, PoisonError};

use crate::cancel::CancelToken;
use crate::error::{Error, Result};

/// The most elements one tensor may have; a larger one can only come from a damaged file.
pub(super) const MAX_ELEMENTS: usize = 1 << 26;

/// A dense `f32` tensor, rows without padding. Pictures are `[batch, height, width, channels]`.
#[derive(Debug, Default)]
pub struct Tensor {
    shape: Vec<usize>,
    count: usize,
    /// The elements, and behind them what is left of memory that a larger tensor had.
    buffer: Vec<f32>,
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        Self { shape: self.shape.clone(), count: self.count, buffer: self.data().to_vec() }
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data() == other.data()
    }
}

impl Tensor {
    /// A tensor of `shape` with `data` in row-major order.
    ///
    /// # Errors
    /// `pack_invalid` when the two do not fit together.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self> {
        let expected = elements(&shape)?;
        if data.len() != expected {
            return Err(Error::pack(format!("a tensor of shape {shape:?} has {} elements", data.len())));
        }
        Ok(Self { shape, count: expected, buffer: data })
    }

    /// The sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.buffer[..self.count]
    }

    /// The elements in row-major order.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.count]
    }

    /// Batch, height, width and channels of a picture-like tensor.
    pub(super) fn nhwc(&self) -> Result<[usize; 4]> {
        <[usize; 4]>::try_from(self.shape.as_slice())
            .map_err(|_| Error::pack(format!("an operation on pictures was given shape {:?}", self.shape)))
    }

    /// The same elements under another shape.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Result<Self> {
        if elements(&shape)? != self.count {
            return Err(Error::pack(format!("a tensor of {} elements cannot have shape {shape:?}", self.count)));
        }
        Ok(Self { shape, ..self })
    }
}

/// The number of elements of `shape`, within [`MAX_ELEMENTS`].
pub(super) fn elements(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&count| count <= MAX_ELEMENTS)
        .ok_or_else(|| Error::pack(format!("a tensor of shape {shape:?} is too large")))
}

/// Memory that one run leaves for the next, how many threads a run may use, and what stops it.
#[derive(Debug, Default)]
pub struct Workspace {
    free: Vec<Vec<f32>>,
    /// Split large operations over the threads of the current rayon pool. Off: the run stays on its thread.
    pub parallel: bool,
    cancel: CancelToken,
    operations: u64,
}

impl Workspace {
    /// A workspace for runs on one thread.
    pub fn new() -> Self {
        Self::default()
    }

    /// A workspace for runs that use all threads.
    pub fn parallel() -> Self {
        Self { parallel: true, ..Self::default() }
    }

    /// The same; `cancel` stops a run after the operation that it is in.
    #[must_use]
    pub fn cancelled_by(self, cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// Additions and multiplications of the convolutions and dense layers in the runs so far, those with padding too. For benchmarks.
    #[doc(hidden)]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) fn count(&mut self, operations: u64) {
        self.operations += operations;
    }

    /// `cancelled` once the token is.
    pub(crate) fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// A tensor whose elements may have any value. Memory that is there is not cleared, so it keeps its length.
    pub(super) fn tensor(&mut self, shape: Vec<usize>) -> Result<Tensor> {
        let count = elements(&shape)?;
        // The smallest that is large enough, so that one large buffer is not spent on a small tensor.
        let best = (0..self.free.len())
            .filter(|&i| self.free[i].len() >= count)
            .min_by_key(|&i| self.free[i].len())
            .or_else(|| (0..self.free.len()).max_by_key(|&i| self.free[i].len()));
        let mut buffer = best.map(|i| self.free.swap_remove(i)).unwrap_or_default();
        if buffer.len() < count {
            buffer.resize(count, 0.0);
        }
        Ok(Tensor { shape, count, buffer })
    }

    /// Gives a tensor's memory back.
    pub(super) fn give(&mut self, tensor: Tensor) {
        const KEPT: usize = 12;
        if self.free.len() < KEPT {
            self.free.push(tensor.buffer);
        }
    }
}

/// Workspaces of runs that several threads make at the same time, one after the other on each.
#[derive(Debug)]
pub(crate) struct Workspaces {
    spare: Mutex<Vec<Workspace>>,
    cancel: CancelToken,
}

impl Workspaces {
    /// For runs that `cancel` stops.
    pub(crate) fn new(cancel: &CancelToken) -> Self {
        Self { spare: Mutex::default(), cancel: cancel.clone() }
    }

    /// Calls `run` with a workspace for one thread, whose memory may be that of an earlier run.
    pub(crate) fn with<T>(&self, run: impl FnOnce(&mut Workspace) -> T) -> T {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let left = spare().pop();
        let mut ws = left.unwrap_or_else(|| Workspace::new().cancelled_by(&self.cancel));
        let result = run(&mut ws);
        spare().push(ws);
        result
    }
}
