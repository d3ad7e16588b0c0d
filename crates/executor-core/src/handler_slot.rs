//! What of a registration may change while it lives: its handler, and whether it may run.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::outcome::Refused;

const LIVE: u8 = 0;
const PAUSED: u8 = 1;
const REMOVED: u8 = 2;

/// A handler of type `H` that can be replaced, paused and removed. Most never are, and pay nothing for
/// it but two relaxed loads.
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
    /// A handler that may run.
    pub fn new(handler: Arc<H>) -> Self {
        Self {
            state: AtomicU8::new(LIVE),
            first: handler,
            is_replaced: AtomicBool::new(false),
            later: Mutex::new(None),
        }
    }

    /// Does something with the handler as it is now.
    pub fn with<T>(&self, work: impl FnOnce(&H) -> T) -> T {
        if !self.is_replaced.load(Ordering::Acquire) {
            return work(&self.first);
        }
        // Not under the lock: the handler may replace itself.
        let later = self.later().clone();
        work(later.as_ref().unwrap_or(&self.first))
    }

    /// From now on another handler runs. What runs already goes on with the old one.
    pub fn replace(&self, handler: Arc<H>) {
        *self.later() = Some(handler);
        self.is_replaced.store(true, Ordering::Release);
    }

    /// Commands are refused until [`resume`](Self::resume). Idempotent.
    pub fn pause(&self) {
        self.change(LIVE, PAUSED);
    }

    /// Ends a pause. Idempotent.
    pub fn resume(&self) {
        self.change(PAUSED, LIVE);
    }

    /// Commands are refused for good. Idempotent.
    pub fn remove(&self) {
        self.state.store(REMOVED, Ordering::Relaxed);
    }

    /// Whether it was removed.
    pub fn is_removed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == REMOVED
    }

    /// Why a command is refused; `None` if it may run.
    pub fn refusal(&self) -> Option<Refused> {
        match self.state.load(Ordering::Relaxed) {
            LIVE => None,
            PAUSED => Some(Refused::Paused),
            _ => Some(Refused::Removed),
        }
    }

    /// Nothing leads out of being removed.
    fn change(&self, from: u8, to: u8) {
        let (ordering, state) = (Ordering::Relaxed, &self.state);
        let _ = state.compare_exchange(from, to, ordering, ordering);
    }

    fn later(&self) -> std::sync::MutexGuard<'_, Option<Arc<H>>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
