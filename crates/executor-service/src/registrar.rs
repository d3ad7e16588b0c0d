//! Registrations that the store could not take yet: kept in order, and applied before the next
//! batch is, so that the records made meanwhile find their rows.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::ports::{Store, StoreError};
use executor_core::{ErrorClass, Job, Listener};
use tokio::sync::Notify;

use crate::guarded::guarded;
use crate::retry::{delay_after, with_jitter};
use crate::supervise::{Fault, Supervised};

/// A registration whose row is to be written.
#[derive(Clone)]
pub(crate) enum Entry {
    Listener(Arc<Listener>),
    Job(Arc<Job>),
}

impl Entry {
    /// Writes the row and remembers its id. The id of a key never changes, so a second time finds
    /// the same one there.
    pub(crate) async fn apply(&self, store: &dyn Store) -> Result<(), StoreError> {
        const OPERATION: &str = "registering";
        match self {
            Self::Listener(listener) => {
                let row = listener.registration.clone();
                let id = guarded(OPERATION, || store.register_listener(row)).await?;
                let _ = listener.row_id.set(id);
            }
            Self::Job(job) => {
                let row = job.registration.clone();
                let id = guarded(OPERATION, || store.register_job(row)).await?;
                let _ = job.row_id.set(id);
            }
        }
        Ok(())
    }
}

/// The registrations that wait.
#[derive(Default)]
pub(crate) struct Registrar {
    waiting: Mutex<VecDeque<Entry>>,
    /// Held by whoever applies them: the order of one key's registrations matters.
    turn: tokio::sync::Mutex<()>,
    bell: Notify,
}

impl Registrar {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any wait: newer ones queue behind them, or they would be overwritten.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Keeps a registration for later.
    pub(crate) fn keep(&self, entry: Entry) {
        self.waiting().push_back(entry);
        self.bell.notify_one();
    }

    /// Applies all that wait, in order. One that the store refuses for good is logged and left out:
    /// its records say what they belong to all the same.
    ///
    /// Returns the error of a store that is away; what was not applied waits on.
    pub(crate) async fn apply(&self, store: &dyn Store) -> Result<(), StoreError> {
        if !self.has_waiting() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        loop {
            let Some(entry) = self.waiting().front().cloned() else {
                return Ok(());
            };
            match entry.apply(store).await {
                Err(error) if error.class == ErrorClass::Transient => return Err(error),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "a registration cannot be stored");
                }
                Ok(()) => {}
            }
            self.waiting().pop_front();
        }
    }
}

/// Applies what comes, also while no batch does.
pub(crate) struct Applying {
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) store: Arc<dyn Store>,
}

impl Supervised for Applying {
    const NAME: &'static str = "registrar";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            let mut failures = 0;
            // Looking first: what waited when an earlier run failed rings no bell any more.
            while self.registrar.apply(self.store.as_ref()).await.is_err() {
                failures += 1;
                tokio::time::sleep(with_jitter(delay_after(failures))).await;
            }
            self.registrar.bell.notified().await;
        }
    }
}
