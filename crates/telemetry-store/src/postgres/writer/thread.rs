//! One thread with its connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::backoff::Backoff;
use crate::postgres::connect::{ServerError, set_up};
use crate::postgres::open::{ConnectionSpec, Open};
use crate::postgres::write::rolled_back;
use crate::writer::request_queue::Inbox;

/// A request that sends its own reply. If there is no connection, it receives the reason. Returns whether the
/// connection can be used again.
pub(super) type Request = Box<dyn FnOnce(Result<&mut Open, Arc<ServerError>>) -> bool + Send>;

/// What a thread shares with those who ask it.
pub(super) struct Thread {
    pub(super) inbox: Inbox<Request>,
    /// When it began what it does now: a request, or to connect for one.
    busy_since: Mutex<Option<Instant>>,
    has_ended: AtomicBool,
    /// A request that takes longer stands still.
    answers_within: Duration,
}

type Opened = oneshot::Sender<Result<(), ServerError>>;

impl Thread {
    /// Starts a thread, which says in `opened` whether there is a connection. If the server may be away, it serves
    /// without one.
    pub(super) fn start(
        spec: Arc<ConnectionSpec>,
        may_be_away: bool,
        answers_within: Duration,
        opened: Option<Opened>,
    ) -> Result<Arc<Self>, ServerError> {
        let this = Arc::new(Self {
            answers_within,
            inbox: Inbox::default(),
            busy_since: Mutex::new(None),
            has_ended: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&this);
        let named = thread::Builder::new().name("telemetry-writer".into());
        named
            .spawn(move || {
                let _ending = Ending(&theirs);
                theirs.run(&spec, may_be_away, opened);
            })
            .map_err(ServerError::Thread)?;
        Ok(this)
    }

    fn run(&self, spec: &ConnectionSpec, may_be_away: bool, opened: Option<Opened>) {
        let mut connecting = Connecting::default();
        // One that replaces another connects when it is asked for something.
        let Some(opened) = opened else {
            return self.serve(spec, None, connecting);
        };
        match Open::connect(spec) {
            Ok(open) => {
                let _ = opened.send(Ok(()));
                self.serve(spec, Some(open), connecting);
            }
            Err(error) if may_be_away && !error.is_lasting() => {
                tracing::warn!(
                    server = %spec.address, %error,
                    "the server is away: what is recorded waits until it is there"
                );
                connecting.failed(error);
                let _ = opened.send(Ok(()));
                self.serve(spec, None, connecting);
            }
            Err(error) => drop(opened.send(Err(error))),
        }
    }

    fn serve(&self, spec: &ConnectionSpec, mut open: Option<Open>, mut connecting: Connecting) {
        while let Some(request) = self.inbox.next() {
            self.is_busy(Some(Instant::now()));
            let now = match open.take() {
                Some(open) => Ok(open),
                None => connecting.try_again(spec),
            };
            match now {
                Ok(now) => open = answer(request, now),
                Err(error) => drop(request(Err(error))),
            }
            self.is_busy(None);
        }
    }

    fn is_busy(&self, since: Option<Instant>) {
        let mut busy = self
            .busy_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *busy = since;
    }

    /// Whether it has been busy with one request for too long.
    pub(super) fn is_stuck(&self) -> bool {
        let busy = self
            .busy_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        busy.is_some_and(|since| since.elapsed() >= self.answers_within)
    }

    /// Drops the requests that wait for it, and lets it end when it comes back.
    pub(super) fn abandon(&self) {
        drop(self.inbox.close());
        self.inbox.has_ended();
    }

    pub(super) fn has_come_back(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
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

/// Connects to what may be another server, and notes what that does not have.
fn connect_again(spec: &ConnectionSpec) -> Result<Open, ServerError> {
    let mut open = Open::connect(spec)?;
    rolled_back::look(&mut open, &spec.acknowledged)
        .map_err(|error| set_up(&spec.address, &error))?;
    Ok(open)
}

/// How connecting went lately.
#[derive(Default)]
struct Connecting {
    backoff: Backoff,
    last: Option<Arc<ServerError>>,
}

impl Connecting {
    fn failed(&mut self, error: ServerError) -> Arc<ServerError> {
        self.backoff.failed(Instant::now());
        let error = Arc::new(error);
        self.last = Some(Arc::clone(&error));
        error
    }

    /// Connects, unless that has just failed.
    fn try_again(&mut self, spec: &ConnectionSpec) -> Result<Open, Arc<ServerError>> {
        if let Some(last) = self
            .last
            .as_ref()
            .filter(|_| self.backoff.waits(Instant::now()))
        {
            return Err(Arc::clone(last));
        }
        let address = &spec.address;
        match connect_again(spec) {
            Ok(open) => {
                self.backoff = Backoff::default();
                if self.last.take().is_some() {
                    tracing::warn!(server = %address, "telemetry writer reconnected");
                }
                Ok(open)
            }
            Err(error) => {
                // One line for an outage: callers retry many times a second.
                if self.last.is_none() {
                    tracing::error!(%error, "the telemetry writer cannot reconnect");
                }
                Err(self.failed(error))
            }
        }
    }
}

/// Releases everyone who waits for the thread, however it ends.
struct Ending<'t>(&'t Thread);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Release);
        self.0.inbox.has_ended();
    }
}
