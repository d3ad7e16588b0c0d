//! The thread that writes. It owns the connection and serves one request at a time; a request
//! that panics costs itself and the connection, nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use executor_core::{ErrorClass, StoreError};
use tokio::sync::oneshot;

use crate::classify::{class_of, is_lock, store_error};
use crate::inbox::{Inbox, Urgency};
use crate::open::{OpenError, Target, open_writer};

/// A request, with its reply inside.
type Request = Box<dyn FnOnce(&mut SqliteConnection) -> After + Send>;

/// What a request leaves behind.
enum After {
    /// A connection that can be used on.
    Fine,
    /// A connection of which nobody knows what state it is in.
    Reconnect,
}

/// The way to the writer thread. Dropping the last one ends the thread after what was asked.
pub(crate) struct Writer {
    inbox: Arc<Inbox<Request>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.inbox.close());
    }
}

impl Writer {
    /// Opens the database on a new thread and returns when it is open, or with the reason why
    /// not.
    pub(crate) async fn start(target: Target) -> Result<(Self, Target), OpenError> {
        let inbox = Arc::new(Inbox::default());
        let theirs = Arc::clone(&inbox);
        let (opened, is_open) = oneshot::channel();
        let _thread: JoinHandle<()> = thread::Builder::new()
            .name("telemetry-writer".into())
            .spawn(move || match open_writer(&target) {
                Ok(connection) => {
                    let target = target.canonical();
                    let _ = opened.send(Ok(target.clone()));
                    serve(connection, &target, &theirs);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(OpenError::Thread)?;
        match is_open.await {
            Ok(result) => result.map(|target| (Self { inbox }, target)),
            Err(_) => Err(OpenError::Thread(std::io::Error::other(
                "the thread panicked while it opened the database",
            ))),
        }
    }

    /// Has the work done on the writer's thread. The request is sent before the first await, so
    /// dropping the future does not withdraw it.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call_at(Urgency::Now, operation, work).await
    }

    /// The same, when nobody waits for anything else.
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
        let request: Request = Box::new(move |connection| {
            let result = work(connection);
            let after = after(&result);
            let _ = reply.send(result);
            after
        });
        let put = self.inbox.put(request, urgency);
        put.map_err(|_| StoreError::closed(operation))?;
        match replied.await {
            Ok(result) => result.map_err(|error| store_error(operation, error)),
            // Nobody knows whether it had committed; asking again is safe.
            Err(_) => Err(StoreError::unreachable(
                operation,
                "the writer gave up this request half-way",
            )),
        }
    }

    /// A way to leave work for later, for whoever is on the writer's thread.
    pub(crate) fn errands(&self) -> Errands {
        Errands(Arc::clone(&self.inbox))
    }

    /// Serves what was asked before, then ends the thread. Returns when its connection is closed.
    pub(crate) async fn close(&self) {
        // An error is the thread's end.
        let _ = self.inbox.close().await;
    }
}

/// Leaves work for when nobody waits for anything.
#[derive(Clone)]
pub(crate) struct Errands(Arc<Inbox<Request>>);

impl Errands {
    /// What fails is tried again with the next errand; only that it failed is said.
    pub(crate) fn leave(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut SqliteConnection) -> QueryResult<()> + Send + 'static,
    ) {
        let request: Request = Box::new(move |connection| {
            let result = work(connection);
            if let Err(error) = &result {
                let error: &dyn std::error::Error = error;
                tracing::debug!(error, operation, "put off");
            }
            after(&result)
        });
        // Refused only when the store is closing, and then it is the next opening's errand.
        let _ = self.0.put(request, Urgency::Later);
    }
}

fn serve(connection: SqliteConnection, target: &Target, inbox: &Inbox<Request>) {
    let _ending = Ending(inbox);
    let mut connection = Some(connection);
    while let Some(request) = inbox.next() {
        connection = answer(request, connection.take(), target);
        if connection.is_none() && target.path().is_none() {
            tracing::error!("the database was in memory and is gone with its connection");
            return;
        }
    }
    drop(connection);
}

/// Whatever ends the thread, nobody waits for it any longer.
struct Ending<'i>(&'i Inbox<Request>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.has_ended();
    }
}

/// Serves one request. The connection is let go where its state is unknown, and the next request
/// opens a fresh one; a request for which that fails goes unanswered, and its caller asks again.
fn answer(
    request: Request,
    connection: Option<SqliteConnection>,
    target: &Target,
) -> Option<SqliteConnection> {
    let mut connection = match connection.map_or_else(|| open_writer(target), Ok) {
        Ok(connection) => connection,
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the telemetry writer cannot reconnect");
            return None;
        }
    };
    match catch_unwind(AssertUnwindSafe(|| request(&mut connection))) {
        Ok(After::Fine) => Some(connection),
        Ok(After::Reconnect) => None,
        Err(_) => {
            tracing::error!("a request to the telemetry writer panicked; it will reconnect");
            None
        }
    }
}

/// A lock that another process holds says nothing about the connection. After anything else that
/// passes, such as a full disk, SQLite may have ended a transaction that diesel believes open.
fn after<T>(result: &QueryResult<T>) -> After {
    match result {
        Err(error) if class_of(error) == ErrorClass::Transient && !is_lock(error) => {
            After::Reconnect
        }
        _ => After::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::connection::SimpleConnection;

    async fn writer(directory: &tempfile::TempDir) -> Writer {
        let path = directory.path().join("telemetry.db");
        let target = Target::parse(path.to_str().unwrap()).unwrap();
        Writer::start(target).await.unwrap().0
    }

    #[tokio::test]
    async fn a_request_that_panics_inside_a_transaction_costs_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        for _ in 0..3 {
            let panicked = writer
                .call("panicking", |connection| -> QueryResult<()> {
                    connection.batch_execute("BEGIN IMMEDIATE; DELETE FROM sessions")?;
                    panic!("half-way");
                })
                .await;
            assert!(!panicked.unwrap_err().answered);
            let next = writer.call("going on", |connection| {
                connection.batch_execute("BEGIN IMMEDIATE; COMMIT")
            });
            next.await.unwrap();
        }
    }

    #[tokio::test]
    async fn c04_a_full_disk_inside_a_transaction_is_transient_and_passes() {
        use executor_core::Fate;
        use executor_core::ports::Batch;
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory).await;
        let listener = executor_testkit::listener("hall");
        let records = (0..2_000).map(|at| executor_testkit::record(&listener, None, at));
        let batch = std::sync::Arc::new(Batch {
            session: executor_testkit::session(),
            records: records.collect(),
        });
        let full = std::sync::Arc::clone(&batch);
        let refused = writer
            .call("storing a batch", move |connection| {
                connection.batch_execute("PRAGMA max_page_count = 60")?;
                crate::persist::persist(connection, &full)
            })
            .await;
        assert_eq!(refused.unwrap_err().class, ErrorClass::Transient);
        let again = writer.call("storing a batch", move |connection| {
            crate::persist::persist(connection, &batch)
        });
        assert_eq!(again.await.unwrap(), vec![Fate::Detached; 2_000]);
    }
}
