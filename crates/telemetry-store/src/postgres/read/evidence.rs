//! Reads the evidence of an audit: the counts of sessions and hours, the rows, and the rollups.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use executor_core::SessionId;
use executor_core::ports::{Evidence, Order, Progress, Window};

use crate::periods::HOUR_US;
use crate::postgres::read::asked::Asked;
use crate::postgres::read::sessions;
use crate::postgres::sql::hour_of;
use crate::read::evidence::{
    HourRow, RollupHour, Rows, all_gaps, expected, hours_of, rolled_up, whole_hours,
};
use crate::read::question::QueryError;
use crate::read::rows::execution::uuid_of;

pub(crate) fn evidence(
    asked: &mut Asked<'_>,
    window: &Window,
    progress: &Progress,
) -> Result<Evidence, QueryError> {
    let hours = whole_hours(window);
    let stored = stored(asked.connection, &hours)?;
    let expected = expected(&stored);
    let rows = rows(asked, &hours, |done| {
        progress.tell(done.unsigned_abs(), expected.max(done).unsigned_abs());
    })?;
    let with_rows: BTreeSet<i64> = rows.keys().map(|(session, _)| *session).collect();
    let with_rows: Vec<i64> = with_rows.into_iter().collect();
    let sessions = sessions::alive_in(asked.connection, &hours, &with_rows)?;
    let rollups = rollups(asked.connection, &hours)?;
    Ok(Evidence {
        sessions,
        rollups: rolled_up(rollups, BTreeMap::new())?,
        hours: hours_of(stored, rows, |row| name_of(asked.connection, row))?,
        gaps: all_gaps(window, |window, page, left_out| {
            sessions::gaps(&mut asked.noting_in(left_out), window, page)
        })?,
    })
}

fn stored(connection: &mut PgConnection, hours: &Range<i64>) -> QueryResult<Vec<HourRow>> {
    let question = "SELECT session_id AS session, hour_us AS hour, stored, pruned FROM executor.session_hours \
                    WHERE hour_us >= $1 AND hour_us < $2 ORDER BY session_id, hour_us";
    diesel::sql_query(question)
        .bind::<BigInt, _>(hours.start)
        .bind::<BigInt, _>(hours.end)
        .load(connection)
}

#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = BigInt)]
    session: i64,
    #[diesel(sql_type = BigInt)]
    hour: i64,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Counts the rows that are there, a span at a time.
fn rows(asked: &mut Asked<'_>, hours: &Range<i64>, told: impl Fn(i64)) -> Result<Rows, QueryError> {
    let question = format!(
        "SELECT session_id AS session, {} AS hour, count(*) AS count FROM executor.executions \
         WHERE ended_us >= $1 AND ended_us < $2 GROUP BY 1, 2",
        hour_of("ended_us")
    );
    let (mut rows, mut done) = (Rows::new(), 0);
    for span in asked.days.spans(hours, Order::OldestFirst) {
        asked.deadline.check()?;
        let groups: Vec<Group> = diesel::sql_query(&question)
            .bind::<BigInt, _>(span.start)
            .bind::<BigInt, _>(span.end)
            .load(asked.connection)?;
        for group in groups {
            *rows.entry((group.session, group.hour)).or_default() += group.count;
            done += group.count;
        }
        told(done);
    }
    Ok(rows)
}

fn rollups(connection: &mut PgConnection, hours: &Range<i64>) -> QueryResult<Vec<RollupHour>> {
    let question = format!(
        "SELECT start_us AS hour, sum(success + error + timed_out + cancelled + panicked + skipped + interrupted)::bigint \
         AS count FROM executor.rollups WHERE span_us = {HOUR_US} AND start_us >= $1 AND start_us < $2 GROUP BY start_us"
    );
    diesel::sql_query(question)
        .bind::<BigInt, _>(hours.start)
        .bind::<BigInt, _>(hours.end)
        .load(connection)
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Binary)]
    name: Vec<u8>,
}

fn name_of(connection: &mut PgConnection, session: i64) -> Result<SessionId, QueryError> {
    let question = "SELECT uuid_send(session_uuid) AS name FROM executor.sessions WHERE id = $1";
    let name: Option<Name> = diesel::sql_query(question)
        .bind::<BigInt, _>(session)
        .get_result(connection)
        .optional()?;
    let gone = || {
        QueryError::Damaged(format!(
            "the row of session {session} is gone, of which there are executions"
        ))
    };
    let name = name.ok_or_else(gone)?;
    let name = uuid_of(&name.name, "a session's uuid is malformed")?;
    Ok(SessionId::from_uuid(name))
}
