//! The partitions of executions and lines: one for each day (UTC). What belongs to none is in the default partition.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::periods::{DAY_US, day_of};
use crate::postgres::open::Open;
use crate::postgres::sql::NOW;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::Number;

const TABLES: [&str; 2] = ["executions", "execution_lines"];

/// The days around the server's own that are made, and the most partitions of a table: whoever asks for all of them locks
/// each. A clock that is wrong by more fills the default partition.
const DAYS_BACK: i64 = 3_660;
const DAYS_AHEAD: i64 = 7;
const DAYS_MAX: i64 = 1_000;

/// The most rows that move from the default partition into a day. The others stay, and the day is not made.
const MOVED_MAX: i64 = 5_000;

/// Makes sure that the days of these times, and the one after the last of them, have partitions. Failing to is no
/// failure: such rows go to the default partition.
pub(crate) fn make(open: &mut Open, ended_us: impl Iterator<Item = i64>) {
    let mut days: Vec<i64> = ended_us.map(day_of).collect();
    let next = days.iter().max().map(|last| last.saturating_add(1));
    days.extend(next);
    days.sort_unstable();
    days.dedup();
    days.retain(|day| open.days.lacks(*day));
    for day in days {
        let made = TABLES.iter().try_fold(true, |all, table| {
            let made = writing(open, |open| make_one(open, table, day))?;
            Ok::<_, diesel::result::Error>(all && made)
        });
        match made {
            Ok(true) => open.days.is_made(day),
            Ok(false) => open.days.leave_alone(day),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(
                    error,
                    day,
                    "could not make a day's partition; trying again later"
                );
                open.days.leave_alone(day);
            }
        }
    }
}

/// The name of a day's partition, which has no sign.
pub(super) fn partition_of(table: &str, day: i64) -> String {
    format!("executor.{table}_{}", day.to_string().replace('-', "m"))
}

/// Keeps days from being made until the end of the transaction. Somebody who makes one waits for this, or this for the
/// day: else a row that is there is not found, and one that belongs to the day is refused.
pub(crate) fn keep(open: &mut Open) -> QueryResult<()> {
    open.connection().batch_execute(
        "LOCK TABLE ONLY executor.executions_default, executor.execution_lines_default IN ROW EXCLUSIVE MODE",
    )
}

/// Makes the days of the coming week, now and then: a row whose day is there already waits for nothing.
pub(crate) fn make_ahead(open: &mut Open) {
    if !open.days.looks_ahead() {
        return;
    }
    let now = format!("SELECT {NOW} AS number");
    if let Ok(now) = number(open, &now) {
        let days = (0..DAYS_AHEAD).map(|day| now.saturating_add(day * DAY_US));
        make(open, days);
    }
}

fn number(open: &mut Open, question: &str) -> QueryResult<i64> {
    let row: Number = diesel::sql_query(question).get_result(open.connection())?;
    Ok(row.number)
}

/// Makes a day unless it is there, and moves into it what is in the default partition. Returns whether it is there now.
/// Attaching, unlike `PARTITION OF`, lets others read and write meanwhile.
fn make_one(open: &mut Open, table: &str, day: i64) -> QueryResult<bool> {
    let name = partition_of(table, day);
    let attached = format!(
        "SELECT count(*) AS number FROM pg_inherits WHERE inhrelid = to_regclass('{name}')"
    );
    if number(open, &attached)? > 0 {
        return Ok(true);
    }
    if !is_wanted(open, table, day)? {
        return Ok(false);
    }
    let (from, to) = (day * DAY_US, (day + 1) * DAY_US);
    open.connection().batch_execute(&format!(
        "SET LOCAL lock_timeout = '100ms'; LOCK TABLE ONLY executor.{table}_default IN SHARE ROW EXCLUSIVE MODE"
    ))?;
    // Another process may have been quicker.
    if number(open, &attached)? > 0 {
        return Ok(true);
    }
    let of_day = format!("ended_us >= {from} AND ended_us < {to}");
    let late = format!(
        "SELECT count(*) AS number FROM (SELECT FROM executor.{table}_default WHERE {of_day} LIMIT {}) AS late",
        MOVED_MAX + 1
    );
    if number(open, &late)? > MOVED_MAX {
        return Ok(false);
    }
    open.connection().batch_execute(&format!(
        "CREATE TABLE {name} (LIKE executor.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) \
         WITH (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, \
               autovacuum_analyze_scale_factor = 0.2); \
         WITH moved AS (DELETE FROM executor.{table}_default WHERE {of_day} RETURNING *) \
         INSERT INTO {name} SELECT * FROM moved; \
         ALTER TABLE executor.{table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to})"
    ))?;
    Ok(true)
}

/// Returns whether a day is near the server's own, and there is room for one more.
fn is_wanted(open: &mut Open, table: &str, day: i64) -> QueryResult<bool> {
    let question = format!(
        "SELECT count(*) AS number FROM pg_inherits WHERE inhparent = 'executor.{table}'::regclass \
         AND (SELECT extract(epoch FROM clock_timestamp())::bigint / 86400) BETWEEN $1 AND $2"
    );
    let partitions: Number = diesel::sql_query(question)
        .bind::<BigInt, _>(day.saturating_sub(DAYS_AHEAD))
        .bind::<BigInt, _>(day.saturating_add(DAYS_BACK))
        .get_result(open.connection())?;
    // None at all means that it is not near: the default one is always there.
    Ok((1..=DAYS_MAX).contains(&partitions.number))
}
