//! Counts what each session has stored and lost to pruning, by the hour in which executions ended, inside the
//! transactions that store and prune. So rows and pruned rows add up to the stored ones at any time, and what does
//! not add up was lost some other way.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::periods::{HOUR_US, hour_of};
use crate::sqlite::read::stored::listed;
use crate::sqlite::schema::sessions;

/// Counts new rows of a session by the times at which their executions ended.
pub(crate) fn count_stored(
    connection: &mut SqliteConnection,
    session: i64,
    ended_us: impl Iterator<Item = i64>,
) -> QueryResult<()> {
    let mut hours: BTreeMap<i64, i64> = BTreeMap::new();
    for ended in ended_us {
        *hours.entry(hour_of(ended)).or_default() += 1;
    }
    for (hour, count) in hours {
        Raise([session, hour, count]).execute(connection)?;
    }
    Ok(())
}

/// Raises the number of rows stored in one hour. The text never changes, so it is prepared once.
struct Raise([i64; 3]);

impl QueryId for Raise {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for Raise {}

impl QueryFragment<Sqlite> for Raise {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("INSERT INTO session_hours (session_id, hour_us, stored) VALUES (");
        for (place, number) in self.0.iter().enumerate() {
            out.push_sql(if place == 0 { "" } else { "," });
            out.push_bind_param::<BigInt, _>(number)?;
        }
        out.push_sql(
            ") ON CONFLICT (session_id, hour_us) DO UPDATE SET stored = stored + excluded.stored",
        );
        Ok(())
    }
}

/// Counts rows of a session that it did not store itself.
pub(crate) fn count_taken_over(
    connection: &mut SqliteConnection,
    session: i64,
    count: i64,
) -> QueryResult<()> {
    diesel::update(sessions::table.find(session))
        .set(sessions::taken_over.eq(sessions::taken_over + count))
        .execute(connection)
        .map(drop)
}

/// Counts rows that are about to be pruned.
pub(crate) fn count_pruned(connection: &mut SqliteConnection, ids: &[i64]) -> QueryResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids = listed(ids);
    diesel::sql_query(format!(
        "INSERT INTO session_hours (session_id, hour_us, pruned) \
         SELECT session_id, ended - ((ended % {HOUR_US}) + {HOUR_US}) % {HOUR_US}, count(*) FROM \
         (SELECT session_id, start_us + duration_us AS ended FROM executions WHERE id IN ({ids})) \
         WHERE true GROUP BY 1, 2 \
         ON CONFLICT (session_id, hour_us) DO UPDATE SET pruned = pruned + excluded.pruned"
    ))
    .execute(connection)?;
    diesel::sql_query(format!(
        "UPDATE sessions SET pruned = pruned + gone.count FROM \
         (SELECT session_id, count(*) AS count FROM executions WHERE id IN ({ids}) GROUP BY 1) gone \
         WHERE sessions.id = gone.session_id"
    ))
    .execute(connection)
    .map(drop)
}
