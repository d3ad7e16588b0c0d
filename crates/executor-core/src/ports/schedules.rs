//! The port for what schedules planned: by which rule, and which runs did not happen.

use std::sync::Arc;
use std::time::Duration;

use crate::identity::{Entity, RegistrationId, SessionId};
use crate::ports::error::StoreFuture;
use crate::time::Timestamp;

/// The reason why planned runs neither began nor were skipped.
///
/// ```
/// use executor_core::ports::MissedReason;
///
/// assert_eq!(MissedReason::NoProcess.as_str(), "no_process");
/// assert_eq!(MissedReason::parse("paused"), Some(MissedReason::Paused));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissedReason {
    /// No process was running its schedule: none was alive, or it was stopping.
    NoProcess,
    /// The machine slept.
    Asleep,
    /// The process was stopped, or could not keep up.
    HeldUp,
    /// The wall clock was set past the time.
    ClockSet,
    /// The schedule, the job or the executor was paused.
    Paused,
    /// A later run made up for them.
    Superseded,
}

impl MissedReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::NoProcess,
        Self::Asleep,
        Self::HeldUp,
        Self::ClockSet,
        Self::Paused,
        Self::Superseded,
    ];

    /// Returns its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoProcess => "no_process",
            Self::Asleep => "asleep",
            Self::HeldUp => "held_up",
            Self::ClockSet => "clock_set",
            Self::Paused => "paused",
            Self::Superseded => "superseded",
        }
    }

    /// Returns the reason with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// An episode of missed runs: of one job, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedRuns {
    /// The session that noticed; `None` once that is gone from the history.
    pub session: Option<SessionId>,
    /// The job.
    pub entity: Arc<Entity>,
    /// The reason.
    pub reason: MissedReason,
    /// The number of runs.
    pub count: u64,
    /// The time at which the first was due, before jitter.
    pub first_due: Timestamp,
    /// The time at which the last was due, before jitter.
    pub last_due: Timestamp,
}

/// A pause of a listener, a job, a job's schedule or the whole executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The session in which it happened.
    pub session: SessionId,
    /// The listener or job; `None` for the whole executor.
    pub entity: Option<Arc<Entity>>,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end; `None` if it is still going on, or ended with its session.
    pub until: Option<Timestamp>,
}

/// A schedule as the history keeps it, so that its planned times can be worked out later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulePlan {
    /// Its kind and rule, such as `cron 30 2 * * *` or `every 10s`.
    pub text: String,
    /// The time zone of a cron line.
    pub time_zone: Option<String>,
    /// The greatest delay of a run.
    pub jitter: Duration,
    /// The handling of missed runs, as `Missed` names it.
    pub missed: String,
    /// Whether that also covers the time in which no process ran.
    pub is_persistent: bool,
}

/// A schedule that a job had for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The schedule.
    pub plan: SchedulePlan,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end; `None` if the job has it now.
    pub until: Option<Timestamp>,
}

/// A registration that a session has from a certain time on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The listener or job.
    pub id: RegistrationId,
    /// The session.
    pub session: SessionId,
    /// The time of the registration.
    pub at: Timestamp,
    /// The schedule of a job; `None` for a listener, and for a job that runs on demand.
    pub plan: Option<SchedulePlan>,
}

/// How far a session has followed a job's schedule, where neither its signs of life nor its executions show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The job.
    pub id: RegistrationId,
    /// The session, which is in charge of it.
    pub session: SessionId,
    /// The last time up to which every planned run has begun, was skipped, or is recorded as missed; some of their
    /// executions are not kept. `None` if the history has them all.
    pub begun_until: Option<Timestamp>,
    /// The time after which planned runs still wait for earlier ones: they may never begin. `None` if none waits.
    pub waits_after: Option<Timestamp>,
}

/// What is known of a job from before a registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Its schedule at that time.
    pub plan: Option<SchedulePlan>,
    /// The time at which that ended, if it ended before the registration: the job was removed.
    pub until: Option<Timestamp>,
    /// The last time at which a session was in charge of it.
    pub alive_until: Option<Timestamp>,
    /// The planned times that have been dealt with, in ranges from the first to the last, in no order: of runs in the
    /// history, and of those known to be missed. The latest thousand of each suffice.
    pub dealt_with: Vec<(Timestamp, Timestamp)>,
    /// A session of another process that is in charge of it now.
    pub elsewhere: Option<SessionId>,
}

/// Keeps the schedules and the planned runs that did not happen. A store that keeps none of this need not implement the
/// methods; then nobody can tell which runs were missed while no process ran.
pub trait ScheduleStore: Send + Sync + 'static {
    /// Notes that a job has this schedule, or none, from now on. Its earlier schedule ends if it was a different one.
    /// Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn note_schedule(&self, _registered: Registered) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Notes that a session has registrations, and that it is in charge of those that are jobs: what was planned before
    /// a registration is recorded, and what is planned from then on is the session's own to begin or to record. Plans
    /// are ignored. Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed; [`Dangling`](crate::ErrorClass::Dangling) if a session has no row.
    fn take_charge(&self, _registered: Vec<Registered>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Notes that a session begins no planned run after a time, although it goes on until it has shut down. Any charge that it took
    /// later ends at once. Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn leave_charge(&self, _session: SessionId, _at: Timestamp) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Notes how far sessions have followed schedules, until they say otherwise. Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn note_followed(&self, _followed: Vec<Followed>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns what is known of a job from before a registration. Its plan is ignored. Changes nothing.
    ///
    /// # Errors
    ///
    /// It could not be read.
    fn earlier(&self, _registered: Registered) -> StoreFuture<'_, Earlier> {
        Box::pin(std::future::ready(Ok(Earlier::default())))
    }

    /// Records missed runs. An episode with the job, reason and first time of a recorded one replaces it. Idempotent;
    /// the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn record_missed(&self, _missed: Vec<MissedRuns>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Records pauses. One with the session, beginning and target of a recorded one replaces it. Idempotent; the
    /// caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn record_pauses(&self, _pauses: Vec<Pause>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
