//! Deletes old rows, a slice at a time, and gives their space back. The rollups keep their counts.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use executor_core::Status;
use executor_core::ports::{ClockTrust, PruneRule, PruneSlice};

use crate::hook::Hook;
use crate::read::question::QueryError;
use crate::sqlite::read::stored::by_row;
use crate::sqlite::schema::{executions, listeners, scheduled_jobs};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::prunes::Prune;
use crate::sqlite::write::rollup::roll_up_before_deleting;
use crate::sqlite::write::{old_history, old_lines, prunes, registration, session, topics};

/// The pages that one transaction may free: some ten milliseconds' work. If rows span many pages, a slice has few.
const PAGES_A_SLICE: i64 = 512;

/// The number of rows to find and delete before checking how many pages that has freed.
const ROWS_AT_ONCE: u32 = 64;

/// The size of the largest row: a message (2,048), a report (8,192) and arguments (65,536) of maximum length, in
/// characters of four bytes.
const ROW_BYTES_MAX: u64 = 4 * 75_776;

/// Deletes a slice and returns the number of rows deleted.
pub(crate) fn prune(
    connection: &mut SqliteConnection,
    slice: PruneSlice,
    hook: Option<&Hook>,
) -> QueryResult<u64> {
    if let PruneRule::GoneBefore(at) = slice.rule {
        return immediate(connection, |connection| {
            registration::forget_gone(connection, at, slice.max_rows)
        });
    }
    if let PruneRule::HistoryBefore(at) = slice.rule {
        return old_history::forget(connection, at, slice.max_rows);
    }
    let (deleted, freed) = immediate(connection, |connection| {
        delete_slice(connection, slice, hook)
    })?;
    if freed > 0 {
        connection.batch_execute(&format!("PRAGMA incremental_vacuum({freed})"))?;
    }
    if let (0, PruneRule::LargerThan(_)) = (deleted, slice.rule) {
        give_back(connection)?;
    }
    Ok(deleted)
}

/// Deletes a slice inside the transaction. Returns the number of rows deleted and of pages freed.
fn delete_slice(
    connection: &mut SqliteConnection,
    slice: PruneSlice,
    hook: Option<&Hook>,
) -> QueryResult<(u64, i64)> {
    let free_before = number(connection, "PRAGMA freelist_count")?;
    let prune = noted_as(connection, slice)?;
    if is_of_lines(slice.rule) {
        let mut freed = 0;
        let ids = old_lines::forget(connection, slice, |connection| {
            freed = number(connection, "PRAGMA freelist_count")? - free_before;
            Ok(freed >= PAGES_A_SLICE)
        })?;
        prunes::note_only(connection, prune, &ids)?;
        return Ok((ids.len() as u64, freed));
    }
    let mut left = slice.max_rows;
    loop {
        let most = left.min(rows_at_once(connection, slice.rule)?);
        let ids = let_go_by(connection, slice, most)?;
        delete(connection, prune, &ids, hook)?;
        left -= u32::try_from(ids.len()).unwrap_or(left).min(left);
        let freed = number(connection, "PRAGMA freelist_count")? - free_before;
        if ids.is_empty() || left == 0 || freed >= PAGES_A_SLICE {
            return Ok((u64::from(slice.max_rows - left), freed));
        }
    }
}

const fn is_of_lines(rule: PruneRule) -> bool {
    matches!(rule, PruneRule::LinesBefore(_) | PruneRule::LinesUntil(_))
}

/// Pruning by size must delete no more than the surplus, and a row may be a hundred times as large as the one before.
fn rows_at_once(connection: &mut SqliteConnection, rule: PruneRule) -> QueryResult<u32> {
    let PruneRule::LargerThan(bytes) = rule else {
        return Ok(ROWS_AT_ONCE);
    };
    let surplus = bytes_used(connection)?.saturating_sub(bytes);
    let rows = u32::try_from(surplus.div_ceil(ROW_BYTES_MAX));
    Ok(rows.map_or(ROWS_AT_ONCE, |rows| rows.min(ROWS_AT_ONCE)))
}

/// Shrinks the file once the database is as small as it should be. Does not wait for a reader that is in
/// the way: the next time will do.
fn give_back(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Returns the ids of the next rows to delete, at most `most`, the lowest first.
fn let_go_by(
    connection: &mut SqliteConnection,
    slice: PruneSlice,
    most: u32,
) -> QueryResult<Vec<i64>> {
    let limit = i64::from(most);
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
        PruneRule::AllButNewest(count) => {
            let now = slice.now.as_micros();
            surplus(connection, i64::from(count), now, limit)
        }
        PruneRule::LargerThan(_) => {
            if slice.clock == ClockTrust::Trusted {
                let future = beyond(connection, slice.now.as_micros(), limit)?;
                if !future.is_empty() {
                    return Ok(future);
                }
            }
            oldest.load(connection)
        }
        PruneRule::GoneBefore(_)
        | PruneRule::HistoryBefore(_)
        | PruneRule::LinesBefore(_)
        | PruneRule::LinesUntil(_) => Ok(Vec::new()),
    }
}

/// Rows that ended later than this, the lowest ids first.
fn beyond(connection: &mut SqliteConnection, now: i64, limit: i64) -> QueryResult<Vec<i64>> {
    let ended = executions::start_us + executions::duration_us;
    executions::table
        .filter(executions::id.gt(now))
        .filter(ended.gt(now))
        .order(executions::id)
        .limit(limit)
        .select(executions::id)
        .load(connection)
}

/// Returns the size that the database would have without its free pages.
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

/// Finds the rows of one listener or job beyond its newest `keep`; none if no listener or job has any. Rows that
/// ended later than `now` do not count.
fn surplus(
    connection: &mut SqliteConnection,
    keep: i64,
    now: i64,
    limit: i64,
) -> QueryResult<Vec<i64>> {
    let of_listeners: Vec<i64> = listeners::table.select(listeners::id).load(connection)?;
    let of_jobs: Vec<i64> = scheduled_jobs::table
        .select(scheduled_jobs::id)
        .load(connection)?;
    for (column, rows) in [("listener_id", of_listeners), ("job_id", of_jobs)] {
        for row in rows {
            // An id is never before the end, so the index alone settles most rows.
            let present =
                format!("{column} = {row} AND (id <= {now} OR start_us + duration_us <= {now})");
            let surplus = format!(
                "SELECT id AS number FROM executions WHERE {present} AND id <= \
                 (SELECT id FROM executions WHERE {present} ORDER BY id DESC LIMIT 1 OFFSET {keep}) \
                 ORDER BY id LIMIT {limit}"
            );
            let surplus: Vec<Number> = diesel::sql_query(surplus).load(connection)?;
            if !surplus.is_empty() {
                return Ok(surplus.into_iter().map(|row| row.number).collect());
            }
        }
    }
    surplus_of_orphans(connection, keep, now, limit)
}

/// Does the same for deleted registrations: the rows themselves say what they belong to.
fn surplus_of_orphans(
    connection: &mut SqliteConnection,
    keep: i64,
    now: i64,
    limit: i64,
) -> QueryResult<Vec<i64>> {
    let surplus = format!(
        "WITH present AS (SELECT o.id, app_key, instance, name, topic \
                          FROM execution_orphans o CROSS JOIN executions e ON e.id = o.id \
                          WHERE e.start_us + e.duration_us <= {now}), \
         one AS (SELECT app_key, instance, name, topic FROM present \
                 GROUP BY app_key, instance, name, topic HAVING count(*) > {keep} LIMIT 1), \
         surplus AS (SELECT p.id FROM one CROSS JOIN present p \
                     WHERE p.app_key = one.app_key AND p.instance = one.instance \
                     AND p.name = one.name AND p.topic IS one.topic \
                     ORDER BY p.id DESC LIMIT -1 OFFSET {keep}) \
         SELECT id AS number FROM surplus ORDER BY id LIMIT {limit}"
    );
    let surplus: Vec<Number> = diesel::sql_query(surplus).load(connection)?;
    Ok(surplus.into_iter().map(|row| row.number).collect())
}

/// Returns what the history will say about a slice.
fn noted_as(connection: &mut SqliteConnection, slice: PruneSlice) -> QueryResult<Prune> {
    let session = slice.session.map(|id| session::row_of(connection, id));
    Ok(Prune {
        session: session.transpose()?.flatten(),
        rule: slice.rule,
        at_us: slice.now.as_micros(),
    })
}

fn delete(
    connection: &mut SqliteConnection,
    prune: Prune,
    ids: &[i64],
    hook: Option<&Hook>,
) -> QueryResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    if let Some(hook) = hook {
        show(connection, ids, hook)?;
    }
    roll_up_before_deleting(connection, ids)?;
    prunes::note(connection, prune, ids)?;
    let topics = topics::of(connection, ids)?;
    let rows = executions::table.filter(executions::id.eq_any(ids));
    diesel::delete(rows).execute(connection)?;
    topics::forget(connection, &topics)
}

fn show(connection: &mut SqliteConnection, ids: &[i64], hook: &Hook) -> QueryResult<()> {
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        match by_row(connection, *id) {
            Ok(row) => rows.extend(row),
            Err(QueryError::Read(error)) => return Err(error),
            // A row that this program cannot read is deleted unseen.
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "pruned an unreadable row, hook not called");
            }
        }
    }
    hook(&rows);
    Ok(())
}
