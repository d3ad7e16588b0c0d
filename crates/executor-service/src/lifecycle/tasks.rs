//! Owns the tasks of a service, and ends them.

use std::sync::Arc;

use executor_core::Clock;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::lifecycle::health::HealthState;
use crate::lifecycle::supervise::{Supervised, supervise};

/// The tasks of a service: the drain, which must finish its work, and the others, which need not.
pub(crate) struct Tasks {
    /// Completes when the drain ends; any number of callers may wait for it.
    pub(crate) drain: TaskTracker,
    pub(crate) abort_drain: AbortHandle,
    others: TaskTracker,
    abort_others: Vec<AbortHandle>,
}

/// Starts services under supervision.
pub(crate) struct Starter {
    pub(crate) health: Arc<HealthState>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Tasks {
    pub(crate) fn start(starter: &Starter, drain: impl Supervised) -> Self {
        let its_tracker = TaskTracker::new();
        let abort_drain = starter.start(&its_tracker, drain);
        its_tracker.close();
        Self {
            drain: its_tracker,
            abort_drain,
            others: TaskTracker::new(),
            abort_others: Vec::new(),
        }
    }

    /// Starts another service beside the drain.
    pub(crate) fn add(&mut self, starter: &Starter, service: impl Supervised) {
        let abort = starter.start(&self.others, service);
        self.abort_others.push(abort);
    }

    /// Returns whether all tasks have ended.
    pub(crate) fn are_gone(&self) -> bool {
        self.abort_drain.is_finished() && self.abort_others.iter().all(AbortHandle::is_finished)
    }

    /// Aborts all services but the drain, and waits until they are gone.
    pub(crate) async fn end_others(&self) {
        self.abort_others();
        self.others.close();
        self.others.wait().await;
    }

    fn abort_others(&self) {
        self.abort_others.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort_drain.abort();
        self.abort_others();
    }
}

impl Starter {
    fn start(&self, tracker: &TaskTracker, service: impl Supervised) -> AbortHandle {
        let (health, clock) = (Arc::clone(&self.health), Arc::clone(&self.clock));
        let running = tracker.spawn(supervise(service, health, clock));
        running.abort_handle()
    }
}
