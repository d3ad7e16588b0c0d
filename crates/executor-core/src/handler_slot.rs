//! The parts of a registration that may change while it lives: its handler, and whether it may run.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::outcome::Refused;

const LIVE: u8 = 0;
const PAUSED: u8 = 1;
const REMOVED: u8 = 2;

/// A handler of type `H` that can be replaced, paused and removed. Most never are, and pay only two
/// atomic loads for it.
///
/// ```
/// use executor_core::{Refused, handler_slot::HandlerSlot};
///
/// let slot = HandlerSlot::new(std::sync::Arc::new("old"));
/// slot.replace(std::sync::Arc::new("new"));
/// assert_eq!(slot.with(|handler| *handler), "new");
/// slot.pause();
/// assert_eq!(slot.refusal(), Some(Refused::Paused));
/// slot.remove(); // for good
/// slot.resume();
/// assert_eq!(slot.refusal(), Some(Refused::Removed));
/// ```
#[derive(Debug)]
pub struct HandlerSlot<H: ?Sized> {
    state: AtomicU8,
    first: Arc<H>,
    is_replaced: AtomicBool,
    later: Mutex<Option<Arc<H>>>,
}

impl<H: ?Sized> HandlerSlot<H> {
    /// Creates a slot with a handler that may run.
    pub fn new(handler: Arc<H>) -> Self {
        Self {
            state: AtomicU8::new(LIVE),
            first: handler,
            is_replaced: AtomicBool::new(false),
            later: Mutex::new(None),
        }
    }

    /// Passes the current handler to `work`.
    pub fn with<T>(&self, work: impl FnOnce(&H) -> T) -> T {
        if !self.is_replaced.load(Ordering::Acquire) {
            return work(&self.first);
        }
        // Not under the lock: the handler may replace itself.
        let later = self.later().clone();
        work(later.as_ref().unwrap_or(&self.first))
    }

    /// Replaces the handler. Runs that have begun continue with the old one.
    pub fn replace(&self, handler: Arc<H>) {
        // The replaced one is dropped after the lock: its destructor is user code and may use this slot.
        let replaced = self.later().replace(handler);
        self.is_replaced.store(true, Ordering::Release);
        drop(replaced);
    }

    /// Refuses commands until [`resume`](Self::resume). Idempotent.
    pub fn pause(&self) {
        self.change(LIVE, PAUSED);
    }

    /// Ends a pause. Idempotent.
    pub fn resume(&self) {
        self.change(PAUSED, LIVE);
    }

    /// Refuses commands for good. Idempotent.
    pub fn remove(&self) {
        self.state.store(REMOVED, Ordering::Relaxed);
    }

    /// Returns `true` if it was removed.
    pub fn is_removed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == REMOVED
    }

    /// Returns the reason to refuse a command; `None` if it may run.
    pub fn refusal(&self) -> Option<Refused> {
        match self.state.load(Ordering::Relaxed) {
            LIVE => None,
            PAUSED => Some(Refused::Paused),
            _ => Some(Refused::Removed),
        }
    }

    /// Changes the state only if it is `from`, so a removed slot stays removed.
    fn change(&self, from: u8, to: u8) {
        let (ordering, state) = (Ordering::Relaxed, &self.state);
        let _ = state.compare_exchange(from, to, ordering, ordering);
    }

    fn later(&self) -> std::sync::MutexGuard<'_, Option<Arc<H>>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
