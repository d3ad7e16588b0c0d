//! Keeps all schedules of a service in the order of their times, and says which job is due. It knows neither clock
//! nor runtime; its owner passes in the time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{MissedReason, Registered};
use executor_core::time::Moment;
use executor_core::{Entity, Job, Timestamp};

use super::missed_log::Span;
use super::plan::{Occurrence, SET_BACK, Series};
use super::{Schedule, ScheduleState};
use crate::registration::handle::JobHandle;

/// The minimum time between two logs of a job's missed runs.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The difference of the two clocks up to which nobody has set the wall clock since the start.
const CLOCKS_AGREE: Duration = Duration::from_secs(1);

/// Runs of a job that begin now, one after the other.
pub(crate) struct Due {
    pub(crate) job: JobHandle,
    /// The times at which they were due, before jitter, as the wall clock shows them.
    pub(crate) due_at: Vec<Timestamp>,
    /// This session is in charge of the job as soon as the last of them begins; before that, whoever comes next owes
    /// the runs.
    pub(crate) takes_charge: Option<Registered>,
}

impl Due {
    pub(crate) fn entity(&self) -> &Arc<Entity> {
        &self.job.job().registration.entity
    }

    /// All of them in a row.
    pub(super) fn span(&self) -> Option<Span> {
        Some(Span {
            count: self.due_at.len() as u64,
            first: *self.due_at.first()?,
            last: *self.due_at.last()?,
        })
    }
}

/// The result of checking the clock.
#[derive(Default)]
pub(super) struct Turn {
    /// Runs that begin now, in order.
    pub(super) begin: Vec<Due>,
    /// The time until the next run, unless the wall clock is set; `None` if no run follows.
    pub(super) wait: Option<Duration>,
    /// Jobs with missed and skipped runs, and how many there were since the last report.
    pub(super) missed: Vec<(Arc<Entity>, u64)>,
    /// What was planned and did not run, for the history.
    pub(super) in_vain: Vec<(Arc<Entity>, MissedReason, Span)>,
    /// The number of schedules that begin anew because the wall clock was set back by hours.
    pub(super) begun_anew: usize,
    /// Cancelled jobs that left the book. Like all jobs that leave, they are for the caller to drop, without the
    /// book's lock: a handler's destructor is user code and may use the service.
    pub(super) gone: Vec<JobHandle>,
}

/// The schedules of a service.
pub(super) struct Book {
    /// The longest time until the book notices that the wall clock was set or the machine slept.
    look_again: Duration,
    /// The zero point of elapsed time, which is written as the wall clock would show it had nobody set it since.
    origin: Moment,
    jobs: HashMap<Arc<Entity>, Entry>,
    by_wall_clock: Queue,
    by_elapsed_time: Queue,
    /// The latest time that the wall clock has shown since it was set back far.
    latest: Timestamp,
    /// The wall clock minus elapsed time, in microseconds, since somebody set the wall clock; 0 before.
    set_by_us: i64,
    /// The clocks at the last turn, with the time since the machine started if that is known.
    seen: Option<(Moment, Option<Duration>)>,
    /// The reason for which runs are late at this turn.
    lateness: MissedReason,
    entered: u64,
    is_closed: bool,
}

/// Jobs that use the same clock, by due time and, for equal times, by order of entry.
type Queue = BTreeMap<(Timestamp, u64), Arc<Entity>>;

struct Entry {
    job: JobHandle,
    series: Series,
    number: u64,
    last: Timestamp,
    next: Option<Occurrence>,
    is_paused: bool,
    missed: u64,
    /// The number of missed runs last logged, and when.
    said: Option<(u64, Timestamp)>,
}

/// A job that left the book. It is for the caller to drop, like those of a [`Turn`].
pub(super) struct Removed {
    pub(super) job: JobHandle,
    /// What was planned during its pause until now.
    pub(super) in_vain: Option<Span>,
    /// The wall clock's time until which its schedule had been followed.
    last: Option<Timestamp>,
}

impl Removed {
    const fn of(job: JobHandle) -> Self {
        Self {
            job,
            in_vain: None,
            last: None,
        }
    }
}

impl Book {
    pub(super) fn new(now: Moment, look_again: Duration) -> Self {
        Self {
            look_again,
            origin: now,
            jobs: HashMap::new(),
            by_wall_clock: Queue::new(),
            by_elapsed_time: Queue::new(),
            latest: now.wall,
            set_by_us: 0,
            seen: None,
            lateness: MissedReason::HeldUp,
            entered: 0,
            is_closed: false,
        }
    }

    /// Enters a job that was registered at `at`, and returns the earlier one with the same key that it replaces, or the
    /// job itself after [`close`](Self::close).
    pub(super) fn enter(
        &mut self,
        job: JobHandle,
        schedule: Schedule,
        at: Moment,
        now: Moment,
    ) -> Option<Removed> {
        if self.is_closed {
            return Some(Removed::of(job));
        }
        let key = Arc::clone(&job.job().registration.entity);
        // The same schedule goes on, with the delays that jitter has drawn. One that goes by elapsed time begins anew.
        let before = self.jobs.get(&key).map(|it| &it.series);
        let is_same = |it: &&Series| it.schedule().plan() == schedule.plan();
        let goes_on = before.filter(is_same).filter(|it| it.goes_by_wall_clock());
        let goes_on = goes_on.cloned();
        let replaced = self.remove(&key, now);
        let began = self.time(&schedule, at);
        self.entered += 1;
        // While the store noted the new one, the earlier one went on.
        let earlier = replaced.as_ref().and_then(|earlier| earlier.last);
        let earlier = earlier.filter(|_| goes_on.is_some());
        let series = goes_on.unwrap_or_else(|| schedule.begin(began));
        let entry = Entry {
            job,
            series,
            number: self.entered,
            // A run of the earlier one may be due and not have begun: jitter delays it, or nobody has looked yet.
            last: earlier.unwrap_or(began),
            next: None,
            is_paused: false,
            missed: 0,
            said: None,
        };
        self.jobs.insert(Arc::clone(&key), entry);
        match earlier {
            // A first look begins no run and misses none, and the caller holds the job.
            None => self.look_at(&key, at, &mut Turn::default()),
            Some(_) => self.look_soon(&key, at),
        }
        replaced
    }

    /// Works out from the clocks what has held up the runs that are late now.
    pub(super) fn mind_what_held_it_up(&mut self, now: Moment, since_boot: Option<Duration>) {
        let Some((then, boot_then)) = self.seen.replace((now, since_boot)) else {
            return;
        };
        let ran = now.monotonic.saturating_duration_since(then.monotonic);
        let passed = since_boot.zip(boot_then);
        let passed = passed.map_or(ran, |(now, then)| now.saturating_sub(then));
        let shown = between(then.wall, now.wall);
        self.lateness = if passed > ran + CLOCKS_AGREE {
            MissedReason::Asleep
        } else if shown > passed + CLOCKS_AGREE {
            MissedReason::ClockSet
        } else {
            MissedReason::HeldUp
        };
    }

    /// Returns a job that is neither cancelled nor removed, with its schedule.
    pub(super) fn job(&self, key: &Arc<Entity>) -> Option<(JobHandle, Schedule)> {
        let entry = self.jobs.get(key).filter(|it| !it.job.is_cancelled())?;
        Some((entry.job.clone(), entry.series.schedule().clone()))
    }

    /// Returns what the paused schedules have planned until now, and starts counting anew.
    pub(super) fn paused_in_vain(&mut self, now: Moment) -> Vec<(Arc<Entity>, Span)> {
        let paused = self.jobs.iter().filter(|(_, entry)| entry.is_paused);
        let keys: Vec<_> = paused.map(|(key, _)| Arc::clone(key)).collect();
        let spans = keys.into_iter().filter_map(|key| {
            let span = self.pass_over(&key, now)?;
            Some((key, span))
        });
        spans.collect()
    }

    /// Passes over what is planned until now, and returns it.
    fn pass_over(&mut self, key: &Arc<Entity>, now: Moment) -> Option<Span> {
        let entry = self.jobs.get(key)?;
        let until = self.time_of(&entry.series, now);
        let span = entry.series.span(entry.last, until);
        let span = span.map(|span| self.span_on_wall_clock(&entry.series, span, now));
        if let Some(entry) = self.jobs.get_mut(key) {
            entry.last = entry.last.max(until);
        }
        span
    }

    fn span_on_wall_clock(&self, series: &Series, span: Span, now: Moment) -> Span {
        Span {
            first: self.on_wall_clock(series, span.first, now),
            last: self.on_wall_clock(series, span.last, now),
            ..span
        }
    }

    /// Returns whether it is this job's schedule.
    pub(super) fn is_of(&self, key: &Arc<Entity>, job: &Arc<Job>) -> bool {
        let entry = self.jobs.get(key);
        entry.is_some_and(|entry| Arc::ptr_eq(entry.job.job(), job))
    }

    /// Removes a job and returns it.
    pub(super) fn remove(&mut self, key: &Arc<Entity>, now: Moment) -> Option<Removed> {
        let is_paused = self.jobs.get(key)?.is_paused;
        let in_vain = match is_paused {
            true => self.pass_over(key, now),
            false => None,
        };
        let entry = self.jobs.remove(key)?;
        self.leave_queue(&entry);
        let goes_by_wall_clock = entry.series.goes_by_wall_clock();
        Some(Removed {
            last: goes_by_wall_clock.then_some(entry.last),
            job: entry.job,
            in_vain,
        })
    }

    /// Returns the wall clock's time at the last turn: what was due until then has begun.
    pub(super) fn looked_until(&self) -> Option<Timestamp> {
        self.seen.map(|(seen, _)| seen.wall)
    }

    /// Removes all jobs and returns them; from now on no other can be entered.
    pub(super) fn close(&mut self) -> Vec<JobHandle> {
        self.is_closed = true;
        self.by_wall_clock.clear();
        self.by_elapsed_time.clear();
        self.jobs.drain().map(|(_, entry)| entry.job).collect()
    }

    /// Pauses a job: its runs do not begin and are not made up for. Returns whether the job is known.
    pub(super) fn pause(&mut self, key: &Arc<Entity>) -> bool {
        let entry = self.jobs.get_mut(key);
        entry.map(|entry| entry.is_paused = true).is_some()
    }

    pub(super) fn is_paused(&self, key: &Arc<Entity>) -> bool {
        self.jobs.get(key).is_some_and(|entry| entry.is_paused)
    }

    /// Resumes a job with the first run planned from now on. Returns whether the job is known.
    pub(super) fn resume(&mut self, key: &Arc<Entity>, now: Moment, turn: &mut Turn) -> bool {
        match self.jobs.get(key) {
            Some(entry) if entry.is_paused => {}
            other => return other.is_some(),
        }
        let in_vain = self.pass_over(key, now);
        let in_vain = in_vain.map(|span| (Arc::clone(key), MissedReason::Paused, span));
        turn.in_vain.extend(in_vain);
        if let Some(entry) = self.jobs.get_mut(key) {
            entry.is_paused = false;
        }
        self.look_at(key, now, turn);
        true
    }

    pub(super) fn state(&self, key: &Arc<Entity>, now: Moment) -> Option<ScheduleState> {
        let entry = self.jobs.get(key).filter(|it| !it.job.is_cancelled())?;
        let on_wall_clock = |next: Occurrence| self.on_wall_clock(&entry.series, next.due, now);
        Some(ScheduleState {
            next_run: entry.next.filter(|_| !entry.is_paused).map(on_wall_clock),
            missed: entry.missed,
            is_paused: entry.is_paused,
        })
    }

    /// Checks the clock and returns what to do.
    pub(super) fn turn(&mut self, now: Moment) -> Turn {
        let mut turn = Turn::default();
        self.mind_what_it_was_set_by(now);
        self.mind_the_wall_clock(now, &mut turn);
        let elapsed = self.elapsed(now);
        while let Some(key) = due(&self.by_wall_clock, now.wall) {
            self.look_at(&key, now, &mut turn);
        }
        while let Some(key) = due(&self.by_elapsed_time, elapsed) {
            self.look_at(&key, now, &mut turn);
        }
        let first = |queue: &Queue, now| {
            let ((due, _), _) = queue.first_key_value()?;
            Some(between(now, *due))
        };
        let wall = first(&self.by_wall_clock, now.wall);
        let wall = wall.map(|wait| wait.min(self.look_again));
        let waits = [wall, first(&self.by_elapsed_time, elapsed)];
        turn.wait = waits.into_iter().flatten().min();
        turn
    }

    /// Replans the schedules on the wall clock if it was set back far: earlier plans are void then.
    fn mind_the_wall_clock(&mut self, now: Moment, turn: &mut Turn) {
        if self.latest.saturating_sub(SET_BACK) <= now.wall {
            self.latest = self.latest.max(now.wall);
            return;
        }
        self.latest = now.wall;
        let keys: Vec<_> = self.by_wall_clock.values().cloned().collect();
        turn.begun_anew = keys.len();
        for key in keys {
            self.look_at(&key, now, turn);
        }
    }

    /// Has the next turn look at a job.
    fn look_soon(&mut self, key: &Arc<Entity>, now: Moment) {
        let Some(mut entry) = self.jobs.remove(key) else {
            return;
        };
        let due = self.time_of(&entry.series, now);
        entry.next = Some(Occurrence { planned: due, due });
        self.queue(&entry.series)
            .insert((due, entry.number), Arc::clone(key));
        self.jobs.insert(Arc::clone(key), entry);
    }

    /// Carries out a job's plan. A cancelled job is removed.
    fn look_at(&mut self, key: &Arc<Entity>, now: Moment, turn: &mut Turn) {
        let Some(mut entry) = self.jobs.remove(key) else {
            return;
        };
        self.leave_queue(&entry);
        if entry.job.is_cancelled() {
            turn.gone.push(entry.job);
            return;
        }
        let of_its_clock = self.time_of(&entry.series, now);
        let plan = entry.series.plan(entry.last, of_its_clock);
        (entry.last, entry.next) = (plan.last, plan.next);
        let in_vain = match entry.is_paused {
            true => plan.all().map(|span| (MissedReason::Paused, span)),
            false => {
                entry.missed += plan.missed;
                let is_made_up_for = entry.series.makes_up() && !plan.runs.is_empty();
                let reason = match is_made_up_for {
                    true => MissedReason::Superseded,
                    false => self.lateness,
                };
                plan.missed_span.map(|span| (reason, span))
            }
        };
        if let Some((reason, span)) = in_vain {
            let span = self.span_on_wall_clock(&entry.series, span, now);
            turn.in_vain.push((Arc::clone(key), reason, span));
        }
        if !plan.runs.is_empty() && !entry.is_paused {
            let due_at = plan.runs.into_iter();
            turn.begin.push(Due {
                job: entry.job.clone(),
                due_at: due_at
                    .map(|planned| self.on_wall_clock(&entry.series, planned, now))
                    .collect(),
                takes_charge: None,
            });
        }
        let unsaid = entry.unsaid(of_its_clock);
        turn.missed
            .extend(unsaid.map(|missed| (Arc::clone(key), missed)));
        if let Some(next) = entry.next {
            let place = (next.due, entry.number);
            self.queue(&entry.series).insert(place, Arc::clone(key));
        }
        self.jobs.insert(Arc::clone(key), entry);
    }

    fn leave_queue(&mut self, entry: &Entry) {
        if let Some(next) = entry.next {
            self.queue(&entry.series).remove(&(next.due, entry.number));
        }
    }

    const fn queue(&mut self, series: &Series) -> &mut Queue {
        if series.goes_by_wall_clock() {
            &mut self.by_wall_clock
        } else {
            &mut self.by_elapsed_time
        }
    }

    fn time_of(&self, series: &Series, now: Moment) -> Timestamp {
        if series.goes_by_wall_clock() {
            now.wall
        } else {
            self.elapsed(now)
        }
    }

    /// Returns the time that the wall clock shows, or would have shown, at a time of the series' clock.
    fn on_wall_clock(&self, series: &Series, at: Timestamp, now: Moment) -> Timestamp {
        if series.goes_by_wall_clock() {
            return at;
        }
        let measured = self.measured_us(now);
        let is_known = measured.abs_diff(self.set_by_us) < CLOCKS_AGREE.as_micros() as u64;
        let set_by = if is_known { self.set_by_us } else { measured };
        Timestamp::from_micros(at.as_micros().saturating_add(set_by))
    }

    fn measured_us(&self, now: Moment) -> i64 {
        let elapsed = self.elapsed(now).as_micros();
        now.wall.as_micros().saturating_sub(elapsed)
    }

    /// Notices that somebody has set the wall clock. The two clocks are not read at the same instant, so a small
    /// difference does not count, nor does it change a run's due time.
    fn mind_what_it_was_set_by(&mut self, now: Moment) {
        let measured = self.measured_us(now);
        if measured.abs_diff(self.set_by_us) >= CLOCKS_AGREE.as_micros() as u64 {
            self.set_by_us = measured;
        }
    }

    fn time(&self, schedule: &Schedule, now: Moment) -> Timestamp {
        if schedule.goes_by_wall_clock() {
            now.wall
        } else {
            self.elapsed(now)
        }
    }

    fn elapsed(&self, now: Moment) -> Timestamp {
        let elapsed = now
            .monotonic
            .saturating_duration_since(self.origin.monotonic);
        self.origin.wall.saturating_add(elapsed)
    }
}

impl Entry {
    /// Returns how many missed runs to log now, if a log is due.
    fn unsaid(&mut self, now: Timestamp) -> Option<u64> {
        let (said, at) = self.said.unwrap_or((0, Timestamp::from_micros(i64::MIN)));
        if self.missed == said || at.saturating_add(SAY_AGAIN) > now {
            return None;
        }
        self.said = Some((self.missed, now));
        Some(self.missed - said)
    }
}

fn due(queue: &Queue, now: Timestamp) -> Option<Arc<Entity>> {
    let ((due, _), key) = queue.first_key_value()?;
    (*due <= now).then(|| Arc::clone(key))
}

/// Returns the time from one moment to a later one.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    let micros = to.as_micros().saturating_sub(from.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}
