//! An output that many tasks write at once.

use std::marker::PhantomData;

/// A slice that tasks write disjoint parts of.
pub struct Output<'a, T = f32> {
    start: *mut T,
    len: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice that is borrowed for as long; who writes where is the tasks' to keep apart, as `part` asks.
unsafe impl<T: Send> Sync for Output<'_, T> {}

impl<'a, T> Output<'a, T> {
    /// The whole of `out`.
    pub fn new(out: &'a mut [T]) -> Self {
        Self { start: out.as_mut_ptr(), len: out.len(), borrowed: PhantomData }
    }

    /// `count` values from `first` on.
    ///
    /// # Safety
    /// Parts that are there at the same time do not overlap.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, first: usize, count: usize) -> &mut [T] {
        assert!(first.checked_add(count).is_some_and(|end| end <= self.len), "output sizes");
        std::slice::from_raw_parts_mut(self.start.add(first), count)
    }
}
