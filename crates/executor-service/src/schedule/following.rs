//! How far this session has followed the schedules of its jobs, where the history cannot see it: runs that wait in line
//! have no row yet, and runs that are not recorded never have one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Followed;
use executor_core::{Entity, RegistrationId, SessionId, Timestamp};

#[derive(Default)]
pub(super) struct Following {
    jobs: HashMap<Arc<Entity>, Job>,
}

struct Job {
    /// Its row, once this session is in charge of it.
    id: Option<RegistrationId>,
    /// The due times of runs that may wait in line: those that have not ended.
    unended: BTreeSet<Timestamp>,
    /// The greatest due time of a run that began and that the history does not have.
    unrecorded: Option<Timestamp>,
    /// What the store knows, unless it was told something and has not answered.
    told: Option<State>,
}

/// The time up to which all have begun, and the time after which some wait.
type State = (Option<Timestamp>, Option<Timestamp>);

impl Default for Job {
    fn default() -> Self {
        Self {
            id: None,
            unended: BTreeSet::new(),
            unrecorded: None,
            told: Some((None, None)),
        }
    }
}

impl Job {
    fn waits_after(&self) -> Option<Timestamp> {
        let first = self.unended.first()?;
        Some(first.saturating_sub(Duration::from_micros(1)))
    }
}

impl Following {
    /// Follows a job that this session is in charge of.
    pub(super) fn took(&mut self, entity: &Arc<Entity>, id: RegistrationId) {
        self.jobs.entry(Arc::clone(entity)).or_default().id = Some(id);
    }

    pub(super) fn removed(&mut self, entity: &Arc<Entity>) {
        self.jobs.remove(entity);
    }

    /// Notes that a run may wait in line from now on.
    pub(super) fn waits(&mut self, entity: &Arc<Entity>, due: Timestamp) {
        let job = self.jobs.entry(Arc::clone(entity)).or_default();
        job.unended.insert(due);
    }

    /// Notes that a run has ended, or will not begin and is noted elsewhere.
    pub(super) fn ended(&mut self, entity: &Arc<Entity>, due: Timestamp) {
        if let Some(job) = self.jobs.get_mut(entity) {
            job.unended.remove(&due);
        }
    }

    /// Notes that a run has begun for which there may be no record.
    pub(super) fn ran_unrecorded(&mut self, entity: &Arc<Entity>, due: Timestamp) {
        let job = self.jobs.entry(Arc::clone(entity)).or_default();
        // Those that make up for others may be due long before.
        job.unrecorded = job.unrecorded.max(Some(due));
    }

    /// Returns what the store does not know and is to be told.
    pub(super) fn untold(&mut self, session: SessionId) -> Vec<Followed> {
        let untold = self.jobs.values_mut().filter_map(|job| {
            let waits_after = job.waits_after();
            // One that waits may be due before one that has begun: those that make up for others are.
            let vouched = waits_after.unwrap_or(Timestamp::MAX);
            let begun_until = job.unrecorded.map(|until| until.min(vouched));
            let id = job.id?;
            if job.told == Some((begun_until, waits_after)) {
                return None;
            }
            job.told = None;
            Some(Followed {
                id,
                session,
                begun_until,
                waits_after,
            })
        });
        untold.collect()
    }

    /// Marks this as known to the store.
    pub(super) fn told(&mut self, known: &[Followed]) {
        let known: HashMap<RegistrationId, &Followed> =
            known.iter().map(|it| (it.id, it)).collect();
        for job in self.jobs.values_mut() {
            if let Some(its) = job.id.and_then(|id| known.get(&id)) {
                job.told = Some((its.begun_until, its.waits_after));
            }
        }
    }
}

#[cfg(test)]
mod tests;
