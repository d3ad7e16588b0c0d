//! The thread that writes. It owns the connection and serves one request at a time; a request
//! that panics costs itself and the connection, nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use diesel::QueryResult;
use diesel::sqlite::SqliteConnection;
use executor_core::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::classify::store_error;
use crate::open::{OpenError, Target, open_writer};

/// A request, with its reply inside.
type Request = Box<dyn FnOnce(&mut SqliteConnection) + Send>;

enum Message {
    Serve(Request),
    /// Finish; the reply is the thread's end.
    Close(oneshot::Sender<()>),
}

/// The way to the writer thread. Dropping the last one ends the thread after what was asked.
pub(crate) struct Writer {
    messages: mpsc::UnboundedSender<Message>,
}

impl Writer {
    /// Opens the database on a new thread and returns when it is open, or with the reason why
    /// not.
    pub(crate) async fn start(target: Target) -> Result<Self, OpenError> {
        let (messages, inbox) = mpsc::unbounded_channel();
        let (opened, is_open) = oneshot::channel();
        let _thread: JoinHandle<()> = thread::Builder::new()
            .name("telemetry-writer".into())
            .spawn(move || match open_writer(&target) {
                Ok(connection) => {
                    let _ = opened.send(Ok(()));
                    serve(connection, &target, inbox);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(OpenError::Thread)?;
        match is_open.await {
            Ok(result) => result.map(|()| Self { messages }),
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
        let (reply, replied) = oneshot::channel();
        let request: Request = Box::new(move |connection| {
            let _ = reply.send(work(connection));
        });
        self.messages
            .send(Message::Serve(request))
            .map_err(|_| StoreError::closed(operation))?;
        match replied.await {
            Ok(result) => result.map_err(|error| store_error(operation, error)),
            // Nobody knows whether it had committed; asking again is safe.
            Err(_) => Err(StoreError::unreachable(
                operation,
                "the writer gave up this request half-way",
            )),
        }
    }

    /// Serves what was asked before, then ends the thread. Returns when its connection is closed.
    pub(crate) async fn close(&self) {
        let (done, is_done) = oneshot::channel();
        if self.messages.send(Message::Close(done)).is_ok() {
            // An error here is the thread's end too.
            let _ = is_done.await;
        }
    }
}

fn serve(
    connection: SqliteConnection,
    target: &Target,
    mut inbox: mpsc::UnboundedReceiver<Message>,
) {
    let mut connection = Some(connection);
    while let Some(message) = inbox.blocking_recv() {
        match message {
            Message::Serve(request) => connection = answer(request, connection.take(), target),
            Message::Close(done) => {
                inbox.close();
                drop(connection);
                let _ = done.send(());
                return;
            }
        }
    }
}

/// Serves one request. After a panic nobody knows what state the connection is in, so the next
/// request opens a fresh one; a request for which that fails goes unanswered, and its caller asks
/// again.
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
        Ok(()) => Some(connection),
        Err(_) => {
            tracing::error!("a request to the telemetry writer panicked; it will reconnect");
            None
        }
    }
}
