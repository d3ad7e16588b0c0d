//! Registrations that the store could not take yet: kept in order and applied when it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use executor_core::ports::{Store, StoreError};
use executor_core::{ErrorClass, Job, Listener};
use tokio::sync::mpsc;

use crate::retry::{delay_after, with_jitter};

/// A registration whose row is to be written.
pub(crate) enum Entry {
    Listener(Arc<Listener>),
    Job(Arc<Job>),
}

impl Entry {
    /// Writes the row and remembers its id. The id of a key never changes, so a second time finds
    /// the same one there.
    pub(crate) async fn apply(&self, store: &dyn Store) -> Result<(), StoreError> {
        match self {
            Self::Listener(listener) => {
                let id = store
                    .register_listener(listener.registration.clone())
                    .await?;
                let _ = listener.row_id.set(id);
            }
            Self::Job(job) => {
                let id = store.register_job(job.registration.clone()).await?;
                let _ = job.row_id.set(id);
            }
        }
        Ok(())
    }
}

/// Applies what comes, in order, until nobody is left to send. One that the store refuses for
/// good is logged and left out: its records say what they belong to all the same.
pub(crate) async fn run(
    store: Arc<dyn Store>,
    mut entries: mpsc::UnboundedReceiver<Entry>,
    pending: Arc<AtomicUsize>,
) {
    while let Some(entry) = entries.recv().await {
        let mut failures = 0;
        while let Err(error) = entry.apply(store.as_ref()).await {
            if error.class != ErrorClass::Transient {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "a registration cannot be stored");
                break;
            }
            failures += 1;
            tokio::time::sleep(with_jitter(delay_after(failures))).await;
        }
        pending.fetch_sub(1, Ordering::SeqCst);
    }
}
