//! Works out what a schedule requires at a given time: pure functions of times, without a clock, a runtime or a
//! job.

use std::collections::VecDeque;
use std::time::Duration;

use executor_core::Timestamp;
use executor_core::time::micros;

use super::missed_log::Span;
use super::{Kind, Missed, Schedule};

/// The latest that a run may begin and still count as planned. Longer than a set wall clock or a waking machine
/// can go unnoticed.
const NOT_LATE: Duration = Duration::from_secs(60);

/// The largest step back of the wall clock for which schedules wait; beyond it they begin anew. As in cron.
pub(super) const SET_BACK: Duration = Duration::from_secs(3 * 3_600);

/// A schedule that has begun, for one job.
#[derive(Clone, Debug)]
pub(super) struct Series {
    schedule: Schedule,
    began: Timestamp,
    seed: u64,
}

/// A run that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// The time that the schedule names.
    pub(super) planned: Timestamp,
    /// The time at which it begins, jitter included.
    pub(super) due: Timestamp,
}

/// The actions that a schedule requires now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The planned times of the runs to begin now, in their order.
    pub(super) runs: Vec<Timestamp>,
    /// The number of further runs that were due and are skipped. If there were more than some ten thousand, only
    /// those that were counted.
    pub(super) missed: u64,
    /// The first and the last of these, by their planned times.
    pub(super) missed_span: Option<Span>,
    /// Everything up to here is dealt with; pass it back the next time.
    pub(super) last: Timestamp,
    /// The next run; `None` if there is none.
    pub(super) next: Option<Occurrence>,
}

impl Plan {
    /// Returns all that was due, skipped or not.
    pub(super) fn all(&self) -> Option<Span> {
        let skipped = self.missed_span.map(|span| (span.first, span.last));
        let first = skipped.map(|(first, _)| first);
        let last = skipped.map(|(_, last)| last);
        Some(Span {
            count: self.missed + self.runs.len() as u64,
            first: first.or(self.runs.first().copied())?,
            last: self.runs.last().copied().or(last)?,
        })
    }
}

impl Series {
    pub(super) const fn new(schedule: Schedule, began: Timestamp, seed: u64) -> Self {
        Self {
            schedule,
            began,
            seed,
        }
    }

    /// Returns whether a run may make up for earlier ones.
    pub(super) fn makes_up(&self) -> bool {
        self.schedule.missed != Missed::Skip
    }

    pub(super) const fn goes_by_wall_clock(&self) -> bool {
        self.schedule.goes_by_wall_clock()
    }

    /// Returns what to do at `now`, if everything up to `last` is dealt with.
    pub(super) fn plan(&self, last: Timestamp, now: Timestamp) -> Plan {
        let last = if last.saturating_sub(SET_BACK) > now {
            now
        } else {
            last
        };
        let mut due = self.due(last, now);
        let Some(newest) = due.newest.back().copied() else {
            let next = self.occurrence_after(last);
            return Plan {
                runs: Vec::new(),
                missed: 0,
                missed_span: None,
                last,
                next,
            };
        };
        let is_late = self.occurrence(newest).due.saturating_add(NOT_LATE) < now;
        if is_late && self.schedule.missed == Missed::Skip {
            due.newest.clear();
            due.left_out = Some(newest);
        }
        let missed = due.count - due.newest.len() as u64;
        let missed_span = due.left_out.and_then(|left_out| {
            let first = self.planned_after(last)?;
            Some(Span {
                count: missed,
                first,
                last: left_out,
            })
        });
        Plan {
            missed,
            missed_span,
            runs: due.newest.into(),
            last: newest,
            next: self.occurrence_after(newest),
        }
    }

    /// Returns how many runs may begin at once.
    fn keep(&self) -> usize {
        self.schedule.missed.at_most().max(1)
    }

    /// Returns the runs due after `last` and until `now`.
    fn due(&self, last: Timestamp, now: Timestamp) -> DueRuns {
        let keep = self.keep();
        // Two more: jitter may still delay the last one, and the last one to be left out has a time.
        let mut found = self.planned(last, now, keep + 2);
        let is_delayed = |planned: &Timestamp| self.occurrence(*planned).due > now;
        if found.newest.back().is_some_and(is_delayed) {
            found.newest.pop_back();
            found.count -= 1;
        }
        found.keep_newest(keep);
        found
    }

    /// Returns the first planned time after `from` and until `until`.
    pub(super) fn first_between(&self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.planned_after(from).filter(|first| *first <= until)
    }

    /// Returns what was planned after `from` and until `until`, none of which ran.
    pub(super) fn span(&self, from: Timestamp, until: Timestamp) -> Option<Span> {
        let planned = self.planned(from, until, 1);
        Some(Span {
            count: planned.count,
            first: self.first_between(from, until)?,
            last: *planned.newest.back()?,
        })
    }

    pub(super) const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn planned_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.planned_after(self.began, after)
    }

    fn occurrence_after(&self, after: Timestamp) -> Option<Occurrence> {
        let planned = self.planned_after(after)?;
        Some(self.occurrence(planned))
    }

    /// Adds the jitter, which depends on the seed and the planned time and ends before the next planned time, so
    /// runs keep their order.
    fn occurrence(&self, planned: Timestamp) -> Occurrence {
        let jitter = micros(self.schedule.jitter);
        if jitter == 0 {
            return Occurrence {
                planned,
                due: planned,
            };
        }
        let next = self.planned_after(planned);
        let room = next.map_or(i64::MAX, |next| next.as_micros() - planned.as_micros());
        let bound = jitter.min(room).unsigned_abs();
        // The next planned time is later, so there is room.
        let delay = self.random_at(planned).u64(0..bound.max(1));
        Occurrence {
            planned,
            due: planned.saturating_add(Duration::from_micros(delay)),
        }
    }

    /// Returns the random numbers of a planned time, always the same ones.
    fn random_at(&self, planned: Timestamp) -> fastrand::Rng {
        let number = planned.as_micros().cast_unsigned();
        fastrand::Rng::with_seed(self.seed.wrapping_add(number))
    }

    /// Returns the newest `keep` planned times after `last` and until `now`, whatever their jitter, and how many there
    /// are.
    pub(super) fn planned(&self, last: Timestamp, now: Timestamp, keep: usize) -> DueRuns {
        if let Kind::Every(interval) = self.schedule.kind {
            return intervals(interval, self.began, (last, now), keep);
        }
        if let Some(found) = self.walk((last, now), keep, WALK) {
            return found;
        }
        // Too many to check each one: the clock was set forward by years. Search for the newest ones from
        // the end.
        let mut back = Duration::from_secs(3_600);
        loop {
            let from = now.saturating_sub(back).max(last);
            let found = self.walk((from, now), keep, usize::MAX);
            let found = found.expect("a walk without bound comes to its end");
            if found.newest.len() >= keep || from == last {
                return DueRuns {
                    count: found.count.max(WALK as u64),
                    ..found
                };
            }
            back *= 2;
        }
    }

    /// Goes from one planned time to the next; `None` if there are more than `bound`.
    fn walk(
        &self,
        (last, now): (Timestamp, Timestamp),
        keep: usize,
        bound: usize,
    ) -> Option<DueRuns> {
        let mut found = DueRuns::default();
        let mut at = last;
        while let Some(planned) = self.planned_after(at).filter(|planned| *planned <= now) {
            if found.count as usize >= bound {
                return None;
            }
            found.add(planned, keep);
            at = planned;
        }
        Some(found)
    }
}

/// The maximum number of planned times checked one by one, which takes some milliseconds.
const WALK: usize = 10_000;

/// Planned times: the newest ones, and how many there are.
#[derive(Default)]
pub(super) struct DueRuns {
    pub(super) newest: VecDeque<Timestamp>,
    pub(super) count: u64,
    /// The last of those that were due and do not begin.
    pub(super) left_out: Option<Timestamp>,
}

impl Missed {
    /// Returns how many missed runs it makes up for.
    pub(super) fn at_most(self) -> usize {
        match self {
            Self::Skip => 0,
            Self::RunOnce => 1,
            Self::RunAll { at_most } => at_most.max(1) as usize,
        }
    }
}

impl DueRuns {
    /// Leaves out all but the newest.
    pub(super) fn keep_newest(&mut self, keep: usize) {
        while self.newest.len() > keep {
            self.left_out = self.newest.pop_front();
        }
    }

    fn add(&mut self, planned: Timestamp, keep: usize) {
        self.count += 1;
        self.newest.push_back(planned);
        if self.newest.len() > keep {
            self.newest.pop_front();
        }
    }
}

impl Schedule {
    /// Returns the first planned time after `after`, if the schedule began at `began`.
    pub(crate) fn planned_after(&self, began: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let once = |at: Timestamp| (at > after).then_some(at);
        match &self.kind {
            Kind::Every(interval) => interval_after(*interval, began, after),
            Kind::Cron(cron) => cron.next_after(after),
            Kind::Once(at) => once(*at),
            Kind::After(delay) => once(began.saturating_add(*delay)),
        }
    }

    /// Begins the schedule for one job.
    pub(super) fn begin(self, began: Timestamp) -> Series {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        Series::new(self, began, seed)
    }
}

/// Returns the first multiple of the interval after `after`, counted from `began` and excluding `began` itself.
fn interval_after(interval: Duration, began: Timestamp, after: Timestamp) -> Option<Timestamp> {
    let passed = passed(interval, began, after);
    nth(interval, began, passed + 1)
}

/// Returns how many intervals have passed.
fn passed(interval: Duration, began: Timestamp, until: Timestamp) -> u64 {
    let elapsed = i128::from(until.as_micros()) - i128::from(began.as_micros());
    let elapsed = u128::try_from(elapsed).unwrap_or_default();
    u64::try_from(elapsed / interval.as_micros()).unwrap_or(u64::MAX - 1)
}

fn nth(interval: Duration, began: Timestamp, number: u64) -> Option<Timestamp> {
    let elapsed = interval.as_micros().checked_mul(number.into())?;
    let at = i128::from(began.as_micros()).checked_add(i128::try_from(elapsed).ok()?)?;
    i64::try_from(at).ok().map(Timestamp::from_micros)
}

fn intervals(
    interval: Duration,
    began: Timestamp,
    (last, now): (Timestamp, Timestamp),
    keep: usize,
) -> DueRuns {
    let (first, end) = (passed(interval, began, last), passed(interval, began, now));
    let count = end.saturating_sub(first);
    let newest = (end - count.min(keep as u64)..end).filter_map(|n| nth(interval, began, n + 1));
    DueRuns {
        newest: newest.collect(),
        count,
        left_out: None,
    }
}

#[cfg(test)]
mod tests;
