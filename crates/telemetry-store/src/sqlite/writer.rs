//! The thread that writes. It owns the connection and serves one request at a time; a request
//! that panics costs itself and the connection, nothing else.

pub(crate) mod shared;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use diesel::QueryResult;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use executor_core::time::HeldTime;
use executor_core::{ErrorClass, StoreError};
use tokio::sync::oneshot;

use crate::sqlite::classify::{class_of, is_lock, store_error};
use crate::sqlite::open::address::Target;
use crate::sqlite::open::error::OpenError;
use crate::sqlite::open::file_identity::{FileIdentity, FileState};
use crate::sqlite::open::pragma::{Commits, Patience};
use crate::sqlite::open::{may_pass, open_writer};
use crate::writer::request_queue::{Inbox, Refused, Urgency};
use crate::writer::restarts::Restarts;

/// A request that sends its own reply. If there is no connection, it receives the reason.
type Request = Box<dyn FnOnce(Result<&mut OpenConnection, OpenError>) -> After + Send>;

/// An open connection and its state.
struct OpenConnection {
    connection: SqliteConnection,
    identity: FileIdentity,
    commits: Commits,
    /// The number of consecutive requests that another process's lock has turned away.
    turned_away: u32,
}

/// A wait inside SQLite wakes the thread a dozen times, so it pays only where it may help. A process whose lock
/// has turned two requests away holds it for long, or takes it again and again. From then on one try in four
/// still waits for a gap, half as long, and the others only check.
const fn patience_after(turned_away: u32) -> Patience {
    match turned_away {
        0 | 1 => Patience::Serving,
        often if often.is_multiple_of(4) => Patience::LookingForAGap,
        _ => Patience::None,
    }
}

/// The settings for every connection of a writer.
struct ConnectionSpec {
    target: Target,
    /// The mode of a file that is created.
    file_mode: u32,
    /// An in-memory database dies with its connection, so durability changes never reopen it.
    syncs_commits: AtomicBool,
}

impl ConnectionSpec {
    fn new(target: Target, file_mode: u32) -> Self {
        Self {
            target,
            file_mode,
            syncs_commits: AtomicBool::new(false),
        }
    }

    fn commits(&self) -> Commits {
        if self.syncs_commits.load(Ordering::Relaxed) && self.target.path().is_some() {
            Commits::Synced
        } else {
            Commits::Written
        }
    }
}

/// The state of the connection after a request.
enum After {
    /// The connection can be used again.
    Fine,
    /// The connection is in an unknown state.
    Reconnect,
}

impl OpenConnection {
    fn open(spec: &ConnectionSpec, patience: Patience) -> Result<Self, OpenError> {
        let (target, commits) = (&spec.target, spec.commits());
        let connection = open_writer(target, patience, commits, spec.file_mode)?;
        // Under a path that a change of directory cannot redirect to another file.
        let identity = FileIdentity::new(target.clone().canonical().path());
        Ok(Self {
            connection,
            identity,
            commits,
            turned_away: 0,
        })
    }

    fn learn(&mut self, is_locked: bool) {
        let was = patience_after(self.turned_away);
        self.turned_away = if is_locked {
            self.turned_away.saturating_add(1)
        } else {
            0
        };
        let patience = patience_after(self.turned_away);
        if patience == was {
            return;
        }
        if let Err(error) = patience.set(&mut self.connection) {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "could not change the writer's lock timeout");
        }
    }

    /// Decides after some work whether its outcome can be believed and the connection used again.
    ///
    /// A lock that another process holds says nothing about the connection. After any other transient
    /// error, such as a full disk, SQLite may have ended a transaction that diesel believes open.
    fn after<T>(&mut self, result: &QueryResult<T>) -> (FileState, After) {
        self.learn(result.as_ref().is_err_and(is_lock));
        let file_state = self.identity.file_state();
        if file_state == FileState::WalGone {
            // What was committed before is in a file that nobody else can find any more.
            let _ = self
                .connection
                .batch_execute("PRAGMA wal_checkpoint(PASSIVE)");
        }
        let after = match result {
            _ if file_state != FileState::Same => After::Reconnect,
            Err(error) if class_of(error) == ErrorClass::Transient && !is_lock(error) => {
                After::Reconnect
            }
            _ => After::Fine,
        };
        (file_state, after)
    }
}

/// A handle to the writer thread. Dropping it ends the thread after the pending requests.
pub(crate) struct Writer {
    inbox: Arc<Inbox<Request>>,
    spec: Arc<ConnectionSpec>,
    restarts: Mutex<Restarts>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.inbox.close());
    }
}

impl Writer {
    /// Opens the database on a new thread and returns once it is open, or the reason why not. A database of ours
    /// on a full disk counts as open: the writer connects when there is space.
    pub(crate) async fn start(target: Target, file_mode: u32) -> Result<(Self, Target), OpenError> {
        let inbox = Arc::new(Inbox::default());
        let theirs = Arc::clone(&inbox);
        let (opened, is_open) = oneshot::channel();
        let _thread = spawn(move || {
            let open = match OpenConnection::open(
                &ConnectionSpec::new(target.clone(), file_mode),
                Patience::Opening,
            ) {
                Ok(open) => Some(open),
                Err(error) if may_pass(&error, &target) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "database not opened, waiting for disk space");
                    None
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            let spec = Arc::new(ConnectionSpec::new(target.canonical(), file_mode));
            let _ = opened.send(Ok(Arc::clone(&spec)));
            serve(open, &spec, &theirs);
        })
        .map_err(OpenError::Thread)?;
        let _held = HeldTime::new();
        let spec = match is_open.await {
            Ok(result) => result?,
            Err(_) => {
                return Err(OpenError::Thread(std::io::Error::other(
                    "the thread panicked while it opened the database",
                )));
            }
        };
        let writer = Self {
            inbox,
            spec: Arc::clone(&spec),
            restarts: Mutex::default(),
        };
        Ok((writer, spec.target.clone()))
    }

    /// From the next request on, commits wait for the medium.
    pub(crate) fn sync_commits(&self) {
        self.spec.syncs_commits.store(true, Ordering::Relaxed);
    }

    /// Runs `work` on the writer's thread. The request is sent before the first await, so
    /// dropping the future does not withdraw it.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call_at(Urgency::Now, operation, work).await
    }

    /// As [`Self::call`], but runs `work` when nobody waits for anything else.
    pub(crate) async fn call_later<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call_at(Urgency::Later, operation, work).await
    }

    async fn call_at<T: Send + 'static>(
        &self,
        urgency: Urgency,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, replied) = oneshot::channel();
        let request: Request = Box::new(move |open| {
            let open = match open {
                Ok(open) => open,
                Err(error) => {
                    let _ = reply.send(Err(not_open(operation, error)));
                    return After::Reconnect;
                }
            };
            let result = work(&mut open.connection);
            let (file_state, after) = open.after(&result);
            let _ = reply.send(match file_state {
                FileState::Same => result.map_err(|error| store_error(operation, error)),
                FileState::WalGone | FileState::Replaced => Err(adrift(operation)),
            });
            after
        });
        let _held = HeldTime::new();
        self.put(operation, request, urgency)?;
        // Without a reply nobody knows whether it had committed; asking again is safe.
        replied.await.unwrap_or_else(|_| {
            Err(StoreError::unreachable(
                operation,
                "the writer gave up this request half-way",
            ))
        })
    }

    /// Sends a request, and starts the thread again if it has died.
    fn put(
        &self,
        operation: &'static str,
        request: Request,
        urgency: Urgency,
    ) -> Result<(), StoreError> {
        match self.inbox.put(request, urgency) {
            Ok(()) => Ok(()),
            Err(Refused::Closed) => Err(StoreError::closed(operation)),
            Err(Refused::Dead(request)) => {
                self.begin_again(operation)?;
                let put = self.inbox.put(request, urgency);
                put.map_err(|_| StoreError::unreachable(operation, "the writer died again"))
            }
        }
    }

    fn begin_again(&self, operation: &'static str) -> Result<(), StoreError> {
        let mut restarts = self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        if self.spec.target.path().is_none() {
            return Err(StoreError::closed(operation));
        }
        // Somebody else may have been quicker.
        if !self.inbox.is_deserted() {
            return Ok(());
        }
        // Counted on the caller's side, because the writer's thread reads no clock.
        if !restarts.grant(Instant::now()) {
            let why = "the writer died too often in two minutes; it will be started again later";
            return Err(StoreError::unreachable(operation, why));
        }
        tracing::error!("telemetry writer died, restarting it");
        self.inbox.begins_again();
        let (spec, inbox) = (Arc::clone(&self.spec), Arc::clone(&self.inbox));
        let begun = spawn(move || serve(None, &spec, &inbox));
        begun.map(drop).map_err(|error| {
            self.inbox.has_ended();
            StoreError::unreachable(operation, error)
        })
    }

    /// Returns a handle for deferring work, for code that runs on the writer's thread.
    pub(crate) fn deferred(&self) -> Deferred {
        Deferred(Arc::clone(&self.inbox))
    }

    /// Serves the pending requests, then ends the thread. Returns once its connection is closed.
    pub(crate) async fn close(&self) {
        let _held = HeldTime::new();
        // An error means that the thread has ended.
        let _ = self.inbox.close().await;
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let named = thread::Builder::new().name("telemetry-writer".into());
    named.spawn(work)
}

/// Returns the error for work that may have gone into a file that is gone. The caller repeats all of it.
fn adrift(operation: &'static str) -> StoreError {
    let why = "the database's file was deleted or replaced while it was in use";
    StoreError::unreachable(operation, why)
}

fn not_open(operation: &'static str, error: OpenError) -> StoreError {
    let fault = error.fault();
    StoreError {
        fault,
        ..StoreError::unreachable(operation, error)
    }
}

/// Defers work until nobody waits for anything.
#[derive(Clone)]
pub(crate) struct Deferred(Arc<Inbox<Request>>);

impl Deferred {
    /// Defers `work`. A failure is only logged; the next deferred request tries again.
    pub(crate) fn leave(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<()> + Send + 'static,
    ) {
        let request: Request = Box::new(move |open| {
            let Ok(open) = open else {
                return After::Reconnect;
            };
            let result = work(&mut open.connection);
            if let Err(error) = &result {
                let error: &dyn std::error::Error = error;
                tracing::debug!(error, operation, "deferred work failed, will retry");
            }
            open.after(&result).1
        });
        // Refused only if the store is closing, and then the next opening does the work, or if the writer
        // has just died, and then the next rows trigger it.
        let _ = self.0.put(request, Urgency::Later);
    }
}

fn serve(open: Option<OpenConnection>, spec: &ConnectionSpec, inbox: &Inbox<Request>) {
    let _ending = Ending(inbox);
    let (mut open, mut outage) = (open, Outage::default());
    while let Some(request) = inbox.next() {
        open = answer(request, open.take(), spec, &mut outage);
        if open.is_none() && spec.target.path().is_none() {
            tracing::error!("in-memory database was lost with its connection");
            return;
        }
    }
    drop(open);
}

/// Releases everyone who waits for the thread, however it ends. If it died, the next request starts another.
struct Ending<'i>(&'i Inbox<Request>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.has_ended();
    }
}

/// Serves one request. Drops a connection in an unknown state; the next request opens a fresh one. If
/// that fails, the request receives the error and its caller tries again.
fn answer(
    request: Request,
    open: Option<OpenConnection>,
    spec: &ConnectionSpec,
    outage: &mut Outage,
) -> Option<OpenConnection> {
    // A connection with outdated commit settings is replaced.
    let open = open.filter(|open| open.commits == spec.commits());
    let mut open = match open.map_or_else(|| OpenConnection::open(spec, Patience::Serving), Ok) {
        Ok(open) => open,
        Err(error) => {
            outage.goes_on(|| {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the telemetry writer cannot reconnect");
            });
            request(Err(error));
            return None;
        }
    };
    match catch_unwind(AssertUnwindSafe(|| request(Ok(&mut open)))) {
        Ok(After::Fine) => {
            outage.is_over();
            Some(open)
        }
        Ok(After::Reconnect) => {
            if open.identity.file_state() != FileState::Same {
                outage.goes_on(|| {
                    tracing::error!("database file was deleted or replaced, reopening it");
                });
            }
            None
        }
        Err(_) => {
            tracing::error!("a request to the telemetry writer panicked; it will reconnect");
            None
        }
    }
}

/// Counts consecutive requests that failed because of the database's file. Logs one line when that begins and one
/// with the count when it is over, because callers retry many times a second.
#[derive(Default)]
struct Outage {
    requests: u64,
}

impl Outage {
    fn goes_on(&mut self, say: impl FnOnce()) {
        if self.requests == 0 {
            say();
        }
        self.requests += 1;
    }

    fn is_over(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        if requests > 0 {
            tracing::warn!(requests, "telemetry writer reconnected");
        }
    }
}

#[cfg(test)]
mod tests;
