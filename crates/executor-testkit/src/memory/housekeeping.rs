//! Prunes a store in memory, and keeps the lifetimes of sessions and the gaps.

use executor_core::ports::{
    Gap, Housekeeping, Lifetime, PruneRule, PruneSlice, SpoolHome, StoreFuture, StoredPrune,
};
use executor_core::{ExecutionId, Timestamp};

use super::{MemoryStore, Tables, no_session};
use crate::pruning::{self, hour_of};

impl Tables {
    /// Counts rows that are about to be pruned, and notes the prune.
    fn note_prune(&mut self, slice: PruneSlice, old: &[(Timestamp, ExecutionId)]) {
        let (Some((first, _)), Some((last, _))) = (old.first(), old.last()) else {
            return;
        };
        for (ended, id) in old {
            let session = self.rows[self.by_execution[id]].session;
            let hour = (session, hour_of(*ended));
            self.hours.entry(hour).or_default().1 += 1;
            if let Some(row) = self.sessions.get_mut(&session) {
                row.stored.counts.pruned += 1;
            }
        }
        let noted = StoredPrune {
            session: slice.session,
            rule: slice.rule.as_str().to_owned(),
            hour_at: hour_of(slice.now),
            count: old.len() as u64,
            first_at: *first,
            last_at: *last,
        };
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
}

impl Housekeeping for MemoryStore {
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            self.with("pruning old records", |tables| {
                if let PruneRule::GoneBefore(at) = slice.rule {
                    return tables.forget_gone(at, slice.max_rows);
                }
                let mut old = pruning::let_go_by(slice, tables.rows.iter().map(|row| &row.record));
                old.sort();
                old.truncate(slice.max_rows as usize);
                tables.note_prune(slice, &old);
                tables
                    .rows
                    .retain(|row| !old.iter().any(|(_, id)| *id == row.record.execution_id));
                tables.by_execution = tables
                    .rows
                    .iter()
                    .enumerate()
                    .map(|(place, row)| (row.record.execution_id, place))
                    .collect();
                old.len() as u64
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
