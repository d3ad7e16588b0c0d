//! Tracks how far frames have reached the medium, and notifies those who wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::options::NotSynced;

type Callback = Box<dyn FnOnce(Result<(), NotSynced>) + Send>;

/// The progress of frames to the medium, and the callers that wait for more.
#[derive(Default)]
pub(crate) struct Synced {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Frames up to this sequence are on the medium.
    sequence: u64,
    closed: bool,
    waiting: Vec<(u64, Callback)>,
}

impl std::fmt::Debug for Synced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Synced").finish_non_exhaustive()
    }
}

impl State {
    fn verdict(&self, sequence: u64) -> Option<Result<(), NotSynced>> {
        if sequence <= self.sequence {
            Some(Ok(()))
        } else if self.closed {
            Some(Err(NotSynced::Closed))
        } else {
            None
        }
    }
}

impl Synced {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing is called under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.state().sequence
    }

    pub(crate) fn call(&self, sequence: u64, callback: Callback) {
        let mut state = self.state();
        match state.verdict(sequence) {
            Some(verdict) => {
                drop(state);
                callback(verdict);
            }
            None => state.waiting.push((sequence, callback)),
        }
    }

    pub(crate) fn wait(&self, sequence: u64, timeout: Duration) -> Result<(), NotSynced> {
        let until = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if let Some(verdict) = state.verdict(sequence) {
                return verdict;
            }
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(NotSynced::TimedOut);
            }
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn advance(&self, sequence: u64) {
        self.change(|state| state.sequence = state.sequence.max(sequence));
    }

    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        let mut state = self.state();
        how(&mut state);
        let waiting = std::mem::take(&mut state.waiting);
        let mut due = Vec::new();
        for (sequence, callback) in waiting {
            match state.verdict(sequence) {
                Some(verdict) => due.push((callback, verdict)),
                None => state.waiting.push((sequence, callback)),
            }
        }
        drop(state);
        self.changed.notify_all();
        for (callback, verdict) in due {
            // Foreign code: its panic must not end the thread that syncs for everyone.
            let _ = catch_unwind(AssertUnwindSafe(|| callback(verdict)));
        }
    }
}
