//! A pack that is being loaded: how far it is, and whether to go on.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Pack;
use crate::cancel::CancelToken;
#[cfg(any(feature = "cuda", test))]
use crate::device::Place;
use crate::error::Result;

/// How far a load is. Both are bytes of the pack's files, counted once for the checksums and once for the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// What is done, at most `total`.
    pub done: u64,
    /// What there is to do; the same in every report of a load.
    pub total: u64,
}

/// A load that is under way.
pub struct Loading<'a> {
    pack: &'a Pack,
    cancel: &'a CancelToken,
    done: AtomicU64,
    total: u64,
    report: &'a (dyn Fn(LoadProgress) + Sync),
    #[cfg(any(feature = "cuda", test))]
    place: Option<Place>,
}

impl<'a> Loading<'a> {
    /// The load of `pack`. `report` is called from several threads.
    pub fn new(
        pack: &'a Pack,
        verify: bool,
        cancel: &'a CancelToken,
        report: &'a (dyn Fn(LoadProgress) + Sync),
    ) -> Self {
        let bytes: u64 = pack.manifest().files.values().map(|entry| entry.bytes).sum();
        let total = if verify { bytes.saturating_mul(2) } else { bytes };
        Self {
            pack,
            cancel,
            done: AtomicU64::new(0),
            total,
            report,
            #[cfg(any(feature = "cuda", test))]
            place: None,
        }
    }

    /// Has the language model and the published encoders compute where `place` says; None, the default, for the CPU.
    #[cfg(any(feature = "cuda", test))]
    #[must_use]
    pub fn on(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Where the language model and the published encoders compute, unless that is the CPU.
    #[cfg(any(feature = "cuda", test))]
    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The pack.
    pub fn pack(&self) -> &'a Pack {
        self.pack
    }

    /// Compares the files with their checksums.
    ///
    /// # Errors
    /// As [`Pack::verify`]; `cancelled`.
    pub fn verify(&self) -> Result<()> {
        self.pack.verify_observed(&|bytes| self.advance(bytes))
    }

    /// Loads with `open` what the pack's file `name` holds.
    ///
    /// # Errors
    /// `cancelled`, before and after; what `open` says.
    pub fn part<T>(&self, name: &str, open: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        self.cancel.check()?;
        let opened = open(&self.pack.path(name))?;
        self.advance(self.pack.manifest().files.get(name).map_or(0, |entry| entry.bytes))?;
        Ok(opened)
    }

    /// Counts `bytes` more as done.
    ///
    /// # Errors
    /// `cancelled`.
    fn advance(&self, bytes: u64) -> Result<()> {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        (self.report)(LoadProgress { done: done.min(self.total), total: self.total });
        self.cancel.check()
    }

    /// Reports that everything is done: files that no part named count too.
    ///
    /// # Errors
    /// `cancelled`.
    pub fn finish(&self) -> Result<()> {
        self.advance(self.total)
    }
}
