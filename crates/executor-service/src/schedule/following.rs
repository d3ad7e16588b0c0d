//! How far this session has followed the schedules of its jobs, where the history cannot see it: runs that wait in line
//! have no row yet, and of runs that are not recorded there never is one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Followed;
use executor_core::{Entity, RegistrationId, SessionId, Timestamp};

#[derive(Default)]
pub(super) struct Following {
    jobs: HashMap<Arc<Entity>, Job>,
}

#[derive(Default)]
struct Job {
    /// Its row, once this session is in charge of it.
    id: Option<RegistrationId>,
    /// The due times of runs that may wait in line: those that have not ended.
    unended: BTreeSet<Timestamp>,
    /// The greatest due time of a run that began and that the history does not have.
    unrecorded: Option<Timestamp>,
    /// What the store knows: up to when all have begun, and after when some wait.
    told: (Option<Timestamp>, Option<Timestamp>),
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

    /// Notes that a run has begun of which there may be no record.
    pub(super) fn ran_unrecorded(&mut self, entity: &Arc<Entity>, due: Timestamp) {
        let job = self.jobs.entry(Arc::clone(entity)).or_default();
        job.unrecorded = job.unrecorded.max(Some(due));
    }

    /// Returns what the store does not know. After `left_at` no planned run begins.
    pub(super) fn untold(&self, session: SessionId, left_at: Option<Timestamp>) -> Vec<Followed> {
        let untold = self.jobs.values().filter_map(|job| {
            let (begun_until, waits_after) = (job.unrecorded, job.waits_after());
            // What has waited and does not any more counts until the end.
            let waits_after = waits_after.or_else(|| left_at.filter(|_| job.told.1.is_some()));
            let is_told = job.told == (begun_until, waits_after);
            (!is_told).then_some(Followed {
                id: job.id?,
                session,
                begun_until,
                waits_after,
            })
        });
        untold.collect()
    }

    /// Marks this as known to the store.
    pub(super) fn told(&mut self, known: &[Followed]) {
        for job in self.jobs.values_mut() {
            let its = known.iter().find(|it| Some(it.id) == job.id);
            if let Some(its) = its {
                job.told = (its.begun_until, its.waits_after);
            }
        }
    }
}

#[cfg(test)]
mod tests;
