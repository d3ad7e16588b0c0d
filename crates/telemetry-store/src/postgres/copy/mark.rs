//! Marks a database as an unfinished copy, and takes the mark away.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use crate::copy::mark::mark_of;
use crate::copy::side::Claim;

#[derive(QueryableByName)]
struct Looked {
    #[diesel(sql_type = Bool)]
    is_marked: bool,
    #[diesel(sql_type = Bool)]
    is_taken: bool,
}

/// Marks an empty database. Runs in a transaction.
pub(super) fn claim(connection: &mut PgConnection, history: &str) -> QueryResult<Claim> {
    let mark = mark_of(history);
    // One copy looks while another one does.
    diesel::sql_query("LOCK TABLE executor.schema_migrations IN SHARE ROW EXCLUSIVE MODE")
        .execute(connection)?;
    let looked = "SELECT EXISTS (SELECT FROM executor.schema_migrations WHERE version = $1) AS is_marked, \
        EXISTS (SELECT FROM executor.schema_migrations WHERE version LIKE 'copy-%') \
        OR EXISTS (SELECT FROM executor.sessions) OR EXISTS (SELECT FROM executor.executions) \
        OR EXISTS (SELECT FROM executor.entities) OR EXISTS (SELECT FROM executor.rollups) AS is_taken";
    let looked: Looked = diesel::sql_query(looked)
        .bind::<Text, _>(&mark)
        .get_result(connection)?;
    match looked {
        Looked {
            is_marked: true, ..
        } => return Ok(Claim::Resumed),
        Looked { is_taken: true, .. } => return Ok(Claim::Taken),
        Looked { .. } => {}
    }
    diesel::sql_query("INSERT INTO executor.schema_migrations (version) VALUES ($1)")
        .bind::<Text, _>(&mark)
        .execute(connection)?;
    Ok(Claim::Empty)
}

/// Takes the mark away.
pub(super) fn unclaim(connection: &mut PgConnection) -> QueryResult<()> {
    diesel::sql_query("DELETE FROM executor.schema_migrations WHERE version LIKE 'copy-%'")
        .execute(connection)
        .map(drop)
}
