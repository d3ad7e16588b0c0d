//! The thread that writes. It owns the connection and serves one request at a time. A connection that is gone, or in an
//! unknown state, is replaced before the next request; a thread that does not come back from one is left alone, and
//! another one goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::QueryResult;
use executor_core::StoreError;
use executor_core::time::HeldTime;
use tokio::sync::oneshot;

use crate::postgres::acknowledged::Acknowledged;
use crate::postgres::classify::{is_gone, store_error};
use crate::postgres::connect::ServerError;
use crate::postgres::open::{ConnectionSpec, Open};
use crate::writer::request_queue::{Refused, Urgency};

mod backoff;

mod thread;

use thread::{Request, Thread};

/// A request that takes longer ends with an error, and so do those behind it: a silent network, a server that stands
/// still or a name that nobody resolves keep nobody waiting.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Housekeeping has its own connection, so that records do not wait for it: counting the rows of a day may take long.
const KEEPS_WITHIN: Duration = Duration::from_secs(120);

/// How often a caller looks whether the thread still comes back.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// So many threads may stand still before nothing is tried until one of them comes back.
const STUCK_MAX: usize = 2;

/// A handle to the thread that writes. Dropping it ends the thread after the pending requests.
pub(crate) struct Writer {
    spec: Arc<ConnectionSpec>,
    answers_within: Duration,
    threads: Mutex<Threads>,
}

struct Threads {
    now: Arc<Thread>,
    /// Nothing is served any more.
    is_closed: bool,
    /// Those that have not come back from a request.
    stuck: Vec<Arc<Thread>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.thread().inbox.close());
    }
}

impl Writer {
    /// Opens the database on a new thread and returns once it is open, or the reason why not. If the server `may_be_away`
    /// and is, requests are refused until it is there.
    pub(crate) async fn start(
        spec: ConnectionSpec,
        may_be_away: bool,
    ) -> Result<Self, ServerError> {
        let spec = Arc::new(spec);
        let (opened, is_open) = oneshot::channel();
        let within = ANSWERS_WITHIN;
        let now = Thread::start(Arc::clone(&spec), may_be_away, within, Some(opened))?;
        // Dropped with this future, it ends the thread.
        let writer = Self::of(spec, within, now);
        let _held = HeldTime::new();
        let panicked = || std::io::Error::other("the thread panicked while it opened the database");
        is_open
            .await
            .unwrap_or_else(|_| Err(ServerError::Thread(panicked())))?;
        Ok(writer)
    }

    /// Another one with a connection of its own, which begins when it is asked for something, and is more patient.
    pub(crate) fn for_housekeeping(&self) -> Result<Self, ServerError> {
        let spec = Arc::clone(&self.spec);
        let now = Thread::start(Arc::clone(&spec), true, KEEPS_WITHIN, None)?;
        Ok(Self::of(spec, KEEPS_WITHIN, now))
    }

    fn of(spec: Arc<ConnectionSpec>, answers_within: Duration, now: Arc<Thread>) -> Self {
        Self {
            spec,
            answers_within,
            threads: Mutex::new(Threads {
                now,
                is_closed: false,
                stuck: Vec::new(),
            }),
        }
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known to be stored.
    pub(crate) fn acknowledged(&self) -> &Acknowledged {
        &self.spec.acknowledged
    }

    fn thread(&self) -> Arc<Thread> {
        Arc::clone(&self.threads().now)
    }

    /// Runs `work` on the writer's thread. The request is sent before the first await, so
    /// dropping the future does not withdraw it.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Open) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, mut replied) = oneshot::channel();
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
        let thread = self.thread();
        if thread.is_stuck() && !self.leave_alone(&thread) {
            return Err(StoreError::unreachable(operation, NO_ANSWER));
        }
        let thread = self.thread();
        match thread.inbox.put(request, Urgency::Now) {
            Ok(()) => {}
            Err(Refused::Closed) if self.threads().is_closed => {
                return Err(StoreError::closed(operation));
            }
            // It has just been left alone.
            Err(Refused::Closed) => return Err(StoreError::unreachable(operation, NO_ANSWER)),
            Err(Refused::Dead(_)) => {
                let why = "the writer's thread has died";
                return Err(StoreError::unreachable(operation, why));
            }
        }
        loop {
            match tokio::time::timeout(LOOK_AGAIN, &mut replied).await {
                Ok(Ok(answer)) => return answer,
                // Without a reply nobody knows whether it had committed; asking again is safe.
                Ok(Err(_)) => {
                    let why = "the writer gave up this request half-way";
                    return Err(StoreError::unreachable(operation, why));
                }
                Err(_) if thread.is_stuck() => {
                    self.leave_alone(&thread);
                    return Err(StoreError::unreachable(operation, NO_ANSWER));
                }
                Err(_) => {}
            }
        }
    }

    /// Leaves a thread that stands still alone, and lets another one go on. Returns whether there is one.
    fn leave_alone(&self, stuck: &Arc<Thread>) -> bool {
        let mut threads = self.threads();
        if threads.is_closed {
            return false;
        }
        if !Arc::ptr_eq(&threads.now, stuck) {
            return true;
        }
        threads.stuck.retain(|it| !it.has_come_back());
        if threads.stuck.len() >= STUCK_MAX {
            return false;
        }
        let Ok(next) = Thread::start(Arc::clone(&self.spec), true, self.answers_within, None)
        else {
            return false;
        };
        tracing::error!(
            server = %self.spec.address,
            "the server has not answered for {} s: the telemetry writer goes on with another connection",
            self.answers_within.as_secs()
        );
        let stuck = std::mem::replace(&mut threads.now, next);
        stuck.abandon();
        threads.stuck.push(stuck);
        true
    }

    /// Serves the pending requests, then ends the thread. Returns once its connection is closed.
    pub(crate) async fn close(&self) {
        let _held = HeldTime::new();
        let thread = {
            let mut threads = self.threads();
            threads.is_closed = true;
            Arc::clone(&threads.now)
        };
        let closed = thread.inbox.close();
        tokio::pin!(closed);
        // An error means that the thread has ended.
        while tokio::time::timeout(LOOK_AGAIN, &mut closed).await.is_err() {
            if thread.is_stuck() {
                return;
            }
        }
    }
}

const NO_ANSWER: &str = "the server does not answer";
