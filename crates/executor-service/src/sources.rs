//! Sources of events: counts what is read from them, also what no listener listens to, and tells the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::ports::SourceCounts;
use executor_core::redact::Redactor;
use executor_core::{Clock, SessionId};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::sources::tally::Tally;

pub(crate) mod reporter;

pub(crate) mod tally;

/// All sources of a session.
pub(crate) struct SourceLog {
    session: SessionId,
    redactor: Redactor,
    tallies: Mutex<Vec<Arc<Mutex<Tally>>>>,
    /// Rings when something was counted.
    pub(crate) bell: Notify,
    /// Held while the store is told.
    turn: AsyncMutex<()>,
}

impl SourceLog {
    pub(crate) fn new(session: SessionId, redactor: Redactor) -> Self {
        Self {
            session,
            redactor,
            tallies: Mutex::default(),
            bell: Notify::new(),
            turn: AsyncMutex::default(),
        }
    }

    /// Returns the tally of the source with this name.
    pub(crate) fn tally(&self, name: &str) -> Arc<Mutex<Tally>> {
        let mut tallies = locked(&self.tallies);
        let known = tallies.iter().find(|tally| locked(tally).name() == name);
        if let Some(tally) = known {
            return Arc::clone(tally);
        }
        let tally = Tally::new(self.session, name, self.redactor.clone());
        let tally = Arc::new(Mutex::new(tally));
        tallies.push(Arc::clone(&tally));
        tally
    }

    /// Returns what the store does not know yet.
    fn unwritten(&self) -> Vec<SourceCounts> {
        let tallies = locked(&self.tallies);
        let unwritten = tallies.iter().filter_map(|tally| locked(tally).unwritten());
        unwritten.collect()
    }

    /// Notes what the store knows now.
    fn written(&self, written: &[SourceCounts], clock: &dyn Clock) {
        let now = clock.now().wall;
        for tally in locked(&self.tallies).iter() {
            let mut tally = locked(tally);
            if let Some(counts) = written.iter().find(|counts| *counts.name == *tally.name()) {
                tally.written(counts, now);
            }
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
