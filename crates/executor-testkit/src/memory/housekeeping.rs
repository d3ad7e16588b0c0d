//! Prunes a store in memory, and keeps the lifetimes of sessions and the gaps.

use executor_core::ports::{
    Gap, Housekeeping, Lifetime, LinesBound, LinesBudget, PruneRule, PruneSlice, SpoolHome,
    StoreFuture, StoredPrune,
};
use executor_core::{ExecutionId, SessionId, Timestamp};

use super::{MemoryStore, Row, Tables, no_session};
use crate::pruning::{self, hour_of};

impl Tables {
    /// Forgets what executions said, the oldest first.
    fn forget_lines(&mut self, slice: PruneSlice) -> u64 {
        let said = self.rows.iter().filter(|row| row.record.lines.is_some());
        let old = said.filter(|row| loses_lines(row, slice.rule));
        let mut old: Vec<_> = old
            .map(|row| (row.record.ended_at(), row.record.execution_id))
            .collect();
        old.sort();
        old.truncate(slice.max_rows as usize);
        for (_, id) in &old {
            let place = self.by_execution[id];
            self.rows[place].record.lines = None;
        }
        self.note_prune(slice, &old);
        old.len() as u64
    }

    fn note_prune(&mut self, slice: PruneSlice, old: &[(Timestamp, ExecutionId)]) {
        let (Some((first, _)), Some((last, _))) = (old.first(), old.last()) else {
            return;
        };
        self.add_prune(StoredPrune {
            session: slice.session,
            rule: slice.rule.as_str().to_owned(),
            hour_at: hour_of(slice.now),
            count: old.len() as u64,
            first_at: *first,
            last_at: *last,
        });
    }

    fn count_pruned(&mut self, old: &[(Timestamp, ExecutionId)]) {
        for (ended, id) in old {
            let session = self.rows[self.by_execution[id]].session;
            let hour = (session, hour_of(*ended));
            self.hours.entry(hour).or_default().1 += 1;
            if let Some(row) = self.sessions.get_mut(&session) {
                row.stored.counts.pruned += 1;
            }
        }
    }

    /// Adds to what the same session has pruned by the same rule within the hour.
    fn add_prune(&mut self, noted: StoredPrune) {
        let name = |prune: &StoredPrune| (prune.session, prune.rule.clone(), prune.hour_at);
        let known = self.prunes.iter_mut().find(|it| name(it) == name(&noted));
        match known {
            None => self.prunes.push(noted),
            Some(known) => {
                known.count += noted.count;
                known.first_at = known.first_at.min(noted.first_at);
                known.last_at = known.last_at.max(noted.last_at);
            }
        }
    }

    fn forget_rows(&mut self, old: &[(Timestamp, ExecutionId)]) {
        let is_old = |row: &Row| old.iter().any(|(_, id)| *id == row.record.execution_id);
        self.rows.retain(|row| !is_old(row));
        let places = self.rows.iter().enumerate();
        let places = places.map(|(place, row)| (row.record.execution_id, place));
        self.by_execution = places.collect();
    }
}

impl Tables {
    /// Forgets what ended before the day of `before`, or before that of the oldest row.
    fn forget_history(&mut self, before: Timestamp) -> u64 {
        let oldest = self.rows.iter().map(|row| row.record.ended_at()).min();
        let cut = day_of(oldest.map_or(before, |oldest| oldest.min(before)));
        let was = self.history_size();
        let gone = self.gone_before(cut);
        self.forget_sessions(&gone, cut);
        self.forget_planned(&gone, cut);
        was - self.history_size()
    }

    fn history_size(&self) -> u64 {
        let planned = &self.schedules;
        let noted =
            self.prunes.len() + planned.missed.len() + planned.pauses.len() + self.actions.len();
        (self.sessions.len() + self.hours.len() + noted) as u64
    }

    /// Returns the sessions that ended before and of which no row is left.
    fn gone_before(&self, cut: Timestamp) -> Vec<SessionId> {
        let has_rows = |id: &SessionId| self.rows.iter().any(|row| row.session == *id);
        self.sessions
            .values()
            .map(|row| &row.stored)
            .filter(|it| it.stopped_at.unwrap_or(it.heartbeat_at) < cut)
            .map(|it| it.session.id)
            .filter(|id| !has_rows(id))
            .collect()
    }

    fn forget_sessions(&mut self, gone: &[SessionId], cut: Timestamp) {
        self.sessions.retain(|id, _| !gone.contains(id));
        self.gaps.retain(|gap| !gone.contains(&gap.session));
        self.sources
            .retain(|source| !gone.contains(&source.session));
        for source in &mut self.sources {
            source.topics.retain(|topic| topic.hour_at >= cut);
        }
        self.hours.retain(|(session, _), _| !gone.contains(session));
        self.prunes.retain(|prune| {
            prune.last_at >= cut && prune.session.is_none_or(|id| !gone.contains(&id))
        });
    }

    fn forget_planned(&mut self, gone: &[SessionId], cut: Timestamp) {
        let planned = &mut self.schedules;
        planned.missed.retain(|missed| missed.last_due >= cut);
        for missed in &mut planned.missed {
            missed.session = missed.session.filter(|id| !gone.contains(id));
        }
        planned.pauses.retain(|pause| {
            !gone.contains(&pause.session) && pause.until.is_none_or(|until| until >= cut)
        });
        self.actions.retain(|action| action.at >= cut);
        for action in &mut self.actions {
            action.session = action.session.filter(|id| !gone.contains(id));
        }
    }
}

fn day_of(time: Timestamp) -> Timestamp {
    let micros = time.as_micros();
    Timestamp::from_micros(micros.saturating_sub(micros.rem_euclid(86_400_000_000)))
}

fn loses_lines(row: &Row, rule: PruneRule) -> bool {
    let ended = row.record.ended_at();
    match rule {
        PruneRule::LinesBefore(at) => ended < at,
        PruneRule::LinesUntil(LinesBound { of, until }) => {
            ended <= until && of.is_none_or(|of| row.parent == Some(of))
        }
        _ => false,
    }
}

impl Housekeeping for MemoryStore {
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            self.with("pruning old records", |tables| {
                match slice.rule {
                    PruneRule::GoneBefore(at) => return tables.forget_gone(at, slice.max_rows),
                    PruneRule::HistoryBefore(at) => return tables.forget_history(at),
                    PruneRule::LinesBefore(_) | PruneRule::LinesUntil(_) => {
                        return tables.forget_lines(slice);
                    }
                    _ => {}
                }
                let mut old = pruning::let_go_by(slice, tables.rows.iter().map(|row| &row.record));
                old.sort();
                old.truncate(slice.max_rows as usize);
                tables.count_pruned(&old);
                tables.note_prune(slice, &old);
                tables.forget_rows(&old);
                old.len() as u64
            })
        })
    }

    fn lines_beyond(
        &self,
        now: Timestamp,
        all: u64,
        of_one: u64,
    ) -> StoreFuture<'_, Vec<LinesBound>> {
        Box::pin(async move {
            self.with("measuring lines", |tables| {
                let present = tables
                    .rows
                    .iter()
                    .filter(|row| row.record.ended_at() <= now);
                let said = present.filter_map(|row| {
                    let bytes = row.record.lines.as_ref()?.body().len() as u64;
                    Some((row.record.ended_at(), row.parent, bytes))
                });
                let mut said: Vec<_> = said.collect();
                said.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
                let mut budget = LinesBudget::new(all, of_one);
                let _ = said
                    .into_iter()
                    .all(|(at, of, bytes)| budget.add(at, of, bytes));
                budget.bounds()
            })
        })
    }

    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        Box::pin(async move {
            self.with("reading the lifetimes of sessions", |tables| {
                let surplus = tables.lifetimes.len().saturating_sub(max as usize);
                tables.lifetimes[surplus..].to_vec()
            })
        })
    }

    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let is_known = |tables: &Tables, gap: &Gap| tables.sessions.contains_key(&gap.session);
            self.with("recording gaps", |tables| {
                if !gaps.iter().all(|gap| is_known(tables, gap)) {
                    return Err(no_session("recording gaps"));
                }
                for gap in gaps {
                    let name = |gap: &Gap| (gap.session, gap.reason, gap.first_at);
                    tables.gaps.retain(|known| name(known) != name(&gap));
                    tables.gaps.push(gap);
                }
                Ok(())
            })?
        })
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.with("asking for the store's health", |_| ()) })
    }

    fn spool_home(&self) -> SpoolHome {
        SpoolHome::InMemory
    }
}
