//! Waits for the times at which runs are due, and has them begin. One task waits for all schedules of a
//! service; every run has a task of its own, so none delays another.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::{Clock, Entity};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::book::Book;
pub(crate) use super::book::Due;
use super::{Schedule, ScheduleState};
use crate::lifecycle::health::HealthState;
use crate::lifecycle::supervise::{Fault, Supervised, supervise};
use crate::registration::handle::JobHandle;

/// A wall clock that is set, or went on while the machine slept, is noticed within this time.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Runs what is due, in a task of its own; `None` if the service is gone.
pub(crate) type Begin = Box<dyn Fn(Due) -> Option<Run> + Send + Sync>;

/// Runs that are due, until the last of them has ended.
pub(crate) type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The schedules of a service, and the tasks that keep them. Nothing begins any more when it is dropped.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    runtime: Handle,
    /// The task is started with the first schedule: a service without any has none.
    is_started: AtomicBool,
    tasks: TaskTracker,
}

struct Shared {
    book: Mutex<Book>,
    /// Rung when something was entered that may be due earlier than what is waited for.
    bell: Notify,
    stop: CancellationToken,
    clock: Arc<dyn Clock>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scheduler {
    /// # Panics
    ///
    /// Outside of a tokio runtime, which is the one that it runs on.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let look_again = if clock.may_be_set() {
            LOOK_AGAIN
        } else {
            Duration::MAX
        };
        Self {
            shared: Arc::new(Shared {
                book: Mutex::new(Book::new(clock.now(), look_again)),
                bell: Notify::new(),
                stop: CancellationToken::new(),
                clock,
            }),
            runtime: Handle::current(),
            is_started: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        }
    }

    /// A job begins to run on a schedule; what an earlier job with its key had is over. The first one starts the
    /// task, which has runs begin by `begin`.
    pub(crate) fn enter(
        &self,
        job: &JobHandle,
        schedule: Schedule,
        health: &Arc<HealthState>,
        begin: impl FnOnce() -> Begin,
    ) {
        let now = self.shared.clock.now();
        self.shared.book().enter(job.clone(), schedule, now);
        if !self.is_started.swap(true, Ordering::SeqCst) {
            let waiting = Waiting {
                shared: Arc::clone(&self.shared),
                begin: begin(),
                tasks: self.tasks.clone(),
            };
            let clock = Arc::clone(&self.shared.clock);
            let waiting = supervise(waiting, Arc::clone(health), clock);
            self.tasks.spawn_on(waiting, &self.runtime);
        }
        self.shared.bell.notify_one();
    }

    pub(crate) fn remove(&self, key: &Arc<Entity>) -> bool {
        self.shared.book().remove(key)
    }

    pub(crate) fn pause(&self, key: &Arc<Entity>) -> bool {
        self.shared.book().pause(key)
    }

    pub(crate) fn resume(&self, key: &Arc<Entity>) -> bool {
        let now = self.shared.clock.now();
        let is_known = self.shared.book().resume(key, now);
        self.shared.bell.notify_one();
        is_known
    }

    pub(crate) fn state(&self, key: &Arc<Entity>) -> Option<ScheduleState> {
        self.shared.book().state(key, self.shared.clock.now())
    }

    /// From now on nothing begins.
    pub(crate) fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
    }

    /// Waits for the tasks, whose executions have ended or been given up. Whether all have ended.
    pub(crate) async fn join(&self, until: Instant) -> bool {
        timeout_at(until, self.tasks.wait()).await.is_ok()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Has runs begin when they are due, until it is stopped or the service is gone.
struct Waiting {
    shared: Arc<Shared>,
    begin: Begin,
    tasks: TaskTracker,
}

impl Supervised for Waiting {
    const NAME: &'static str = "schedules";

    async fn run(&mut self) -> Result<(), Fault> {
        let shared = &self.shared;
        loop {
            let now = shared.clock.now();
            let turn = shared.book().turn(now);
            for due in turn.begin {
                // It was stopped in between: what is due then is not owed.
                if shared.stop.is_cancelled() {
                    return Ok(());
                }
                let Some(run) = (self.begin)(due) else {
                    return Ok(());
                };
                self.tasks.spawn(run);
            }
            // After that: whoever listens to the log may panic.
            say(&turn.missed, turn.begun_anew);
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return Ok(()),
                () = shared.bell.notified() => {}
                () = wait_for(now.monotonic, turn.wait) => {}
            }
        }
    }
}

fn say(missed: &[(Arc<Entity>, u64)], begun_anew: usize) {
    if begun_anew > 0 {
        tracing::warn!(
            schedules = begun_anew,
            "the wall clock was set back by hours; schedules that go by it begin anew"
        );
    }
    for (job, missed) in missed {
        tracing::warn!(%job, missed, "schedule missed runs");
    }
}

async fn wait_for(now: Instant, wait: Option<Duration>) {
    match wait.and_then(|wait| now.checked_add(wait)) {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
