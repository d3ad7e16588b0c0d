//! Marks a database as an unfinished copy, and takes the mark away.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;

use crate::copy::mark::mark_of;
use crate::copy::side::Claim;
use crate::sqlite::schema::rollup_progress;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn count(connection: &mut SqliteConnection, question: &str) -> QueryResult<i64> {
    let count: Count = diesel::sql_query(question).get_result(connection)?;
    Ok(count.count)
}

/// Marks an empty database. Runs in a transaction that holds the write lock.
pub(super) fn claim(connection: &mut SqliteConnection, history: &str) -> QueryResult<Claim> {
    let mark = mark_of(history);
    let question = "SELECT count(*) AS count FROM __diesel_schema_migrations WHERE version = ?1";
    let marked = diesel::sql_query(question).bind::<Text, _>(&mark);
    let marked: Count = marked.get_result(connection)?;
    if marked.count > 0 {
        return Ok(Claim::Resumed);
    }
    let others =
        "SELECT count(*) AS count FROM __diesel_schema_migrations WHERE version LIKE 'copy-%'";
    let rows = "SELECT EXISTS (SELECT 1 FROM sessions) + EXISTS (SELECT 1 FROM executions) + \
                EXISTS (SELECT 1 FROM listeners) + EXISTS (SELECT 1 FROM scheduled_jobs) + \
                EXISTS (SELECT 1 FROM rollups) AS count";
    if count(connection, others)? + count(connection, rows)? > 0 {
        return Ok(Claim::Taken);
    }
    diesel::sql_query("INSERT INTO __diesel_schema_migrations (version) VALUES (?1)")
        .bind::<Text, _>(&mark)
        .execute(connection)?;
    Ok(Claim::Empty)
}

/// Says that all rows are in the rollups, and takes the mark away. Refuses if rows refer to others that are not there.
pub(super) fn unclaim(connection: &mut SqliteConnection) -> QueryResult<()> {
    let dangling = count(
        connection,
        "SELECT count(*) AS count FROM pragma_foreign_key_check",
    )?;
    if dangling > 0 {
        let what = format!("{dangling} rows refer to others that are not there");
        return Err(diesel::result::Error::QueryBuilderError(what.into()));
    }
    let last = "SELECT coalesce(max(id), -9223372036854775808) AS count FROM executions";
    let last = count(connection, last)?;
    diesel::update(rollup_progress::table)
        .set(rollup_progress::rolled_up_to.eq(last))
        .execute(connection)?;
    let mark = "DELETE FROM __diesel_schema_migrations WHERE version LIKE 'copy-%'";
    diesel::sql_query(mark).execute(connection).map(drop)
}
