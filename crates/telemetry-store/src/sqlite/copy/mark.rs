//! Marks a database as an unfinished copy, and takes the mark away.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;

use crate::copy::mark::{Mark, taken_over};
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

fn execute(connection: &mut SqliteConnection, statement: &str, name: &str) -> QueryResult<usize> {
    let statement = diesel::sql_query(statement).bind::<Text, _>(name);
    statement.execute(connection)
}

/// Marks an empty database, or takes an unfinished copy over. Runs in a transaction that holds the write lock.
pub(super) fn claim(connection: &mut SqliteConnection, mark: &Mark) -> QueryResult<Claim> {
    let earlier = format!(
        "DELETE FROM __diesel_schema_migrations WHERE version LIKE '{}%'",
        mark.of_any_attempt()
    );
    let is_resumed = diesel::sql_query(earlier).execute(connection)? > 0;
    let others =
        "SELECT count(*) AS count FROM __diesel_schema_migrations WHERE version LIKE 'copy-of-%'";
    let rows = "SELECT EXISTS (SELECT 1 FROM sessions) + EXISTS (SELECT 1 FROM executions) + \
                EXISTS (SELECT 1 FROM listeners) + EXISTS (SELECT 1 FROM scheduled_jobs) + \
                EXISTS (SELECT 1 FROM rollups) AS count";
    if !is_resumed && count(connection, others)? > 0 {
        return Ok(Claim::OfAnother);
    }
    if !is_resumed && count(connection, rows)? > 0 {
        return Ok(Claim::Taken);
    }
    let statement = "INSERT INTO __diesel_schema_migrations (version) VALUES (?1)";
    execute(connection, statement, &mark.name())?;
    Ok(match is_resumed {
        true => Claim::Resumed,
        false => Claim::Empty,
    })
}

/// Fails if another copy has taken over. Runs in a transaction that holds the write lock.
pub(super) fn assert_own(
    connection: &mut SqliteConnection,
    mark: Option<&Mark>,
) -> QueryResult<()> {
    let name = mark.map(Mark::name).unwrap_or_default();
    let question = "SELECT count(*) AS count FROM __diesel_schema_migrations WHERE version = ?1";
    let own: Count = diesel::sql_query(question)
        .bind::<Text, _>(name)
        .get_result(connection)?;
    match own.count {
        0 => Err(taken_over()),
        _ => Ok(()),
    }
}

/// Says that all rows are in the rollups, and takes the mark away. Refuses if rows refer to others that are not there.
pub(super) fn unclaim(connection: &mut SqliteConnection, mark: &Mark) -> QueryResult<()> {
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
    let statement = "DELETE FROM __diesel_schema_migrations WHERE version = ?1";
    match execute(connection, statement, &mark.name())? {
        0 => Err(taken_over()),
        _ => Ok(()),
    }
}
