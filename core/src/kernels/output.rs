//! An output that many tasks write at once.

use std::marker::PhantomData;

/// A slice that tasks write disjoint parts of.
pub struct Output<'a> {
    start: *mut f32,
    len: usize,
    borrowed: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable slice that is borrowed for as long; who writes where is the tasks' to keep apart, as `part` asks.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// The whole of `out`.
    pub fn new(out: &'a mut [f32]) -> Self {
        Self { start: out.as_mut_ptr(), len: out.len(), borrowed: PhantomData }
    }

    /// `count` values from `first` on.
    ///
    /// # Safety
    /// Parts that are there at the same time do not overlap.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, first: usize, count: usize) -> &mut [f32] {
        assert!(first.checked_add(count).is_some_and(|end| end <= self.len), "output sizes");
        std::slice::from_raw_parts_mut(self.start.add(first), count)
    }
}
