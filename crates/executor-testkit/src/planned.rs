//! What the in-memory store knows about schedules.

use std::collections::HashMap;

use executor_core::ports::{InForce, MissedRuns, Pause};
use executor_core::{RegistrationId, SessionId, Timestamp};

/// What schedules planned, and for whom.
#[derive(Default)]
pub(crate) struct Schedules {
    pub(crate) plans: Vec<Planned>,
    pub(crate) registered: Vec<HadIt>,
    pub(crate) missed: Vec<MissedRuns>,
    pub(crate) pauses: Vec<Pause>,
    /// The time up to which all of a job's planned runs are dealt with.
    pub(crate) begun_until: HashMap<RegistrationId, Timestamp>,
    /// The time after which a job's planned runs wait in line.
    pub(crate) waits_after: HashMap<RegistrationId, Timestamp>,
}

pub(crate) struct Planned {
    pub(crate) job: RegistrationId,
    pub(crate) in_force: InForce,
}

pub(crate) struct HadIt {
    pub(crate) session: SessionId,
    pub(crate) id: RegistrationId,
    pub(crate) from: Timestamp,
    pub(crate) until: Option<Timestamp>,
}
