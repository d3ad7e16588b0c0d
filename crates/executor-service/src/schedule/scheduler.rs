//! Waits until runs are due and starts them. One task waits for all schedules of a service; every run has its own
//! task, so none delays another.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{Earlier, MissedReason, Registered};
use executor_core::time::Moment;
use executor_core::{Clock, Entity, Job};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use super::book::Due;
use super::book::{Book, Removed, Turn};
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

    /// The runs that make up for earlier ones, unless their schedule is paused: a paused one begins no runs, and makes
    /// up for none.
    fn made_up_to_begin(&self) -> Vec<Due> {
        let made_up = std::mem::take(&mut *self.made_up());
        let is_paused = |due: &Due| self.book().is_paused(due.entity());
        let (paused, to_begin): (Vec<_>, Vec<_>) = made_up.into_iter().partition(is_paused);
        for due in paused {
            if let Some(span) = due.span() {
                self.missed.note(due.entity(), MissedReason::Paused, span);
            }
            if let Some(registered) = due.takes_charge.clone() {
                self.missed.took(due.entity(), registered);
            }
            drop_each(vec![due.job]);
        }
        to_begin
    }

    /// Nobody is in charge of what was to be made up for: the next process does it.
    fn drop_made_up(&self) {
        let made_up = std::mem::take(&mut *self.made_up());
        drop_each(made_up.into_iter().map(|due| due.job).collect());
    }

    /// Notes runs that were due and that a stop has kept from beginning.
    fn note_unbegun(&self, due: &Due) {
        if due.takes_charge.is_some() {
            return;
        }
        if let Some(span) = due.span() {
            self.missed
                .note(due.entity(), MissedReason::NoProcess, span);
        }
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
        (schedule, at): (Schedule, Moment),
        health: &Arc<HealthState>,
        begin: impl FnOnce() -> Begin,
    ) {
        let now = self.shared.clock.now();
        let gone = self.shared.book().enter(job.clone(), schedule, at, now);
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
        // Now somebody can make up for what was planned before.
        self.shared.missed.bell.notify_one();
        self.end(&job.job().registration.entity, gone, now);
    }

    /// Ends a schedule, or only that of a certain job. Returns whether there was one.
    pub(crate) fn remove(&self, key: &Arc<Entity>, only_of: Option<&Arc<Job>>) -> bool {
        let now = self.shared.clock.now();
        let removed = {
            let mut book = self.shared.book();
            let is_it = only_of.is_none_or(|job| book.is_of(key, job));
            is_it.then(|| book.remove(key, now)).flatten()
        };
        self.end(key, removed, now)
    }

    /// Ends the pause of a schedule that left the book. Returns whether there was one.
    fn end(&self, key: &Arc<Entity>, removed: Option<Removed>, now: Moment) -> bool {
        let Some(removed) = removed else {
            return false;
        };
        if let Some(span) = removed.in_vain {
            self.shared.missed.note(key, MissedReason::Paused, span);
        }
        let paused = Paused::Schedule(Arc::clone(key));
        self.shared.missed.resume(&paused, now.wall);
        drop_each(vec![removed.job]);
        true
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

    /// Returns the job that is scheduled now under a key.
    pub(crate) fn job(&self, key: &Arc<Entity>) -> Option<JobHandle> {
        self.shared.book().job(key).map(|(job, _)| job)
    }

    pub(crate) fn state(&self, key: &Arc<Entity>) -> Option<ScheduleState> {
        self.shared.book().state(key, self.shared.clock.now())
    }

    /// Stops new runs from now on and drops the jobs, whose handlers may hold the service.
    pub(crate) fn stop(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        let now = self.shared.clock.now();
        let (paused, jobs, looked_until) = {
            let mut book = self.shared.book();
            (book.paused_in_vain(now), book.close(), book.looked_until())
        };
        for (job, span) in paused {
            self.shared.missed.note(&job, MissedReason::Paused, span);
        }
        self.shared.drop_made_up();
        self.shared.missed.left(looked_until.unwrap_or(now.wall));
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
    /// Returns whether the scheduler has a job that was just registered with a schedule: a moment later it has.
    pub(crate) fn has(&self, key: &Arc<Entity>) -> bool {
        self.0.book().job(key).is_some()
    }

    /// Notes what a job has missed before its registration, and takes charge unless there is something to make up for:
    /// those runs join `made_up`, to begin once the history has the others.
    pub(crate) fn catch_up(
        &self,
        key: &Arc<Entity>,
        earlier: &Earlier,
        registered: Registered,
        made_up: &mut Vec<Due>,
    ) {
        let (shared, at) = (&self.0, registered.at);
        if shared.stop.is_cancelled() {
            // The next process looks back.
            return;
        }
        let known = shared.book().job(key);
        let schedule = known.as_ref().map(|(_, schedule)| schedule);
        let caught_up = catch_up(earlier, schedule, at);
        for (reason, span) in caught_up.missed.iter().rev() {
            shared.missed.note(key, *reason, *span);
        }
        // What is missed from now on is later than what is owed.
        shared.missed.end_superseded(key);
        match known.filter(|_| !caught_up.runs.is_empty()) {
            None => shared.missed.took(key, registered),
            Some((job, _)) => made_up.push(Due {
                job,
                due_at: caught_up.runs,
                takes_charge: Some(registered),
            }),
        }
        // Log last: a log subscriber may panic.
        say_what_was_missed(key, earlier, &caught_up.missed);
    }

    /// Begins what makes up for earlier runs.
    pub(crate) fn begin(&self, made_up: Vec<Due>) {
        let shared = &self.0;
        shared.made_up().extend(made_up);
        shared.bell.notify_one();
        if shared.stop.is_cancelled() {
            shared.drop_made_up();
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
            turn.begin.extend(shared.made_up_to_begin());
            shared.note(turn.in_vain);
            // At once: it may be long until the next turn.
            drop_each(turn.gone);
            for due in turn.begin {
                // The scheduler was stopped meanwhile.
                if shared.stop.is_cancelled() {
                    shared.note_unbegun(&due);
                    continue;
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

fn say_what_was_missed(job: &Entity, earlier: &Earlier, missed: &[(MissedReason, Span)]) {
    if let Some(session) = earlier.elsewhere {
        tracing::warn!(%job, other.session.id = %session, "another process schedules the same job");
    }
    for (reason, span) in missed.iter().rev() {
        let (missed, reason) = (span.count, reason.as_str());
        tracing::warn!(%job, missed, reason, "runs were missed while no process had the job");
    }
}

fn say(missed: &[(Arc<Entity>, u64)], begun_anew: usize) {
    if begun_anew > 0 {
        tracing::warn!(
            schedules = begun_anew,
            "the wall clock was set back by hours; schedules that go by it start over"
        );
    }
    for (job, missed) in missed {
        tracing::warn!(%job, missed, "runs were missed");
    }
}

async fn wait_for(now: Instant, wait: Option<Duration>) {
    match wait.and_then(|wait| now.checked_add(wait)) {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
