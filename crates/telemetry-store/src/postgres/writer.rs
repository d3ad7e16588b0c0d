//! The thread that writes. It owns the connection and serves one request at a time. A connection that is gone, or in an
//! unknown state, is replaced before the next request.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use diesel::QueryResult;
use diesel::pg::PgConnection;
use executor_core::time::HeldTime;
use executor_core::{Entity, StoreError};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::postgres::address::Address;
use crate::postgres::classify::{is_gone, store_error};
use crate::postgres::connect::{ServerError, connect, set_up};
use crate::postgres::memory::Days;
use crate::postgres::migrations::{self, Schema};
use crate::postgres::transaction::Connected;
use crate::writer::request_queue::{Inbox, Refused, Urgency};

/// A request that sends its own reply. If there is no connection, it receives the reason. Returns whether the
/// connection can be used again.
type Request = Box<dyn FnOnce(Result<&mut Open, ServerError>) -> bool + Send>;

/// An open connection, and what is known to be committed. Both go together: a server that took over from another one
/// may not have it.
pub(crate) struct Open {
    connection: PgConnection,
    pub(crate) entities: HashMap<Arc<Entity>, i64>,
    pub(crate) days: Days,
    /// The name of the directory that has the lock files of sessions.
    pub(crate) home: Option<Uuid>,
}

/// What every connection of a writer has in common.
pub(crate) struct ConnectionSpec {
    pub(crate) address: Address,
    pub(crate) home: Option<Uuid>,
}

impl Connected for Open {
    fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Open {
    fn new(spec: &ConnectionSpec) -> Result<Self, ServerError> {
        Ok(Self {
            connection: connect(&spec.address)?,
            entities: HashMap::new(),
            days: Days::default(),
            home: spec.home,
        })
    }

    /// Connects and migrates.
    fn first(spec: &ConnectionSpec) -> Result<Self, ServerError> {
        let (address, mut open) = (&spec.address, Self::new(spec)?);
        let failed = |error: migrations::MigrationError| set_up(address, &*error);
        if let Schema::Newer(found) = migrations::schema(&mut open.connection).map_err(failed)? {
            let server = address.to_string();
            return Err(ServerError::Newer { server, found });
        }
        let names = migrations::up(&mut open.connection).map_err(failed)?;
        if !names.is_empty() {
            tracing::info!(server = %address, migrations = names.len(), "migrated the database");
        }
        Ok(open)
    }
}

/// A handle to the writer's thread. Dropping it ends the thread after the pending requests.
pub(crate) struct Writer {
    inbox: Arc<Inbox<Request>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.inbox.close());
    }
}

impl Writer {
    /// Opens the database on a new thread and returns once it is open, or the reason why not.
    pub(crate) async fn start(spec: ConnectionSpec) -> Result<Self, ServerError> {
        let inbox = Arc::new(Inbox::default());
        let theirs = Arc::clone(&inbox);
        let (opened, is_open) = oneshot::channel();
        let named = thread::Builder::new().name("telemetry-writer".into());
        let _thread = named
            .spawn(move || match Open::first(&spec) {
                Ok(open) => {
                    let _ = opened.send(Ok(()));
                    serve(open, &spec, &theirs);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(ServerError::Thread)?;
        let _held = HeldTime::new();
        let panicked = || std::io::Error::other("the thread panicked while it opened the database");
        // Dropped with this future, it ends the thread.
        let writer = Self { inbox };
        is_open
            .await
            .unwrap_or_else(|_| Err(ServerError::Thread(panicked())))?;
        Ok(writer)
    }

    /// Runs `work` on the writer's thread. The request is sent before the first await, so
    /// dropping the future does not withdraw it.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Open) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call_at(Urgency::Now, operation, work).await
    }

    /// As [`Self::call`], but runs `work` when nobody waits for anything else.
    pub(crate) async fn call_later<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Open) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call_at(Urgency::Later, operation, work).await
    }

    async fn call_at<T: Send + 'static>(
        &self,
        urgency: Urgency,
        operation: &'static str,
        work: impl FnOnce(&mut Open) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, replied) = oneshot::channel();
        let request: Request = Box::new(move |open| {
            let open = match open {
                Ok(open) => open,
                Err(error) => {
                    let _ = reply.send(Err(StoreError::unreachable(operation, error)));
                    return false;
                }
            };
            let result = work(open);
            let is_usable = !result.as_ref().is_err_and(is_gone);
            let _ = reply.send(result.map_err(|error| store_error(operation, error)));
            is_usable
        });
        let _held = HeldTime::new();
        match self.inbox.put(request, urgency) {
            Ok(()) => {}
            Err(Refused::Closed) => return Err(StoreError::closed(operation)),
            Err(Refused::Dead(_)) => {
                let why = "the writer's thread has died";
                return Err(StoreError::unreachable(operation, why));
            }
        }
        // Without a reply nobody knows whether it had committed; asking again is safe.
        replied.await.unwrap_or_else(|_| {
            let why = "the writer gave up this request half-way";
            Err(StoreError::unreachable(operation, why))
        })
    }

    /// Serves the pending requests, then ends the thread. Returns once its connection is closed.
    pub(crate) async fn close(&self) {
        let _held = HeldTime::new();
        // An error means that the thread has ended.
        let _ = self.inbox.close().await;
    }
}

fn serve(open: Open, spec: &ConnectionSpec, inbox: &Inbox<Request>) {
    let _ending = Ending(inbox);
    let (mut open, address) = (Some(open), &spec.address);
    let mut is_away = false;
    while let Some(request) = inbox.next() {
        let now = open.take().map_or_else(|| Open::new(spec), Ok);
        match now {
            Ok(now) => {
                if std::mem::take(&mut is_away) {
                    tracing::warn!(server = %address, "telemetry writer reconnected");
                }
                open = answer(request, now);
            }
            Err(error) => {
                // One line for an outage: callers retry many times a second.
                if !std::mem::replace(&mut is_away, true) {
                    tracing::error!(%error, "the telemetry writer cannot reconnect");
                }
                request(Err(error));
            }
        }
    }
}

/// Serves one request. Returns the connection unless it is in an unknown state.
fn answer(request: Request, mut open: Open) -> Option<Open> {
    match catch_unwind(AssertUnwindSafe(|| request(Ok(&mut open)))) {
        Ok(is_usable) => is_usable.then_some(open),
        Err(_) => {
            tracing::error!("a request to the telemetry writer panicked; it will reconnect");
            None
        }
    }
}

/// Releases everyone who waits for the thread, however it ends.
struct Ending<'i>(&'i Inbox<Request>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.has_ended();
    }
}
