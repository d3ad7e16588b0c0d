//! Keeps missed runs and pauses until the store knows of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{Followed, MissedReason, MissedRuns, Pause, Registered};
use executor_core::{Entity, EntityKind, SessionId, Timestamp};
use tokio::sync::Notify;

use super::following::Following;

/// An episode goes on while the next missed run was due within this time after the last one.
const EPISODE: Duration = Duration::from_secs(3_600);

/// The number of episodes and pauses that wait for a store that does not answer. Beyond it the oldest are forgotten,
/// with a warning.
const WAITING_MAX: usize = 10_000;

/// Missed runs of one job, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) count: u64,
    /// The planned times of the first and the last of them.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Span {
    /// One run.
    pub(crate) const fn of(due_at: Timestamp) -> Self {
        Self {
            count: 1,
            first: due_at,
            last: due_at,
        }
    }
}

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    Executor,
    /// A job refuses all its commands.
    Job(Arc<Entity>),
    /// A job's schedule begins no runs.
    Schedule(Arc<Entity>),
}

/// What the store is to be told.
pub(crate) struct MissedLog {
    pub(crate) session: SessionId,
    state: Mutex<State>,
    /// Rung when there is something to tell or to ask.
    pub(crate) bell: Notify,
    /// Held while the store is told: older data must not overwrite newer.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The latest episode of each job and reason.
    current: HashMap<(Arc<Entity>, MissedReason), MissedRuns>,
    unwritten: Vec<MissedRuns>,
    open_pauses: Vec<(Paused, Timestamp)>,
    unwritten_pauses: Vec<Pause>,
    /// Jobs whose earlier sessions nobody has looked at yet.
    registered: Vec<(Arc<Entity>, Registered)>,
    /// Jobs that were registered in this session.
    known: HashSet<Arc<Entity>>,
    /// What this session has registered and looked back at, which the store does not know yet.
    untaken: Vec<Registered>,
    /// The time after which no planned run began: this session stops.
    left_at: Option<Timestamp>,
    following: Following,
    forgotten: usize,
}

/// What the store does not know yet.
#[derive(Clone, Default)]
pub(crate) struct Unwritten {
    pub(crate) runs: Vec<MissedRuns>,
    pub(crate) pauses: Vec<Pause>,
    /// Written after the runs that were missed before.
    pub(crate) taken: Vec<Registered>,
    /// Written once it is in charge.
    pub(crate) followed: Vec<Followed>,
    pub(crate) left_at: Option<Timestamp>,
}

impl MissedLog {
    pub(crate) fn new(session: SessionId) -> Self {
        Self {
            session,
            state: Mutex::default(),
            bell: Notify::new(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds missed runs, to the current episode if that goes on.
    pub(crate) fn note(&self, entity: &Arc<Entity>, reason: MissedReason, span: Span) {
        let mut state = self.state();
        let key = (Arc::clone(entity), reason);
        let current = state.current.get(&key).cloned();
        let continues = |it: &MissedRuns| {
            it.last_due.saturating_add(EPISODE) >= span.first && it.first_due <= span.first
        };
        let episode = match current.filter(continues) {
            Some(current) => MissedRuns {
                count: current.count + span.count,
                last_due: current.last_due.max(span.last),
                ..current
            },
            None => MissedRuns {
                session: Some(self.session),
                entity: Arc::clone(entity),
                reason,
                count: span.count,
                first_due: span.first,
                last_due: span.last,
            },
        };
        let is_same = |it: &MissedRuns| {
            (&it.entity, it.reason, it.first_due) == (entity, reason, episode.first_due)
        };
        state.unwritten.retain(|it| !is_same(it));
        state.unwritten.push(episode.clone());
        state.current.insert(key, episode);
        state.bound();
        drop(state);
        self.bell.notify_one();
    }

    /// Begins a pause. Idempotent.
    pub(crate) fn pause(&self, what: Paused, at: Timestamp) {
        let mut state = self.state();
        if state.open_pauses.iter().any(|(open, _)| *open == what) {
            return;
        }
        state.keep_pause(self.pause_of(&what, at, None));
        state.open_pauses.push((what, at));
        drop(state);
        self.bell.notify_one();
    }

    /// Ends a pause, if there is one.
    pub(crate) fn resume(&self, what: &Paused, at: Timestamp) {
        let mut state = self.state();
        let open = state.open_pauses.iter().position(|(open, _)| open == what);
        let Some(open) = open else { return };
        let (what, from) = state.open_pauses.remove(open);
        state.keep_pause(self.pause_of(&what, from, Some(at)));
        drop(state);
        self.bell.notify_one();
    }

    /// Ends all pauses.
    pub(crate) fn resume_all(&self, at: Timestamp) {
        let mut state = self.state();
        for (what, from) in std::mem::take(&mut state.open_pauses) {
            state.keep_pause(self.pause_of(&what, from, Some(at)));
        }
    }

    fn pause_of(&self, what: &Paused, from: Timestamp, until: Option<Timestamp>) -> Pause {
        let entity = match what {
            Paused::Executor => None,
            Paused::Job(entity) | Paused::Schedule(entity) => Some(Arc::clone(entity)),
        };
        Pause {
            session: self.session,
            entity,
            from,
            until,
        }
    }

    /// Adds a registration that the store knows now. Runs of a job may have been missed before it, unless this session
    /// had the job already.
    pub(crate) fn registered(&self, entity: &Arc<Entity>, registered: Registered) {
        let mut state = self.state();
        let mut unseen = state.registered.iter_mut();
        if let Some((_, earlier)) = unseen.find(|(it, _)| it == entity) {
            // Whoever looks back does so from the first registration, and makes up for runs by the latest schedule.
            earlier.plan = registered.plan;
        } else if !state.known.insert(Arc::clone(entity)) {
            // This session is in charge already.
            return;
        } else if entity.kind == EntityKind::Job {
            state.registered.push((Arc::clone(entity), registered));
        } else {
            state.untaken.push(registered);
            state.bound();
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Notes that a job has no schedule any more.
    pub(crate) fn unscheduled(&self, entity: &Arc<Entity>) {
        let mut state = self.state();
        let mut unseen = state.registered.iter_mut();
        if let Some((_, registered)) = unseen.find(|(it, _)| it == entity) {
            registered.plan = None;
        }
    }

    /// Forgets a job that was removed, and ends its pauses.
    pub(crate) fn removed(&self, entity: &Arc<Entity>, at: Timestamp) {
        self.looked_at(entity);
        let mut state = self.state();
        state.known.remove(entity);
        state.following.removed(entity);
        drop(state);
        self.resume(&Paused::Job(Arc::clone(entity)), at);
        self.resume(&Paused::Schedule(Arc::clone(entity)), at);
    }

    /// Notes that no planned run begins after a time.
    pub(crate) fn left(&self, at: Timestamp) {
        let mut state = self.state();
        if state.known.iter().any(|it| it.kind == EntityKind::Job) {
            state.left_at.get_or_insert(at);
            drop(state);
            self.bell.notify_one();
        }
    }

    /// Returns the jobs whose earlier sessions are to be looked at.
    pub(crate) fn to_look_at(&self) -> Vec<(Arc<Entity>, Registered)> {
        self.state().registered.clone()
    }

    /// Marks a job as looked at. Returns whether it still had to be looked at.
    pub(crate) fn looked_at(&self, entity: &Arc<Entity>) -> bool {
        let registered = &mut self.state().registered;
        let before = registered.len();
        registered.retain(|(it, _)| it != entity);
        registered.len() < before
    }

    /// Ends the current episode of runs that others made up for: a later one would cover runs that are owed now.
    pub(crate) fn end_superseded(&self, entity: &Arc<Entity>) {
        let key = (Arc::clone(entity), MissedReason::Superseded);
        self.state().current.remove(&key);
    }

    /// Notes that a run may wait in line: until it has ended, this session does not vouch for it.
    pub(crate) fn waits(&self, entity: &Arc<Entity>, due: Timestamp) {
        self.state().following.waits(entity, due);
    }

    /// Notes that a run has ended, or that it never begins and is noted as missed.
    pub(crate) fn ended(&self, entity: &Arc<Entity>, due: Timestamp) {
        self.state().following.ended(entity, due);
    }

    /// Notes that a run has begun for which there may be no record.
    pub(crate) fn ran_unrecorded(&self, entity: &Arc<Entity>, due: Timestamp) {
        self.state().following.ran_unrecorded(entity, due);
        self.bell.notify_one();
    }

    /// Takes charge of a job: what was missed before is noted.
    pub(crate) fn took(&self, entity: &Arc<Entity>, registered: Registered) {
        let mut state = self.state();
        state.following.took(entity, registered.id);
        state.untaken.push(registered);
        state.bound();
        drop(state);
        self.bell.notify_one();
    }

    /// Returns what the store does not know yet.
    pub(crate) fn unwritten(&self) -> Unwritten {
        let mut state = self.state();
        Unwritten {
            runs: state.unwritten.clone(),
            pauses: state.unwritten_pauses.clone(),
            taken: state.untaken.clone(),
            followed: state.following.untold(self.session),
            left_at: state.left_at,
        }
    }

    /// Marks these as known to the store; what changed meanwhile is not.
    pub(crate) fn written(&self, known: &Unwritten) {
        // Each is looked up: thousands wait after a long outage, and nobody may wait for this lock.
        let runs: HashMap<_, &MissedRuns> = known.runs.iter().map(|it| (key_of(it), it)).collect();
        let pauses: HashMap<_, &Pause> = (known.pauses.iter())
            .map(|it| ((&it.entity, it.from), it))
            .collect();
        let mut state = self.state();
        let is_new = |it: &MissedRuns| runs.get(&key_of(it)) != Some(&it);
        state.unwritten.retain(is_new);
        let is_new = |it: &Pause| pauses.get(&(&it.entity, it.from)) != Some(&it);
        state.unwritten_pauses.retain(is_new);
        state.untaken.retain(|it| !known.taken.contains(it));
        state.following.told(&known.followed);
    }

    /// Forgets an episode that the store refuses for good: it would keep the others from being written.
    pub(crate) fn refused(&self, episode: &MissedRuns) {
        self.state().unwritten.retain(|it| it != episode);
    }

    /// Forgets a pause that the store refuses for good.
    pub(crate) fn refused_pause(&self, pause: &Pause) {
        self.state().unwritten_pauses.retain(|it| it != pause);
    }

    /// Returns how many episodes and pauses were forgotten since the last call.
    pub(crate) fn take_forgotten(&self) -> usize {
        std::mem::take(&mut self.state().forgotten)
    }
}

impl State {
    fn keep_pause(&mut self, pause: Pause) {
        let is_same = |it: &Pause| (&it.entity, it.from) == (&pause.entity, pause.from);
        self.unwritten_pauses.retain(|it| !is_same(it));
        self.unwritten_pauses.push(pause);
        self.bound();
    }

    fn bound(&mut self) {
        self.forgotten += forget_oldest(&mut self.unwritten);
        self.forgotten += forget_oldest(&mut self.unwritten_pauses);
        // Without them somebody looks back twice, and finds the same.
        forget_oldest(&mut self.untaken);
    }
}

fn key_of(episode: &MissedRuns) -> (&Arc<Entity>, MissedReason, Timestamp) {
    (&episode.entity, episode.reason, episode.first_due)
}

/// Forgets the oldest beyond the limit. Returns how many those were.
fn forget_oldest<T>(waiting: &mut Vec<T>) -> usize {
    let surplus = waiting.len().saturating_sub(WAITING_MAX);
    waiting.drain(..surplus).count()
}

#[cfg(test)]
mod tests;
