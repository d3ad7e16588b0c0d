//! This process's session: naming it, opening it, and saying that it lives.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Session, Store, StoreError};
use executor_core::{Clock, ErrorClass, SessionId};

use crate::guarded::guarded;
use crate::intake::Intake;

/// How often an absent store is asked again while the service starts.
const START_RETRY: Duration = Duration::from_millis(250);

/// A session of this process that begins now.
pub(crate) fn new(clock: &dyn Clock) -> Session {
    let started_at = clock.now().wall;
    Session {
        id: SessionId::new(started_at),
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        pid: std::process::id(),
        started_at,
    }
}

/// Opens the session, asking again while the store is away, and ends those of dead processes.
/// Returns only when it is open or can never be; the caller sets the time limit and finds in
/// `last` why it was not open until then.
pub(crate) async fn open(
    store: &dyn Store,
    session: &Arc<Session>,
    last: &mut Option<StoreError>,
) -> Result<(), StoreError> {
    loop {
        match open_once(store, session).await {
            Err(error) if error.class == ErrorClass::Transient => {
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
        tracing::warn!(session.id = %id, "an earlier session ended without saying goodbye");
    }
    Ok(())
}

/// Writes heartbeats until it is dropped. One that fails is followed by the next.
pub(crate) async fn keep_alive(
    store: Arc<dyn Store>,
    session: Arc<Session>,
    intake: Arc<Intake>,
    clock: Arc<dyn Clock>,
    every: Duration,
) {
    loop {
        tokio::time::sleep(every).await;
        let (at, ledger) = (clock.now().wall, intake.ledger());
        let beat = guarded("writing the heartbeat", || {
            store.heartbeat(session.id, at, ledger)
        });
        if let Err(error) = beat.await {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "no heartbeat");
        }
    }
}
