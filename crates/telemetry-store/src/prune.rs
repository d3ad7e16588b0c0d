//! Letting old rows go, a slice at a time, and giving their space back. The rollups keep what they
//! counted for.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use executor_core::Status;
use executor_core::ports::{PruneRule, PruneSlice};

use crate::history::{StoredExecution, by_row};
use crate::query::QueryError;
use crate::rollup::roll_up_before_deleting;
use crate::schema::{executions, listeners, scheduled_jobs};
use crate::transaction::immediate;

/// Sees the rows of a slice before they go.
pub(crate) type Hook = dyn Fn(&[StoredExecution]) + Send + Sync;

/// How many pages are given back to the file system after a slice at most: more than a slice frees,
/// and some milliseconds.
const PAGES_A_SLICE: u32 = 256;

/// Ids in one statement.
const IDS_A_STATEMENT: usize = 256;

/// Deletes a slice and returns how many rows went.
pub(crate) fn prune(
    connection: &mut SqliteConnection,
    slice: PruneSlice,
    hook: Option<&Hook>,
) -> QueryResult<u64> {
    let deleted = immediate(connection, |connection| {
        let ids = let_go_by(connection, slice)?;
        delete(connection, &ids, hook)?;
        Ok(ids.len() as u64)
    })?;
    if deleted > 0 {
        connection.batch_execute(&format!("PRAGMA incremental_vacuum({PAGES_A_SLICE})"))?;
    } else if let PruneRule::LargerThan(_) = slice.rule {
        give_back(connection)?;
    }
    Ok(deleted)
}

/// The database is as small as it should be; the file is to be as well. A reader that is in the way is
/// not waited for: the next time will do.
fn give_back(connection: &mut SqliteConnection) -> QueryResult<()> {
    if number(connection, "PRAGMA freelist_count")? > 0 {
        connection.batch_execute("PRAGMA incremental_vacuum")?;
    }
    connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")
}

/// The ids of a slice, the lowest first.
fn let_go_by(connection: &mut SqliteConnection, slice: PruneSlice) -> QueryResult<Vec<i64>> {
    let limit = i64::from(slice.max_rows);
    let oldest = executions::table
        .select(executions::id)
        .order(executions::id)
        .limit(limit);
    // A row's id is never before the time at which its execution ended.
    match slice.rule {
        PruneRule::EndedBefore(at) => oldest
            .filter(executions::id.lt(at.as_micros()))
            .load(connection),
        PruneRule::WentWellBefore(at) => {
            let well = [Status::Success, Status::Skipped].map(|status| i64::from(status.code()));
            let well = oldest.filter(executions::status.eq_any(well));
            well.filter(executions::id.lt(at.as_micros()))
                .load(connection)
        }
        PruneRule::AllButNewest(count) => surplus(connection, i64::from(count), limit),
        PruneRule::LargerThan(bytes) => {
            let surplus = bytes_used(connection)?.saturating_sub(bytes);
            if surplus == 0 {
                Ok(Vec::new())
            } else {
                oldest.load(connection)
            }
        }
    }
}

/// What the database would take if its free pages were given back.
fn bytes_used(connection: &mut SqliteConnection) -> QueryResult<u64> {
    let pages = number(connection, "PRAGMA page_count")?;
    let free = number(connection, "PRAGMA freelist_count")?;
    let size = number(connection, "PRAGMA page_size")?;
    Ok(((pages - free) * size).unsigned_abs())
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

fn number(connection: &mut SqliteConnection, pragma: &str) -> QueryResult<i64> {
    let name = pragma.trim_start_matches("PRAGMA ");
    let question = format!("SELECT {name} AS number FROM pragma_{name}");
    let row: Number = diesel::sql_query(question).get_result(connection)?;
    Ok(row.number)
}

/// What one of the listeners or jobs has beyond its newest; nothing if none has.
fn surplus(connection: &mut SqliteConnection, keep: i64, limit: i64) -> QueryResult<Vec<i64>> {
    let of_listeners: Vec<i64> = listeners::table.select(listeners::id).load(connection)?;
    let of_jobs: Vec<i64> = scheduled_jobs::table
        .select(scheduled_jobs::id)
        .load(connection)?;
    for (column, rows) in [("listener_id", of_listeners), ("job_id", of_jobs)] {
        for row in rows {
            let surplus = format!(
                "SELECT id AS number FROM executions WHERE {column} = {row} AND id <= \
                 (SELECT id FROM executions WHERE {column} = {row} ORDER BY id DESC LIMIT 1 OFFSET {keep}) \
                 ORDER BY id LIMIT {limit}"
            );
            let surplus: Vec<Number> = diesel::sql_query(surplus).load(connection)?;
            if !surplus.is_empty() {
                return Ok(surplus.into_iter().map(|row| row.number).collect());
            }
        }
    }
    surplus_of_orphans(connection, keep, limit)
}

/// The same of those whose registration is gone: their rows say what they belong to.
fn surplus_of_orphans(
    connection: &mut SqliteConnection,
    keep: i64,
    limit: i64,
) -> QueryResult<Vec<i64>> {
    let surplus = format!(
        "WITH one AS (SELECT app_key, instance, name, topic FROM execution_orphans \
                      GROUP BY app_key, instance, name, topic HAVING count(*) > {keep} LIMIT 1), \
         surplus AS (SELECT o.id FROM one CROSS JOIN execution_orphans o \
                     WHERE o.app_key = one.app_key AND o.instance = one.instance \
                     AND o.name = one.name AND o.topic IS one.topic \
                     ORDER BY o.id DESC LIMIT -1 OFFSET {keep}) \
         SELECT id AS number FROM surplus ORDER BY id LIMIT {limit}"
    );
    let surplus: Vec<Number> = diesel::sql_query(surplus).load(connection)?;
    Ok(surplus.into_iter().map(|row| row.number).collect())
}

fn delete(connection: &mut SqliteConnection, ids: &[i64], hook: Option<&Hook>) -> QueryResult<()> {
    if let Some(hook) = hook.filter(|_| !ids.is_empty()) {
        show(connection, ids, hook)?;
    }
    roll_up_before_deleting(connection, ids)?;
    for some in ids.chunks(IDS_A_STATEMENT) {
        diesel::delete(executions::table.filter(executions::id.eq_any(some)))
            .execute(connection)?;
    }
    Ok(())
}

fn show(connection: &mut SqliteConnection, ids: &[i64], hook: &Hook) -> QueryResult<()> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        match by_row(connection, *id) {
            Ok(row) => rows.extend(row),
            Err(QueryError::Read(error)) => return Err(error),
            // A row that this program cannot read is let go unseen.
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "a row is pruned unseen");
            }
        }
    }
    hook(&rows);
    Ok(())
}
