//! Handles of the library that are freed when the last one who uses them is done.

use std::ptr::{null_mut, NonNull};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::library::{library, Cancel, Engine, Failure, Functions, Live, Result, Session, Status, Stream};

/// A type whose handles the library frees.
pub trait Freed {
    /// # Safety
    /// `handle` was made by the library and is not used again.
    unsafe fn free(functions: &Functions, handle: *mut Self);
}

macro_rules! freed {
    ($($type:ident $function:ident)*) => {
        $(impl Freed for $type {
            unsafe fn free(functions: &Functions, handle: *mut Self) {
                // SAFETY: the caller says that the handle is whole and not used again.
                unsafe { (functions.$function)(handle) }
            }
        })*
    };
}
freed!(Cancel cancel_free Engine engine_free Live live_free Session session_free Stream stream_free);

/// A handle, with the library it came from.
pub struct Handle<T: Freed> {
    pub functions: &'static Functions,
    pointer: NonNull<T>,
}

// SAFETY: the ABI's first page: every function may be called from any thread, and handles may be used by several at once.
unsafe impl<T: Freed> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T: Freed> Sync for Handle<T> {}

impl<T: Freed> Handle<T> {
    /// Calls a function that writes a handle to its last argument.
    pub fn new(make: impl FnOnce(&'static Functions, *mut *mut T) -> *mut Status) -> Result<Arc<Self>> {
        let functions = library()?;
        let mut out = null_mut();
        let status = make(functions, &mut out);
        // SAFETY: the status was given to us alone.
        unsafe { functions.check(status) }?;
        let pointer = NonNull::new(out).ok_or_else(|| Failure::internal("the library gave no handle"))?;
        Ok(Arc::new(Self { functions, pointer }))
    }

    /// The handle's address, for a call that ends before `self` does.
    pub fn pointer(&self) -> *const T {
        self.pointer.as_ptr()
    }
}

impl<T: Freed> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: this is the only owner, so that no call is being given the handle.
        unsafe { T::free(self.functions, self.pointer.as_ptr()) }
    }
}

/// A place for a handle that is made later and may be closed at any time.
pub struct Slot<T: Freed>(Mutex<State<T>>);

enum State<T: Freed> {
    Empty,
    Full(Arc<Handle<T>>),
    Closed,
}

impl<T: Freed> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(State::Empty))
    }
}

impl<T: Freed> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts a handle in, unless the slot was closed.
    pub fn fill(&self, handle: Arc<Handle<T>>) {
        let mut state = self.state();
        if matches!(*state, State::Empty) {
            *state = State::Full(handle);
        }
    }

    /// The handle.
    pub fn get(&self) -> Result<Arc<Handle<T>>> {
        match &*self.state() {
            State::Full(handle) => Ok(Arc::clone(handle)),
            State::Empty => Err(Failure::invalid_argument("this is not open yet")),
            State::Closed => Err(Failure::invalid_argument("this was closed")),
        }
    }

    /// Lets the handle go; calls that have it keep it.
    pub fn close(&self) {
        *self.state() = State::Closed;
    }
}
