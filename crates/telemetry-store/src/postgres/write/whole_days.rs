//! Empties whole days, which costs no more for a million rows than for one, and gives their room back at once.
//!
//! Only the day itself is locked to be emptied, whoever reads others; its partition, now empty, is dropped whenever that
//! takes no longer than a tenth of a second. If something reads the day, such as a dump, pruning waits until the next time.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use executor_core::ports::{LinesBound, PruneRule, PruneSlice};

use crate::hook::Hook;
use crate::periods::{DAY_US, day_of, hour_of};
use crate::postgres::key::Key;
use crate::postgres::open::Open;
use crate::postgres::read::spans::Days;
use crate::postgres::sql;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::days::partition_of;
use crate::postgres::write::{Number, session, showing};

/// The number of rows that the hook sees at a time.
const SHOWN_AT_ONCE: i64 = 1_000;

/// Whose days are emptied, and up to which time.
struct Old {
    table: &'static str,
    before: i64,
}

/// Empties the oldest day of which nothing must be kept, and returns the number of its rows; `None` if there is none.
pub(super) fn empty_oldest(
    open: &mut Open,
    slice: PruneSlice,
    hook: Option<&Hook>,
) -> QueryResult<Option<u64>> {
    let Some(old) = old(open, slice)? else {
        return Ok(None);
    };
    let days = Days::read(open.connection(), old.table)?;
    for day in days.until(old.before) {
        if is_empty(open, old.table, day)? {
            drop_whole(open, old.table, day);
            continue;
        }
        let gone = writing(open, |open| empty(open, slice, old.table, day, hook))?;
        drop_whole(open, old.table, day);
        if gone > 0 {
            return Ok(Some(gone));
        }
    }
    Ok(None)
}

/// Which days a rule takes as a whole.
fn old(open: &mut Open, slice: PruneSlice) -> QueryResult<Option<Old>> {
    let old = |table, before| Ok(Some(Old { table, before }));
    match slice.rule {
        PruneRule::EndedBefore(at) => old("executions", at.as_micros()),
        PruneRule::LinesBefore(at) => old("execution_lines", at.as_micros()),
        PruneRule::LinesUntil(LinesBound { of: None, until }) => {
            old("execution_lines", until.as_micros().saturating_add(1))
        }
        PruneRule::LargerThan(bytes) => {
            // What is in the default partition goes by rows, and gives no room back at once.
            if size(open, "AND c.relname NOT LIKE '%!_default%' ESCAPE '!'")? <= bytes {
                return Ok(None);
            }
            // Today's rows have just come.
            let now = number(open, &format!("SELECT {} AS number", sql::NOW))?;
            old("executions", day_of(now).saturating_mul(DAY_US))
        }
        _ => Ok(None),
    }
}

/// The bytes of tables of the schema with their indexes and long texts.
pub(super) fn size(open: &mut Open, which: &str) -> QueryResult<u64> {
    let question = format!(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS number FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'executor' AND c.relkind = 'r' {which}"
    );
    Ok(number(open, &question)?.unsigned_abs())
}

fn number(open: &mut Open, question: &str) -> QueryResult<i64> {
    let row: Number = diesel::sql_query(question).get_result(open.connection())?;
    Ok(row.number)
}

fn is_there(open: &mut Open, leaf: &str) -> QueryResult<bool> {
    let there =
        format!("SELECT count(*) AS number FROM pg_class WHERE oid = to_regclass('{leaf}')");
    Ok(number(open, &there)? > 0)
}

/// Whether a day has no rows, or is gone: others prune, too.
fn is_empty(open: &mut Open, table: &str, day: i64) -> QueryResult<bool> {
    let leaf = partition_of(table, day);
    if !is_there(open, &leaf)? {
        return Ok(true);
    }
    let any = format!("SELECT count(*) AS number FROM (SELECT FROM {leaf} LIMIT 1) AS any_row");
    Ok(number(open, &any)? == 0)
}

/// Empties a day inside the caller's transaction, and counts what goes.
fn empty(
    open: &mut Open,
    slice: PruneSlice,
    table: &str,
    day: i64,
    hook: Option<&Hook>,
) -> QueryResult<u64> {
    let leaf = partition_of(table, day);
    if !is_there(open, &leaf)? {
        return Ok(0);
    }
    // Counting millions of rows takes seconds, in which nobody else waits.
    open.connection().batch_execute(&format!(
        "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '90s'; \
         LOCK TABLE {leaf} IN ACCESS EXCLUSIVE MODE"
    ))?;
    let of_executions = table == "executions";
    if let Some(hook) = hook.filter(|_| of_executions) {
        show_all(open, &leaf, hook)?;
    }
    if of_executions {
        empty_lines(open, day)?;
    }
    let session = slice.session.map(|id| session::row_of(open, id));
    let session = session.transpose()?.flatten();
    // Batches of sessions that have rows in it wait from here on, until the commit.
    let counted: Number = diesel::sql_query(counting(&leaf, of_executions))
        .bind::<Text, _>(slice.rule.as_str())
        .bind::<Nullable<BigInt>, _>(session)
        .bind::<BigInt, _>(hour_of(slice.now.as_micros()))
        .get_result(open.connection())?;
    open.connection()
        .batch_execute(&format!("TRUNCATE {leaf}"))?;
    Ok(counted.number.unsigned_abs())
}

/// Counts the rows of a day by session and hour, and notes them as pruned.
fn counting(leaf: &str, of_executions: bool) -> String {
    let noted = "noted AS (INSERT INTO executor.prunes (rule, session_id, hour_us, count, first_us, last_us) \
        SELECT $1, $2, $3, sum(n)::bigint, min(first), max(last) FROM gone HAVING sum(n) > 0 \
        ON CONFLICT (hour_us, rule, coalesce(session_id, 0)) DO UPDATE SET count = prunes.count + excluded.count, \
          first_us = least(prunes.first_us, excluded.first_us), last_us = greatest(prunes.last_us, excluded.last_us)) \
        SELECT coalesce(sum(n), 0)::bigint AS number FROM gone";
    let gone = |by: &str, group: &str| {
        format!(
            "WITH gone AS MATERIALIZED (SELECT {by}count(*) AS n, min(ended_us) AS first, max(ended_us) AS last \
             FROM {leaf} {group})"
        )
    };
    if !of_executions {
        return format!("{}, {noted}", gone("", ""));
    }
    let by = format!("session_id, {} AS hour, ", sql::hour_of("ended_us"));
    // Batches count hours before sessions, too: the sessions ask for the hours first.
    format!(
        "{}, hours AS (INSERT INTO executor.session_hours (session_id, hour_us, pruned) \
           SELECT session_id, hour, n FROM gone ORDER BY 1, 2 ON CONFLICT (session_id, hour_us) \
           DO UPDATE SET pruned = session_hours.pruned + excluded.pruned RETURNING session_id), \
         sessions AS (UPDATE executor.sessions s SET pruned = s.pruned + g.n \
           FROM (SELECT session_id, sum(n)::bigint AS n FROM gone GROUP BY 1) g WHERE s.id = g.session_id \
           AND (SELECT count(*) FROM hours) >= 0), {noted}",
        gone(&by, "GROUP BY 1, 2")
    )
}

/// What the executions of a day said goes with them.
fn empty_lines(open: &mut Open, day: i64) -> QueryResult<()> {
    let leaf = partition_of("execution_lines", day);
    if is_there(open, &leaf)? {
        open.connection()
            .batch_execute(&format!("TRUNCATE {leaf}"))?;
    }
    let (from, to) = (day * DAY_US, (day + 1) * DAY_US);
    open.connection().batch_execute(&format!(
        "DELETE FROM executor.execution_lines_default WHERE ended_us >= {from} AND ended_us < {to}"
    ))
}

/// Shows a day's rows to the hook, page by page. Nobody changes them meanwhile.
fn show_all(open: &mut Open, leaf: &str, hook: &Hook) -> QueryResult<()> {
    let question = format!(
        "SELECT ended_us, execution_id FROM {leaf} WHERE (ended_us, execution_id) > ($1, $2) \
         ORDER BY ended_us, execution_id LIMIT {SHOWN_AT_ONCE}"
    );
    let mut after = Key::FIRST;
    loop {
        let keys: Vec<Key> = diesel::sql_query(&question)
            .bind::<BigInt, _>(after.ended_us)
            .bind::<diesel::sql_types::Uuid, _>(after.execution_id)
            .load(open.connection())?;
        let Some(last) = keys.last() else {
            return Ok(());
        };
        after = *last;
        showing::show(open, &keys, hook)?;
    }
}

/// Drops the partitions of an empty day. What its executions said is gone with them.
fn drop_whole(open: &mut Open, table: &'static str, day: i64) {
    drop_day(open, table, day);
    if table == "executions" {
        drop_day(open, "execution_lines", day);
    }
}

/// Drops the partition of an empty day, if nobody has written to it meanwhile and nobody reads the table for long.
fn drop_day(open: &mut Open, table: &'static str, day: i64) {
    let leaf = partition_of(table, day);
    let dropped = writing(open, |open| {
        if !is_there(open, &leaf)? {
            return Ok(());
        }
        open.connection().batch_execute(&format!(
            "SET LOCAL lock_timeout = '100ms'; LOCK TABLE {leaf} IN ACCESS EXCLUSIVE MODE"
        ))?;
        if is_empty(open, table, day)? {
            open.connection()
                .batch_execute(&format!("DROP TABLE {leaf}"))?;
        }
        Ok(())
    });
    match dropped {
        Ok(()) => open.days.forget(day),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(
                error,
                day,
                "could not drop an empty day; trying again later"
            );
        }
    }
}
