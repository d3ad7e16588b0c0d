//! What the in-memory store knows of schedules.

use executor_core::ports::{MissedRuns, Pause, SchedulePlan};
use executor_core::{RegistrationId, SessionId, Timestamp};

/// What schedules planned, and for whom.
#[derive(Default)]
pub(crate) struct Schedules {
    pub(crate) plans: Vec<InForce>,
    pub(crate) registered: Vec<HadIt>,
    pub(crate) missed: Vec<MissedRuns>,
    pub(crate) pauses: Vec<Pause>,
}

pub(crate) struct InForce {
    pub(crate) job: RegistrationId,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
    pub(crate) plan: SchedulePlan,
}

pub(crate) struct HadIt {
    pub(crate) session: SessionId,
    pub(crate) id: RegistrationId,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
}
