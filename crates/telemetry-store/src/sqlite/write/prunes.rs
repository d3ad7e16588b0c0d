//! Notes what was pruned, by rule, session and hour, so that pruned and lost records can be told apart.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::PruneRule;

use crate::periods::hour_of;
use crate::sqlite::read::stored::listed;
use crate::sqlite::write::hours::count_pruned;

/// Who prunes, by which rule, and when.
#[derive(Clone, Copy)]
pub(crate) struct Prune {
    pub(crate) session: Option<i64>,
    pub(crate) rule: PruneRule,
    pub(crate) at_us: i64,
}

/// Notes rows that are about to be deleted, inside the transaction that deletes them.
pub(crate) fn note(
    connection: &mut SqliteConnection,
    prune: Prune,
    ids: &[i64],
) -> QueryResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    count_pruned(connection, ids)?;
    note_only(connection, prune, ids)
}

/// Notes rows without counting them as pruned in their sessions, because they stay and only lose something.
pub(crate) fn note_only(
    connection: &mut SqliteConnection,
    prune: Prune,
    ids: &[i64],
) -> QueryResult<()> {
    let question = format!(
        "INSERT INTO prunes (session_id, rule, hour_us, count, first_us, last_us) \
         SELECT ?1, ?2, ?3, count(*), min(ended), max(ended) FROM \
         (SELECT start_us + duration_us AS ended FROM executions WHERE id IN ({})) \
         WHERE true HAVING count(*) > 0 \
         ON CONFLICT (hour_us, rule, coalesce(session_id, 0)) DO UPDATE SET \
         count = count + excluded.count, first_us = min(first_us, excluded.first_us), \
         last_us = max(last_us, excluded.last_us)",
        listed(ids)
    );
    diesel::sql_query(question)
        .bind::<Nullable<BigInt>, _>(prune.session)
        .bind::<Text, _>(prune.rule.as_str())
        .bind::<BigInt, _>(hour_of(prune.at_us))
        .execute(connection)
        .map(drop)
}
