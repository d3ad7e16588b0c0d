//! What ends executions from outside: the service stops all of them, or somebody asks for the end of one.
//!
//! Requests are rare and executions are not, so an execution registers nothing: a request wakes all that wait, and the
//! one that is meant takes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
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

    fn take(&self, id: ExecutionId) -> bool {
        let mut requests = self.requests();
        let before = requests.len();
        for request in requests.extract_if(.., |it| it.id == id) {
            // Whoever asked may have gone.
            let _ = request.taken.send(());
        }
        self.waiting.store(requests.len(), Ordering::SeqCst);
        requests.len() < before
    }

    /// Asks an execution to end, and completes when it has heard of it. Dropping the future withdraws the request.
    pub(crate) async fn request(&self, id: ExecutionId) {
        let (taken, heard) = oneshot::channel();
        {
            let mut requests = self.requests();
            requests.push(Request { id, taken });
            self.waiting.store(requests.len(), Ordering::SeqCst);
        }
        let mut asked = Asked { halt: self, heard };
        self.bell.notify_waiters();
        // It is not dropped before it was taken.
        let _ = (&mut asked.heard).await;
    }
}

/// A request that somebody waits for.
struct Asked<'h> {
    halt: &'h Halt,
    heard: oneshot::Receiver<()>,
}

impl Drop for Asked<'_> {
    /// Withdraws it, unless it was taken.
    fn drop(&mut self) {
        self.heard.close();
        let mut requests = self.halt.requests();
        requests.retain(|it| !it.taken.is_closed());
        self.halt.waiting.store(requests.len(), Ordering::SeqCst);
    }
}
