//! Tells the store what was read from sources of events.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Store;
use executor_core::{Clock, ErrorClass, StoreError};
use tokio::time::sleep;

use crate::drain::guarded::guarded;
use crate::lifecycle::supervise::{Fault, Supervised};
use crate::sources::SourceLog;

/// The minimum time between two calls to the store.
const PACE: Duration = Duration::from_secs(5);

pub(crate) struct SourceReporter {
    pub(crate) sources: Arc<SourceLog>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Supervised for SourceReporter {
    const NAME: &'static str = "source_reporter";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            let written = write_sources(&self.sources, self.store.as_ref(), &*self.clock).await;
            sleep(PACE).await;
            if written.is_ok() {
                self.sources.bell.notified().await;
            }
        }
    }
}

/// Writes what the store does not know yet. Idempotent. Fails only if the store may take it later.
pub(crate) async fn write_sources(
    sources: &SourceLog,
    store: &dyn Store,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let _turn = sources.turn.lock().await;
    let unwritten = sources.unwritten();
    if unwritten.is_empty() {
        return Ok(());
    }
    let noted = guarded("noting sources", || store.note_sources(unwritten.clone())).await;
    match noted {
        // The next heartbeat restores a session's row that is missing.
        Err(error) if matches!(error.class, ErrorClass::Transient | ErrorClass::Dangling) => {
            return Err(error);
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the store refuses the counts of sources of events");
        }
        Ok(()) => {}
    }
    sources.written(&unwritten, clock);
    Ok(())
}
