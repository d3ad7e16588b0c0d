//! Marks a database as an unfinished copy, and takes the mark away.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use crate::copy::mark::{Mark, taken_over};
use crate::copy::side::Claim;

#[derive(QueryableByName)]
struct Looked {
    #[diesel(sql_type = Bool)]
    is_copy: bool,
    #[diesel(sql_type = Bool)]
    is_taken: bool,
}

#[derive(QueryableByName)]
struct Own {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Marks an empty database, or takes an unfinished copy over. Runs in a transaction.
pub(super) fn claim(connection: &mut PgConnection, mark: &Mark) -> QueryResult<Claim> {
    // Waits for the transaction of a copy that is under way, which has its mark locked.
    let earlier = format!(
        "DELETE FROM executor.schema_migrations WHERE version LIKE '{}%'",
        mark.of_any_attempt()
    );
    let is_resumed = diesel::sql_query(earlier).execute(connection)? > 0;
    // One copy looks while another one does.
    diesel::sql_query("LOCK TABLE executor.schema_migrations IN SHARE ROW EXCLUSIVE MODE")
        .execute(connection)?;
    let looked = "SELECT EXISTS (SELECT FROM executor.schema_migrations WHERE version LIKE 'copy-of-%') AS is_copy, \
        EXISTS (SELECT FROM executor.sessions) OR EXISTS (SELECT FROM executor.executions) \
        OR EXISTS (SELECT FROM executor.entities) OR EXISTS (SELECT FROM executor.rollups) AS is_taken";
    let looked: Looked = diesel::sql_query(looked).get_result(connection)?;
    match looked {
        _ if is_resumed => {}
        Looked { is_copy: true, .. } => return Ok(Claim::OfAnother),
        Looked { is_taken: true, .. } => return Ok(Claim::Taken),
        Looked { .. } => {}
    }
    diesel::sql_query("INSERT INTO executor.schema_migrations (version) VALUES ($1)")
        .bind::<Text, _>(mark.name())
        .execute(connection)?;
    Ok(match is_resumed {
        true => Claim::Resumed,
        false => Claim::Empty,
    })
}

/// Fails if another copy has taken over, and keeps one from it until the transaction ends.
pub(super) fn assert_own(connection: &mut PgConnection, mark: Option<&Mark>) -> QueryResult<()> {
    let question = "SELECT count(*) AS count FROM \
        (SELECT FROM executor.schema_migrations WHERE version = $1 FOR SHARE) AS own";
    let own: Own = diesel::sql_query(question)
        .bind::<Text, _>(mark.map(Mark::name).unwrap_or_default())
        .get_result(connection)?;
    match own.count {
        0 => Err(taken_over()),
        _ => Ok(()),
    }
}

/// Takes the mark away.
pub(super) fn unclaim(connection: &mut PgConnection, mark: &Mark) -> QueryResult<()> {
    let gone = diesel::sql_query("DELETE FROM executor.schema_migrations WHERE version = $1")
        .bind::<Text, _>(mark.name())
        .execute(connection)?;
    match gone {
        0 => Err(taken_over()),
        _ => Ok(()),
    }
}
