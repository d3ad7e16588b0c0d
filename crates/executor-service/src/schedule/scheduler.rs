//! Waits until runs are due and starts them. One task waits for all schedules of a service; every run has its own
//! task, so none delays another.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{Earlier, MissedReason};
use executor_core::{Clock, Entity, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use super::book::Due;
use super::book::{Book, Turn};
use super::catch_up::catch_up;
use super::missed_log::{MissedLog, Paused, Span};
use super::{Schedule, ScheduleState};
use crate::lifecycle::health::HealthState;
use crate::lifecycle::supervise::{Fault, Supervised, supervise};
use crate::registration::drop_each;
use crate::registration::handle::JobHandle;

/// The longest time until a set wall clock, or one that went on while the machine slept, is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Returns the runs that are due as a future; `None` if the service is gone.
pub(crate) type Begin = Box<dyn Fn(Due) -> Option<Run> + Send + Sync>;

/// A future that completes when the last of the due runs has ended.
pub(crate) type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The schedules of a service, and the tasks that run them. Dropping it stops new runs.
pub(crate) struct Scheduler {
    shared: Arc<Shared>,
    runtime: Handle,
    /// True once the first schedule has started the task: a service without schedules has no task.
    is_started: AtomicBool,
    tasks: TaskTracker,
}

struct Shared {
    book: Mutex<Book>,
    /// Runs that make up for those of an earlier session.
    made_up: Mutex<Vec<Due>>,
    missed: Arc<MissedLog>,
    /// Rung when a new schedule may be due earlier than the current wait ends.
    bell: Notify,
    stop: CancellationToken,
    clock: Arc<dyn Clock>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made_up(&self) -> MutexGuard<'_, Vec<Due>> {
        self.made_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, in_vain: Vec<(Arc<Entity>, MissedReason, Span)>) {
        for (job, reason, span) in in_vain {
            self.missed.note(&job, reason, span);
        }
    }
}

impl Scheduler {
    /// # Panics
    ///
    /// Outside of a tokio runtime; it runs on the current one.
    pub(crate) fn new(clock: Arc<dyn Clock>, missed: Arc<MissedLog>) -> Self {
        let look_again = if clock.may_be_set() {
            LOOK_AGAIN
        } else {
            Duration::MAX
        };
        let now = clock.now();
        let mut book = Book::new(now, look_again);
        book.mind_what_held_it_up(now, clock.since_boot());
        Self {
            shared: Arc::new(Shared {
                book: Mutex::new(book),
                made_up: Mutex::default(),
                missed,
                bell: Notify::new(),
                stop: CancellationToken::new(),
                clock,
            }),
            runtime: Handle::current(),
            is_started: AtomicBool::new(false),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a job's schedule, replacing that of an earlier job with the same key. The first schedule starts the
    /// task, which starts runs through `begin`.
    pub(crate) fn enter(
        &self,
        job: &JobHandle,
        schedule: Schedule,
        health: &Arc<HealthState>,
        begin: impl FnOnce() -> Begin,
    ) {
        let now = self.shared.clock.now();
        let gone = self.shared.book().enter(job.clone(), schedule, now);
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
        drop_each(gone.into_iter().collect());
    }

    pub(crate) fn remove(&self, key: &Arc<Entity>) -> bool {
        let removed = self.shared.book().remove(key);
        let was_there = removed.is_some();
        drop_each(removed.into_iter().collect());
        was_there
    }

    pub(crate) fn pause(&self, key: &Arc<Entity>) -> bool {
        let is_known = self.shared.book().pause(key);
        if is_known {
            let paused = Paused::Schedule(Arc::clone(key));
            self.shared
                .missed
                .pause(paused, self.shared.clock.now().wall);
        }
        is_known
    }

    /// Returns what makes up for what was planned before this session.
    pub(crate) fn catching_up(&self) -> CatchingUp {
        CatchingUp(Arc::clone(&self.shared))
    }

    pub(crate) fn resume(&self, key: &Arc<Entity>) -> bool {
        let now = self.shared.clock.now();
        let mut turn = Turn::default();
        let is_known = self.shared.book().resume(key, now, &mut turn);
        self.shared.bell.notify_one();
        self.shared.note(turn.in_vain);
        let paused = Paused::Schedule(Arc::clone(key));
        self.shared.missed.resume(&paused, now.wall);
        drop_each(turn.gone);
        is_known
    }

    pub(crate) fn state(&self, key: &Arc<Entity>) -> Option<ScheduleState> {
        self.shared.book().state(key, self.shared.clock.now())
    }

    /// Stops new runs from now on and drops the jobs, whose handlers may hold the service.
    pub(crate) fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        let now = self.shared.clock.now();
        let (paused, jobs) = {
            let mut book = self.shared.book();
            (book.paused_in_vain(now), book.close())
        };
        for (job, span) in paused {
            self.shared.missed.note(&job, MissedReason::Paused, span);
        }
        drop_each(jobs);
    }

    /// Waits for the tasks after their executions have ended or been given up. Returns whether all have ended.
    pub(crate) async fn join(&self, until: Instant) -> bool {
        timeout_at(until, self.tasks.wait()).await.is_ok()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes up for what was planned while no process had a job.
pub(crate) struct CatchingUp(Arc<Shared>);

impl CatchingUp {
    /// Notes what a job has missed before its registration at `at`, and begins the runs that make up for it.
    pub(crate) fn catch_up(&self, key: &Arc<Entity>, earlier: &Earlier, at: Timestamp) {
        let shared = &self.0;
        if let Some(session) = earlier.elsewhere {
            let job = &**key;
            tracing::warn!(%job, other.session.id = %session, "another process schedules the same job");
        }
        let known = shared.book().job(key);
        let schedule = known.as_ref().map(|(_, schedule)| schedule);
        let caught_up = catch_up(earlier, schedule, at);
        if let Some((reason, span)) = caught_up.missed {
            let job = &**key;
            let (missed, reason) = (span.count, reason);
            tracing::warn!(%job, missed, reason = reason.as_str(), "schedule missed runs while no process had it");
            shared.missed.note(key, reason, span);
        }
        if let Some((job, _)) = known.filter(|_| !caught_up.runs.is_empty()) {
            let due_at = caught_up.runs;
            shared.made_up().push(Due { job, due_at });
            shared.bell.notify_one();
        }
    }
}

/// Starts runs when they are due, until it is stopped or the service is gone.
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
            let since_boot = shared.clock.since_boot();
            let mut turn = {
                let mut book = shared.book();
                book.mind_what_held_it_up(now, since_boot);
                book.turn(now)
            };
            turn.begin.append(&mut shared.made_up());
            shared.note(turn.in_vain);
            // At once: it may be long until the next turn.
            drop_each(turn.gone);
            for due in turn.begin {
                // The scheduler was stopped meanwhile, so the remaining runs are not owed.
                if shared.stop.is_cancelled() {
                    return Ok(());
                }
                let Some(run) = (self.begin)(due) else {
                    return Ok(());
                };
                self.tasks.spawn(run);
            }
            // Log last: a log subscriber may panic.
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
