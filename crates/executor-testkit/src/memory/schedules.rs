//! Schedules, missed runs and pauses of the in-memory store.

use executor_core::ports::{
    Earlier, Followed, InForce, MissedRuns, Pause, Registered, ScheduleStore, SessionStatus,
    StoreFuture,
};
use executor_core::{EntityKind, RegistrationId, SessionId, Timestamp};

use super::{MemoryStore, Tables, no_session};
use crate::planned::{HadIt, Planned};

impl Tables {
    fn take_charge(&mut self, registered: &Registered) {
        let Registered {
            id, session, at, ..
        } = *registered;
        let removed_at = self.registrations.get(&id).and_then(|it| it.removed_at);
        let had = &mut self.schedules.registered;
        let is_it = |had: &HadIt| (had.session, had.id, had.from) == (session, id, at);
        if !had.iter().any(is_it) {
            had.push(HadIt {
                session,
                id,
                from: at,
                // Nobody is in charge of what was removed meanwhile.
                until: removed_at.filter(|removed_at| *removed_at >= at),
            });
            // What waited in an earlier process has been dealt with, unless that process is still
            // alive.
            if self.elsewhere(id, session).is_none() {
                self.schedules.waits_after.remove(&id);
            }
            // Another process has retired it before it could know.
            let row = self.registrations.get_mut(&id);
            if let Some(row) = row.filter(|row| row.removed_at.is_none()) {
                row.retired_at = None;
            }
        }
    }

    fn leave_charge(&mut self, session: SessionId, at: Timestamp) {
        let had = self.schedules.registered.iter_mut();
        let its_jobs = had.filter(|had| had.session == session && had.id.kind == EntityKind::Job);
        for had in its_jobs {
            had.until.get_or_insert(at.max(had.from));
        }
    }

    /// Another living session that is in charge of it.
    fn elsewhere(&self, id: RegistrationId, session: SessionId) -> Option<SessionId> {
        self.living_others(id, Some(session))
    }

    /// Whether another living session has it registered.
    pub(crate) fn is_elsewhere(&self, id: RegistrationId, session: Option<SessionId>) -> bool {
        self.living_others(id, session).is_some()
    }

    fn living_others(&self, id: RegistrationId, session: Option<SessionId>) -> Option<SessionId> {
        let is_running = |session: &SessionId| {
            let row = self.sessions.get(session);
            row.is_some_and(|row| row.stored.status == SessionStatus::Running)
        };
        let had = self.schedules.registered.iter();
        let others = had.filter(|had| had.id == id && Some(had.session) != session);
        let living = others.filter(|had| had.until.is_none());
        living.map(|had| had.session).rev().find(is_running)
    }

    fn note_followed(&mut self, followed: &Followed) {
        let is_alone = self.elsewhere(followed.id, followed.session).is_none();
        let known = self.registrations.get(&followed.id);
        let is_removed = known.is_none_or(|it| it.removed_at.is_some());
        let schedules = &mut self.schedules;
        if let Some(until) = followed.begun_until {
            schedules.begun_until.insert(followed.id, until);
        }
        match followed.waits_after.filter(|_| !is_removed) {
            Some(after) => drop(schedules.waits_after.insert(followed.id, after)),
            // What another living process has reported as waiting still waits there.
            None if is_removed || is_alone => drop(schedules.waits_after.remove(&followed.id)),
            None => {}
        }
    }

    fn note_schedule(&mut self, registered: &Registered) {
        let Registered { id, at, .. } = *registered;
        let schedules = &mut self.schedules;
        let mut open = schedules.plans.iter_mut();
        let open = open.find(|plan| plan.job == id && plan.in_force.until.is_none());
        let is_same = open
            .as_ref()
            .is_some_and(|open| Some(&open.in_force.plan) == registered.plan.as_ref());
        if is_same {
            return;
        }
        if let Some(open) = open {
            open.in_force.until = Some(at);
        }
        if let Some(plan) = &registered.plan {
            schedules.plans.push(Planned {
                job: id,
                in_force: InForce {
                    plan: plan.clone(),
                    from: at,
                    until: None,
                },
            });
        }
    }

    /// Ends what a registration had, at its removal.
    pub(crate) fn end_schedules(&mut self, id: RegistrationId, at: Timestamp) {
        let schedules = &mut self.schedules;
        schedules.waits_after.remove(&id);
        for plan in schedules.plans.iter_mut().filter(|plan| plan.job == id) {
            plan.in_force.until.get_or_insert(at);
        }
        for had in schedules.registered.iter_mut().filter(|had| had.id == id) {
            had.until.get_or_insert(at);
        }
    }

    fn earlier(&self, registered: &Registered) -> Earlier {
        let Registered {
            id, session, at, ..
        } = *registered;
        let plans = self.schedules.plans.iter();
        let latest = plans
            .rev()
            .find(|plan| plan.job == id && plan.in_force.from < at);
        Earlier {
            plan: latest.map(|latest| latest.in_force.plan.clone()),
            until: latest.and_then(|latest| latest.in_force.until.filter(|until| *until < at)),
            alive_until: self.alive_until(id, at),
            dealt_with: self.dealt_with(id, at),
            elsewhere: self.elsewhere(id, session),
        }
    }

    /// Until when a session that began before was there to follow its schedule. What still waits was not begun.
    fn alive_until(&self, id: RegistrationId, at: Timestamp) -> Option<Timestamp> {
        let had = self.schedules.registered.iter();
        let before = had.filter(|had| had.id == id && had.from < at);
        let alive = before.filter_map(|had| {
            let stored = &self.sessions.get(&had.session)?.stored;
            let seen = stored.stopped_at.unwrap_or(stored.heartbeat_at);
            Some(had.until.map_or(seen, |until| until.min(seen)))
        });
        let alive = alive.max()?;
        let waits = self.schedules.waits_after.get(&id);
        Some(waits.map_or(alive, |waits| alive.min(*waits)))
    }

    fn dealt_with(&self, id: RegistrationId, at: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let Some(known) = self.registrations.get(&id) else {
            return Vec::new();
        };
        let due = self.history_of(id).filter_map(|row| row.record.due_at);
        let missed = self.schedules.missed.iter();
        let missed = missed.filter(|missed| missed.entity == known.registration.entity);
        let missed = missed.map(|missed| (missed.first_due, missed.last_due));
        let begun = self.schedules.begun_until.get(&id);
        // A clock that was wrong by years may have said so.
        let begun = begun.filter(|until| **until <= at);
        let begun = begun.map(|until| (Timestamp::from_micros(i64::MIN), *until));
        let all = due.map(|due| (due, due)).chain(missed).chain(begun);
        all.filter(|(first, _)| *first < at).collect()
    }

    fn record_missed(&mut self, episode: MissedRuns) {
        let is_it = |it: &&mut MissedRuns| {
            (&it.entity, it.reason, it.first_due)
                == (&episode.entity, episode.reason, episode.first_due)
        };
        match self.schedules.missed.iter_mut().find(is_it) {
            Some(known) => *known = episode,
            None => self.schedules.missed.push(episode),
        }
    }

    fn record_pause(&mut self, pause: Pause) {
        let is_it = |it: &&mut Pause| {
            (it.session, &it.entity, it.from) == (pause.session, &pause.entity, pause.from)
        };
        match self.schedules.pauses.iter_mut().find(is_it) {
            Some(known) => *known = pause,
            None => self.schedules.pauses.push(pause),
        }
    }
}

impl ScheduleStore for MemoryStore {
    fn note_schedule(&self, registered: Registered) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with("noting a schedule", |tables| {
                tables.note_schedule(&registered);
            })
        })
    }

    fn take_charge(&self, registered: Vec<Registered>) -> StoreFuture<'_, ()> {
        const TAKING: &str = "taking charge";
        Box::pin(async move {
            self.with(TAKING, |tables| {
                let mut sessions = registered.iter().map(|registered| registered.session);
                if sessions.any(|session| !tables.sessions.contains_key(&session)) {
                    return Err(no_session(TAKING));
                }
                registered.iter().for_each(|it| tables.take_charge(it));
                Ok(())
            })?
        })
    }

    fn note_followed(&self, followed: Vec<Followed>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with("noting how far schedules were followed", |tables| {
                followed.iter().for_each(|it| tables.note_followed(it));
            })
        })
    }

    fn leave_charge(&self, session: SessionId, at: Timestamp) -> StoreFuture<'_, ()> {
        Box::pin(
            async move { self.with("leaving charge", |tables| tables.leave_charge(session, at)) },
        )
    }

    fn earlier(&self, registered: Registered) -> StoreFuture<'_, Earlier> {
        Box::pin(
            async move { self.with("reading a schedule", |tables| tables.earlier(&registered)) },
        )
    }

    fn record_missed(&self, missed: Vec<MissedRuns>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with("recording missed runs", |tables| {
                missed
                    .into_iter()
                    .for_each(|episode| tables.record_missed(episode));
            })
        })
    }

    fn record_pauses(&self, pauses: Vec<Pause>) -> StoreFuture<'_, ()> {
        const RECORDING: &str = "recording pauses";
        Box::pin(async move {
            self.with(RECORDING, |tables| {
                if pauses
                    .iter()
                    .any(|pause| !tables.sessions.contains_key(&pause.session))
                {
                    return Err(no_session(RECORDING));
                }
                pauses
                    .into_iter()
                    .for_each(|pause| tables.record_pause(pause));
                Ok(())
            })?
        })
    }
}
