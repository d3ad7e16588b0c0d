//! What an explanation says.

use executor_core::ports::{
    MissedReason, MissedRuns, Pause, RunningExecution, SchedulePlan, SessionStatus, StoredExecution,
};
use executor_core::{Status, Timestamp};

/// Why something ran or did not run, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// It ran.
    Ran {
        /// The execution that was due, or else began, nearest to the time.
        execution: Box<StoredExecution>,
        /// The number of others around that time.
        others: u64,
    },
    /// It has begun and not ended.
    Running {
        /// The execution.
        execution: RunningExecution,
        /// False if its process has died: then it was interrupted, and no row says so yet.
        is_alive: bool,
    },
    /// A guard or an overlap rule kept it from running.
    Skipped {
        /// The record that says so.
        execution: Box<StoredExecution>,
        /// The number of others around that time.
        others: u64,
    },
    /// It was planned and did not run.
    Missed(MissedRuns),
    /// It was paused.
    Paused(Pause),
    /// It had been removed from the program by then.
    Removed {
        /// The time of the removal.
        at: Timestamp,
    },
    /// Its schedule planned nothing for that time.
    NotDue {
        /// The schedule in force then.
        plan: SchedulePlan,
        /// The next time that it planned.
        next: Option<Timestamp>,
    },
    /// It has no schedule, and nobody triggered it.
    OnDemand,
    /// No event reached it.
    NoEvent,
    /// No process was alive.
    NoProcess {
        /// The last sign of life before that.
        since: Option<Timestamp>,
        /// How the previous process ended, if there was one: `running` if nobody knows, because none has begun
        /// since.
        how: Option<SessionStatus>,
        /// The start of the next process.
        until: Option<Timestamp>,
    },
    /// It was not registered until later.
    NotRegistered,
    /// Nothing of that name is in the history.
    NeverHeardOf,
    /// It may have run, and its record is not there.
    CannotTell(Vec<Doubt>),
}

/// A reason for which nobody can tell whether something ran.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// This many records of that time were lost.
    Lost {
        /// Their number.
        count: u64,
    },
    /// This many rows from around that time were pruned.
    Pruned {
        /// Their number.
        count: u64,
    },
    /// The session's recording policy left out this many records.
    LeftOut {
        /// Their number.
        count: u64,
    },
    /// This many records have not reached the history yet.
    Waiting {
        /// Their number.
        count: u64,
    },
    /// A spool cannot be read.
    Unreadable,
    /// There is more around that time than was looked at.
    TooMany,
    /// It was due, and nothing says why it did not run.
    Unexplained,
}

impl Explanation {
    /// Returns it as one sentence about `what`; `show` formats times.
    pub fn sentence(&self, what: &str, show: impl Fn(Timestamp) -> String) -> String {
        match self {
            Self::Ran { execution, others } => {
                let record = &execution.record;
                let ended = ended(record.status);
                let (begun, id) = (show(record.started_at), record.execution_id.short());
                format!(
                    "{what} ran at {begun} and {ended} ({id}){}{}.",
                    reason(execution),
                    beside(*others)
                )
            }
            Self::Running {
                execution,
                is_alive,
            } => {
                let (begun, id) = (show(execution.started_at), execution.execution_id.short());
                match is_alive {
                    true => format!("{what} has been running since {begun} ({id})."),
                    false => format!("{what} began at {begun} ({id}), and its process died."),
                }
            }
            Self::Skipped { execution, others } => {
                let at = show(execution.record.started_at);
                let id = execution.record.execution_id.short();
                format!(
                    "{what} was skipped at {at} ({id}){}{}.",
                    reason(execution),
                    beside(*others)
                )
            }
            Self::Missed(missed) => of_missed(what, missed, show),
            Self::Paused(pause) => {
                let whose = pause.entity.as_ref().map_or("the executor", |_| what);
                let until = pause.until.map(|until| format!(" until {}", show(until)));
                let (from, until) = (show(pause.from), until.unwrap_or_default());
                format!("{what} did not run: {whose} was paused from {from}{until}.")
            }
            Self::Removed { at } => {
                format!("{what} did not run: it was removed at {}.", show(*at))
            }
            Self::NotDue { plan, next } => {
                let next = next.map_or("nothing was planned after that".to_owned(), |next| {
                    format!("next was {}", show(next))
                });
                let text = plan
                    .text
                    .split_once(' ')
                    .map_or(
                        &*plan.text,
                        |(kind, rule)| {
                            if kind == "cron" { rule } else { &plan.text }
                        },
                    );
                let zone = plan.time_zone.as_deref().map(|zone| format!(" {zone}"));
                let zone = zone.unwrap_or_default();
                format!("{what} was not due: its schedule was `{text}{zone}`; {next}.")
            }
            Self::OnDemand => {
                format!("{what} did not run: it has no schedule, and nobody triggered it.")
            }
            Self::NoEvent => format!("{what} did not run: no event reached it."),
            Self::NoProcess { since, how, until } => {
                let ended = match how {
                    Some(SessionStatus::Crashed) => "was killed",
                    Some(SessionStatus::Running) => "was last heard of",
                    _ => "ended",
                };
                let since = since.map(|since| format!("; the last one {ended} at {}", show(since)));
                let until = until.map(|until| format!("; the next one began at {}", show(until)));
                let (since, until) = (since.unwrap_or_default(), until.unwrap_or_default());
                format!("{what} did not run: no process was alive{since}{until}.")
            }
            Self::NotRegistered => {
                format!("{what} did not run: it was not registered until later.")
            }
            Self::NeverHeardOf => format!("{what} is not in this history."),
            Self::CannotTell(doubts) => {
                let doubts: Vec<String> = doubts.iter().map(Doubt::text).collect();
                format!("cannot tell whether {what} ran: {}.", doubts.join("; "))
            }
        }
    }
}

impl Doubt {
    fn text(&self) -> String {
        match self {
            Self::Lost { count: 1 } => "1 record from that time was lost".into(),
            Self::Lost { count } => format!("{count} records from that time were lost"),
            Self::Pruned { count: 1 } => "1 record from around that time was pruned".into(),
            Self::Pruned { count } => format!("{count} records from around that time were pruned"),
            Self::LeftOut { count } => {
                format!("the recording policy of that session left out {count} records")
            }
            Self::Waiting { count: 1 } => {
                "1 record waits in the spool and is not in the history yet".into()
            }
            Self::Waiting { count } => {
                format!("{count} records wait in the spool and are not in the history yet")
            }
            Self::Unreadable => "a spool of this machine cannot be read".into(),
            Self::TooMany => "there are too many executions around that time".into(),
            Self::Unexplained => {
                "it was due, and the history does not say why it did not run".into()
            }
        }
    }
}

fn reason(execution: &StoredExecution) -> String {
    let failure = execution.record.failure.as_deref();
    failure.map_or_else(String::new, |failure| format!(": {}", failure.message))
}

fn beside(others: u64) -> String {
    match others {
        0 => String::new(),
        1 => "; one more around that time".into(),
        others => format!("; {others} more around that time"),
    }
}

fn of_missed(what: &str, missed: &MissedRuns, show: impl Fn(Timestamp) -> String) -> String {
    let why = match missed.reason {
        MissedReason::NoProcess => "no process was running its schedule",
        MissedReason::Asleep => "the machine slept",
        MissedReason::HeldUp => "the process was held up",
        MissedReason::ClockSet => "the clock was set past its time",
        MissedReason::Paused => "it was paused",
        MissedReason::Superseded => "a later run made up for it",
        _ => missed.reason.as_str(),
    };
    let (first, last) = (show(missed.first_due), show(missed.last_due));
    match missed.count {
        1 => format!("{what} was due at {first} and did not run: {why}."),
        count => format!(
            "{what} did not run: {why}; {count} runs were missed, due from {first} to {last}."
        ),
    }
}

/// How an execution ended, as a predicate.
const fn ended(status: Status) -> &'static str {
    match status {
        Status::Success => "succeeded",
        Status::Error => "failed",
        Status::TimedOut => "timed out",
        Status::Cancelled => "was cancelled",
        Status::Panicked => "panicked",
        Status::Skipped => "was skipped",
        Status::Interrupted => "was interrupted",
    }
}
