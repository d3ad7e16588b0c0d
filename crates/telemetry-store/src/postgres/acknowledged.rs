//! How many rows of its own sessions a process knows to be stored, whichever connection stored them. A server that has
//! fewer has taken over from another one, and did not have them yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::SessionId;
use executor_core::ports::Session;

/// What is known of a session.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) session: Arc<Session>,
    pub(crate) stored: u64,
}

/// The sessions of this process of which rows were stored.
#[derive(Default)]
pub(crate) struct Acknowledged {
    known: Mutex<HashMap<SessionId, Known>>,
    turn: Mutex<()>,
}

impl Acknowledged {
    fn known(&self) -> MutexGuard<'_, HashMap<SessionId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of two connections only one looks at a time, so that nothing is noted twice.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that more rows of a session are stored.
    pub(crate) fn stored(&self, session: &Arc<Session>, more: u64) {
        let mut known = self.known();
        let known = known.entry(session.id).or_insert_with(|| Known {
            session: Arc::clone(session),
            stored: 0,
        });
        known.stored += more;
    }

    pub(crate) fn all(&self) -> Vec<Known> {
        self.known().values().cloned().collect()
    }

    /// Notes that so many are not stored after all.
    pub(crate) fn taken_back(&self, id: SessionId, count: u64) {
        if let Some(known) = self.known().get_mut(&id) {
            known.stored = known.stored.saturating_sub(count);
        }
    }

    /// Forgets a session that has ended.
    pub(crate) fn forget(&self, id: SessionId) {
        self.known().remove(&id);
    }
}
