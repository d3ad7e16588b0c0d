//! Creates and opens this process's session, and writes its heartbeats.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Session, Store, StoreError};
use executor_core::{Clock, ErrorClass, SessionId};

use crate::drain::guarded::guarded;
use crate::intake::Intake;
use crate::lifecycle::health::HealthState;
use crate::lifecycle::supervise::{Fault, Supervised};
use crate::schedule::missed_log::MissedLog;
use crate::schedule::missed_reporter::write_missed;

/// The interval at which an unavailable store is asked again during the start.
const START_RETRY: Duration = Duration::from_millis(250);

/// Creates a session of this process that begins now.
pub(crate) fn new_session(clock: &dyn Clock) -> Session {
    let started_at = clock.now().wall;
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(Path::file_name);
    Session {
        program: name.map(|name| name.to_string_lossy().into_owned()),
        ..Session::new(SessionId::new(started_at), host, started_at)
    }
}

/// Opens the session, retrying while the store is unavailable, and marks sessions of dead processes as crashed.
/// Returns only once it is open, can never be, or `may_wait` allows the failure; the caller sets the time limit,
/// and `last` holds the last failure.
pub(crate) async fn open_session(
    store: &dyn Store,
    session: &Arc<Session>,
    last: &mut Option<StoreError>,
    may_wait: impl Fn(&StoreError) -> bool,
) -> Result<(), StoreError> {
    loop {
        match open_once(store, session).await {
            Err(error) if error.class == ErrorClass::Transient => {
                if may_wait(&error) {
                    return Err(error);
                }
                *last = Some(error);
                tokio::time::sleep(START_RETRY).await;
            }
            result => return result,
        }
    }
}

async fn open_once(store: &dyn Store, session: &Arc<Session>) -> Result<(), StoreError> {
    store.open_session(Arc::clone(session)).await?;
    for id in store.mark_crashed().await? {
        tracing::warn!(session.id = %id, "marked a crashed session");
    }
    Ok(())
}

/// Writes heartbeats. A failed one is not repeated; the next one follows.
pub(crate) struct Heartbeat {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) session: Arc<Session>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Arc<HealthState>,
    pub(crate) missed: Arc<MissedLog>,
    pub(crate) every: Duration,
}

impl Supervised for Heartbeat {
    const NAME: &'static str = "heartbeat";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            tokio::time::sleep(self.every).await;
            self.beat().await;
        }
    }
}

impl Heartbeat {
    async fn beat(&self) {
        let (at, ledger) = (self.clock.now().wall, self.intake.ledger());
        if let Some(is_deleted) = self.intake.sign_of_life(at) {
            self.health.spool_was_seen(is_deleted);
        }
        // First: a sign of life vouches for all planned runs until then, except for those reported to the store.
        if let Err(error) = self.tell().await {
            self.health.store_failed(at, &error);
            return;
        }
        let beat = guarded("writing the heartbeat", || {
            self.store.heartbeat(self.session.id, at, ledger)
        });
        match beat.await {
            Ok(()) => self.health.heartbeat_written(),
            Err(error) => self.health.store_failed(at, &error),
        }
    }

    /// Tells the store what is missed and what waits. Fails only if the store may accept this later.
    async fn tell(&self) -> Result<(), StoreError> {
        let store = self.store.as_ref();
        let told = write_missed(&self.missed, store).await;
        let told = match told {
            // The session's row has gone with the file that it was in; nothing else may restore it.
            Err(error) if error.class == ErrorClass::Dangling => {
                let session = || store.open_session(Arc::clone(&self.session));
                guarded("restoring the session", session).await?;
                write_missed(&self.missed, store).await
            }
            told => told,
        };
        match told {
            Err(error) if error.class != ErrorClass::Transient => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "missed runs and pauses cannot be stored");
                Ok(())
            }
            told => told,
        }
    }
}

/// Opens the session while the service is already running with its records safe in the spool.
pub(crate) struct Opening {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) session: Arc<Session>,
}

impl Supervised for Opening {
    const NAME: &'static str = "opening";

    async fn run(&mut self) -> Result<(), Fault> {
        let opened = open_session(self.store.as_ref(), &self.session, &mut None, |_| false).await;
        opened.map_err(|error| Fault(error.source.to_string()))
    }
}
