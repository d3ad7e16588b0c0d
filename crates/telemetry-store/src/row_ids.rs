//! Which row id a record gets: its time of recording in microseconds, or the nearest free one.
//!
//! Ids in order of time make time, session and retention queries ranges of the primary key, and
//! put new rows at the end of the table, where writing is cheapest.

use std::collections::BTreeSet;

use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use executor_core::Timestamp;

use crate::rollup::rolled_up_to;
use crate::schema::executions;

/// A row recorded longer than this before the newest one is late: a retry or a replay. Within it
/// rows are appended, out of order by at most this much, and queries widen their ranges by it.
const LATE_US: i64 = 1_000_000;

/// How many ids to look at in one step when a free one is sought.
const STEP: usize = 64;

/// Gives out ids inside one transaction that holds the write lock.
pub(crate) struct RowIds {
    last: i64,
    /// Late ids given out and not written yet.
    late: BTreeSet<i64>,
    /// The others, which only ever grow.
    fresh: Vec<i64>,
}

impl RowIds {
    /// Reads where the table ends. Another process may write too, so this is asked every time.
    pub(crate) fn load(connection: &mut SqliteConnection) -> QueryResult<Self> {
        let last: Option<i64> = executions::table
            .select(max(executions::id))
            .get_result(connection)?;
        // What was rolled up and deleted since counts as there: a row that is given a lower id than
        // that would never be rolled up.
        let rolled_up_to = rolled_up_to(connection)?;
        Ok(Self {
            last: last.unwrap_or(i64::MIN).max(rolled_up_to),
            late: BTreeSet::new(),
            fresh: Vec::new(),
        })
    }

    /// The id for a row recorded at this time, and whether that is a late one.
    pub(crate) fn next(
        &mut self,
        connection: &mut SqliteConnection,
        recorded: Timestamp,
    ) -> QueryResult<(i64, bool)> {
        let recorded = recorded.as_micros();
        if recorded < self.last.saturating_sub(LATE_US) {
            let id = self.first_free(connection, recorded)?;
            self.late.insert(id);
            self.last = self.last.max(id);
            return Ok((id, true));
        }
        self.last = recorded.max(self.last.saturating_add(1));
        self.fresh.push(self.last);
        Ok((self.last, false))
    }

    fn first_free(&self, connection: &mut SqliteConnection, from: i64) -> QueryResult<i64> {
        let mut candidate = from;
        loop {
            let mut taken: BTreeSet<i64> = executions::table
                .filter(executions::id.ge(candidate))
                .order(executions::id)
                .limit(STEP as i64)
                .select(executions::id)
                .load(connection)?
                .into_iter()
                .collect();
            let whole = taken.len() < STEP;
            let horizon = taken.last().copied().unwrap_or(i64::MAX);
            taken.extend(self.late.range(candidate..));
            while taken.contains(&candidate) || self.fresh.binary_search(&candidate).is_ok() {
                candidate += 1;
            }
            if whole || candidate <= horizon {
                return Ok(candidate);
            }
        }
    }
}
