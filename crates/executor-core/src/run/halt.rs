//! Ends executions from outside: the service stops all of them, or somebody asks for the end of one.
//!
//! Requests are rare and executions are not, so there is no list of executions by their ids: a request wakes all that
//! wait, and the one that is meant takes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::identity::ExecutionId;

/// Ends executions of one runner.
pub(crate) struct Halt {
    service: CancellationToken,
    requests: Mutex<Vec<Request>>,
    /// How many there are, so that an execution looks at them only if there are any.
    waiting: AtomicUsize,
    bell: Notify,
}

struct Request {
    id: ExecutionId,
    taken: oneshot::Sender<()>,
}

impl Halt {
    pub(crate) fn new(service: CancellationToken) -> Self {
        Self {
            service,
            requests: Mutex::default(),
            waiting: AtomicUsize::new(0),
            bell: Notify::new(),
        }
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when all executions are to end, or this one is.
    pub(crate) async fn of(&self, id: ExecutionId) {
        tokio::select! {
            () = self.service.cancelled() => {}
            () = self.requested(id) => {}
        }
    }

    async fn requested(&self, id: ExecutionId) {
        loop {
            // Listen before looking: a request may be made in between.
            let rung = self.bell.notified();
            if self.waiting.load(Ordering::SeqCst) > 0 && self.take(id) {
                return;
            }
            rung.await;
        }
    }

    /// Takes the requests for an execution, and returns whether somebody still waits for one of them.
    fn take(&self, id: ExecutionId) -> bool {
        let mut requests = self.requests();
        let taken = requests.extract_if(.., |it| it.id == id);
        // A request that was given up must not end what its answer says is not running.
        let heard = taken.filter_map(|it| it.taken.send(()).ok()).count();
        self.waiting.store(requests.len(), Ordering::SeqCst);
        heard > 0
    }

    /// Asks an execution to end, and returns whether it has heard of it in time. Dropping the future withdraws the request.
    pub(crate) async fn request(&self, id: ExecutionId, patience: Duration) -> bool {
        let (taken, heard) = oneshot::channel();
        {
            let mut requests = self.requests();
            requests.push(Request { id, taken });
            self.waiting.store(requests.len(), Ordering::SeqCst);
        }
        let mut request = Waiting { halt: self, heard };
        self.bell.notify_waiters();
        match timeout(patience, &mut request.heard).await {
            Ok(heard) => heard.is_ok(),
            // It may have heard in this very moment.
            Err(_) => {
                request.heard.close();
                request.heard.try_recv().is_ok()
            }
        }
    }
}

/// A request that somebody waits for.
struct Waiting<'h> {
    halt: &'h Halt,
    heard: oneshot::Receiver<()>,
}

impl Drop for Waiting<'_> {
    /// Withdraws it, unless it was taken.
    fn drop(&mut self) {
        self.heard.close();
        let mut requests = self.halt.requests();
        requests.retain(|it| !it.taken.is_closed());
        self.halt.waiting.store(requests.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
