//! Reads the evidence of an audit in one transaction: the counts of sessions and hours, the rows, and the rollups.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::SessionId;
use executor_core::ports::{Evidence, Progress, Window};

use crate::periods::HOUR_US;
use crate::read::evidence::{
    HourRow, RollupHour, Rows, all_gaps, expected, hours_of, rolled_up, whole_hours,
};
use crate::read::question::QueryError;
use crate::read::rows::execution::uuid_of;
use crate::sqlite::read::asked::Asked;
use crate::sqlite::read::sessions;
use crate::sqlite::schema;
use crate::sqlite::write::rollup::rolled_up_to;
use crate::sqlite::write::row_ids::displacement;

/// The number of rows to count between two reports of the progress.
const ROWS_AT_ONCE: i64 = 100_000;

pub(crate) fn evidence(
    asked: &mut Asked<'_>,
    window: &Window,
    progress: &Progress,
) -> Result<Evidence, QueryError> {
    let hours = whole_hours(window);
    asked.transaction(|asked| {
        let connection = &mut *asked.connection;
        let stored = stored(connection, &hours)?;
        let expected = expected(&stored);
        let counted = Counted::read(connection, &hours, |done| {
            progress.tell(done.unsigned_abs(), expected.max(done).unsigned_abs());
        })?;
        let with_rows: BTreeSet<i64> = counted.rows.keys().map(|(session, _)| *session).collect();
        let with_rows: Vec<i64> = with_rows.into_iter().collect();
        let sessions = sessions::alive_in(connection, &hours, &with_rows)?;
        let rollups = rolled_up(rollups(connection, &hours)?, counted.beyond_the_mark)?;
        Ok(Evidence {
            sessions,
            rollups,
            hours: hours_of(stored, counted.rows, |row| name_of(connection, row))?,
            gaps: all_gaps(window, |window, page, left_out| {
                sessions::gaps_in(&mut asked.noting_in(left_out), window, page)
            })?,
        })
    })
}

fn stored(connection: &mut SqliteConnection, hours: &Range<i64>) -> QueryResult<Vec<HourRow>> {
    let question = "SELECT session_id AS session, hour_us AS hour, stored, pruned FROM session_hours \
                    WHERE hour_us >= ?1 AND hour_us < ?2 ORDER BY session_id, hour_us";
    diesel::sql_query(question)
        .bind::<BigInt, _>(hours.start)
        .bind::<BigInt, _>(hours.end)
        .load(connection)
}

/// The rows that are there, and those of each hour that are not rolled up yet.
#[derive(Default)]
struct Counted {
    rows: Rows,
    beyond_the_mark: BTreeMap<i64, i64>,
}

#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = BigInt)]
    session: i64,
    #[diesel(sql_type = BigInt)]
    hour: i64,
    #[diesel(sql_type = Bool)]
    is_beyond: bool,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

impl Counted {
    fn read(
        connection: &mut SqliteConnection,
        hours: &Range<i64>,
        told: impl Fn(i64),
    ) -> Result<Self, QueryError> {
        let mark = rolled_up_to(connection)?;
        // No id lies below the end of its execution, and none further above it than this.
        let last = hours.end.saturating_add(displacement(connection)?);
        let (mut from, mut done) = (hours.start.saturating_sub(1), 0);
        let mut counted = Self::default();
        loop {
            let groups = slice(connection, from..last, mark)?;
            let Some(end) = groups.iter().filter_map(|group| group.last).max() else {
                return Ok(counted);
            };
            from = end;
            for group in groups {
                done += group.count;
                counted.add(&group, hours);
            }
            told(done);
        }
    }

    fn add(&mut self, group: &Group, hours: &Range<i64>) {
        if !hours.contains(&group.hour) {
            return;
        }
        let place = (group.session, group.hour);
        *self.rows.entry(place).or_default() += group.count;
        if group.is_beyond {
            *self.beyond_the_mark.entry(group.hour).or_default() += group.count;
        }
    }
}

fn slice(connection: &mut SqliteConnection, ids: Range<i64>, mark: i64) -> QueryResult<Vec<Group>> {
    diesel::sql_query(format!(
        "SELECT session_id AS session, ended - ((ended % {HOUR_US}) + {HOUR_US}) % {HOUR_US} AS hour, \
         id > ?3 AS is_beyond, count(*) AS count, max(id) AS last FROM \
         (SELECT id, session_id, start_us + duration_us AS ended FROM executions \
          WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT {ROWS_AT_ONCE}) GROUP BY 1, 2, 3"
    ))
    .bind::<BigInt, _>(ids.start)
    .bind::<BigInt, _>(ids.end)
    .bind::<BigInt, _>(mark)
    .load(connection)
}

fn rollups(connection: &mut SqliteConnection, hours: &Range<i64>) -> QueryResult<Vec<RollupHour>> {
    diesel::sql_query(format!(
        "SELECT start_us AS hour, sum(success + error + timed_out + cancelled + panicked + skipped + interrupted) \
         AS count FROM rollups WHERE span_us = {HOUR_US} AND start_us >= ?1 AND start_us < ?2 GROUP BY start_us"
    ))
    .bind::<BigInt, _>(hours.start)
    .bind::<BigInt, _>(hours.end)
    .load(connection)
}

fn name_of(connection: &mut SqliteConnection, session: i64) -> Result<SessionId, QueryError> {
    let name: Vec<u8> = schema::sessions::table
        .find(session)
        .select(schema::sessions::session_uuid)
        .first(connection)?;
    let name = uuid_of(&name, "a session's uuid is malformed")?;
    Ok(SessionId::from_uuid(name))
}
