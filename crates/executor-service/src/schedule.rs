//! Schedules that start jobs automatically. `plan` works out what a schedule requires at a given time, `cron` what
//! a cron line means, and `scheduler` waits for the times.
//!
//! A schedule neither knows nor waits for a store: a run that is due begins, and its record takes the usual path.

mod cron;

mod error;

mod state;

mod following;

pub(crate) mod missed_log;

mod plan;

mod kept;

mod catch_up;

mod book;

pub(crate) mod scheduler;

pub(crate) mod missed_reporter;

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::registration::ScheduleText;

pub use error::ScheduleError;
pub use state::ScheduleState;

use cron::Cron;

/// A rule for when a job runs automatically.
///
/// There are four kinds. [`every`](Self::every) and [`after`](Self::after) use elapsed time and ignore changes of
/// the wall clock; while the machine sleeps they stand still wherever the operating system's monotonic clock does.
/// [`cron`](Self::cron) and [`once`](Self::once) use the wall clock, and notice within 30 s that it was set or
/// that the machine woke up.
///
/// A run is an ordinary execution with the trigger mode `schedule`: if an earlier run is still going, the job's
/// overlap rule decides. A schedule begins when the job is registered and ends with the service; runs that fell
/// due while the program was not running are recorded as missed, and made up for if it is
/// [`persistent`](Self::persistent).
///
/// # When the clock changes
///
/// A cron line names *times of day* if none of its fields for seconds, minutes and hours begins with `*`. If a
/// time of day is skipped because the clock is set forward, it runs at the moment of the change, once, however
/// many such times there are; if it comes twice, it runs the first time. Any other line names a *rhythm* and runs
/// whenever the clock shows a matching time: not in a skipped hour, and twice in a repeated one. So `30 2 * * *`
/// runs once every day of the year and `*/15 * * * *` every quarter of an hour.
///
/// If the wall clock is set back by up to three hours for another reason, schedules wait until it shows times at
/// which they have not run; if it is set back further, they begin anew.
///
/// ```
/// use std::time::Duration;
/// use executor_service::{Missed, Schedule, ScheduleError};
///
/// # fn main() -> Result<(), ScheduleError> {
/// let poll = Schedule::every(Duration::from_secs(10)).jitter(Duration::from_secs(2));
/// let backup = Schedule::cron("30 2 * * *", "Europe/Berlin")?.missed(Missed::RunOnce);
/// assert_eq!(poll.text().label.as_deref(), Some("every 10s"));
/// assert_eq!(backup.text().label.as_deref(), Some("30 2 * * * Europe/Berlin"));
///
/// let wrong = Schedule::cron("30 25 * * *", "Europe/Berlin").unwrap_err();
/// assert!(wrong.to_string().contains("hours `25` at column 4"), "{wrong}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a schedule does nothing before a job is registered with it"]
pub struct Schedule {
    kind: Kind,
    jitter: Duration,
    /// `None` draws one for each job.
    seed: Option<u64>,
    missed: Missed,
    is_persistent: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Every(Duration),
    Cron(Box<Cron>),
    Once(Timestamp),
    After(Duration),
}

/// The handling of missed runs. A run is missed if it cannot begin within a minute of its time or before the next
/// one is due: because the machine slept, the wall clock was set forward, or something held up the runtime.
/// Skipped runs are counted in [`ScheduleState::missed`] and logged.
///
/// ```
/// use executor_service::Missed;
///
/// assert_eq!(Missed::default(), Missed::Skip);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// Skips them. The default: a run at an unexpected time surprises more than a skipped one.
    #[default]
    Skip,
    /// Runs once, however many were missed.
    RunOnce,
    /// Runs all of them, one after the other, whatever the job's overlap rule.
    RunAll {
        /// The maximum number to run, the latest ones. 0 counts as 1.
        at_most: u32,
    },
}

impl Missed {
    /// Returns its description for tables.
    fn text(self) -> String {
        match self {
            Self::Skip => "skipped".into(),
            Self::RunOnce => "run once".into(),
            Self::RunAll { at_most } => format!("run, at most {at_most}"),
        }
    }
}

/// The resolution of tokio's timers.
const SHORTEST: Duration = Duration::from_millis(1);

impl Schedule {
    /// Runs at intervals of elapsed time. The first run is one interval after the registration, and the runs do
    /// not drift. An interval of less than 1 ms is taken as 1 ms.
    pub fn every(interval: Duration) -> Self {
        Self::of(Kind::Every(interval.max(SHORTEST)))
    }

    /// Runs when the wall clock of a time zone shows certain times: `cron("30 2 * * *", "Europe/Berlin")`.
    ///
    /// The line has five fields: minutes, hours, days of the month, months and days of the week (0 and 7
    /// are Sunday), each a `*`, a list of numbers and ranges, or those with a step, such as `*/15`, which counts from
    /// the field's least number. Months and days of the week have names too, in their own fields. They mean the
    /// same as in Debian's cron: if either field of days begins with `*`, both must match, else one of them.
    /// A sixth field before them counts seconds, a seventh after them years, from 1970: `*/2` are the even ones. `L`
    /// is the last day, `LW` the last weekday, `15W` the weekday nearest to the 15th, `FRI#2` the second Friday,
    /// `5L` the last one. `@hourly`, `@daily` or `@midnight`, `@weekly`, `@monthly` and `@yearly` or `@annually`
    /// stand for whole lines.
    ///
    /// The zone is named as in the IANA database, a copy of which is built in for machines without one, or is
    /// `local`: the system's own.
    ///
    /// # Errors
    ///
    /// A field is invalid (the error names its column), the times never come, or the time zone does not exist.
    pub fn cron(line: &str, time_zone: &str) -> Result<Self, ScheduleError> {
        let cron = Cron::parse(line, time_zone)?;
        Ok(Self::of(Kind::Cron(Box::new(cron))))
    }

    /// Runs once, at a time of the wall clock; never, if that has passed when the job is registered.
    pub fn once(at: impl Into<Timestamp>) -> Self {
        Self::of(Kind::Once(at.into()))
    }

    /// Runs once, `delay` after the registration.
    pub fn after(delay: Duration) -> Self {
        Self::of(Kind::After(delay))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            jitter: Duration::ZERO,
            seed: None,
            missed: Missed::default(),
            is_persistent: false,
        }
    }

    /// Delays each run by a random time up to `at_most`, drawn anew for each run and job, so that not everything
    /// begins at once. No run is delayed beyond the next one. Default: none.
    pub const fn jitter(mut self, at_most: Duration) -> Self {
        self.jitter = at_most;
        self
    }

    /// Sets the seed of the jitter: with the same seed each run has the same delay. Default: a random seed for
    /// each job.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the handling of missed runs. Default: [`Missed::Skip`].
    pub const fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// Makes the rule for missed runs also cover the time in which no process had the job, as far as the history
    /// knows it: for [`cron`](Self::cron) and [`once`](Self::once), which go by the wall clock. The others begin anew
    /// with each process. Default: what was planned while no process ran is recorded as missed and not made up for.
    pub const fn persistent(mut self) -> Self {
        self.is_persistent = true;
        self
    }

    /// Returns the times planned after `from` if a job were registered then, without jitter.
    ///
    /// ```
    /// use executor_core::Timestamp;
    /// use executor_service::Schedule;
    ///
    /// # fn main() -> Result<(), executor_service::ScheduleError> {
    /// let new_year = Timestamp::from_micros(1_767_225_600_000_000); // 2026-01-01T00:00:00Z
    /// let noon = Schedule::cron("0 12 * * *", "UTC")?;
    /// let first = noon.upcoming(new_year).next().expect("it comes every day");
    /// assert_eq!(first.as_micros() - new_year.as_micros(), 12 * 3_600_000_000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn upcoming(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let next = move |after| self.planned_after(from, after);
        std::iter::successors(next(from), move |after| next(*after))
    }

    /// Returns the text that the history keeps for it.
    pub fn text(&self) -> ScheduleText {
        let (trigger_type, label) = match &self.kind {
            Kind::Every(interval) => ("interval", format!("every {}", in_words(*interval))),
            Kind::Cron(cron) => ("cron", cron.to_string()),
            Kind::Once(at) => ("once", format!("once at {}", in_utc(*at))),
            Kind::After(delay) => ("after", format!("after {}", in_words(*delay))),
        };
        let mut detail = label.clone();
        if !self.jitter.is_zero() {
            detail += &format!(", jitter up to {}", in_words(self.jitter));
        }
        detail += &format!(", missed runs: {}", self.missed.text());
        if self.is_persistent {
            detail += ", also while no process ran";
        }
        ScheduleText {
            trigger_type: trigger_type.into(),
            label: Some(label),
            detail: Some(detail),
        }
    }

    /// Returns whether it uses the wall clock rather than elapsed time.
    pub(crate) const fn goes_by_wall_clock(&self) -> bool {
        matches!(self.kind, Kind::Cron(_) | Kind::Once(_))
    }

    /// Returns whether it plans runs at an interval.
    pub(crate) const fn is_interval(&self) -> bool {
        matches!(self.kind, Kind::Every(_))
    }
}

/// Returns the text that the history keeps for a job's schedule.
pub(crate) fn text_of(schedule: Option<&Schedule>) -> ScheduleText {
    schedule.map_or_else(ScheduleText::manual, Schedule::text)
}

fn in_words(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |signed| format!("{signed:#}"))
}

fn in_utc(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(
        |_| format!("{} us", at.as_micros()),
        |instant| instant.to_string(),
    )
}

#[cfg(test)]
mod tests;
