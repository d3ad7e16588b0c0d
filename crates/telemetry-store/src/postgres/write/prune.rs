//! Deletes old rows, a slice at a time, and counts them in the transaction that deletes them.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use executor_core::ports::{LinesBound, Order, PruneRule, PruneSlice};
use executor_core::{RegistrationId, Status, Timestamp};

use crate::hook::Hook;
use crate::periods::hour_of;
use crate::postgres::key::{Key, Keys};
use crate::postgres::open::Open;
use crate::postgres::read::spans::Days;
use crate::postgres::sql;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{Number, old_history, registration, session, showing, whole_days};

/// Deletes a slice and returns the number of rows deleted.
pub(crate) fn prune(open: &mut Open, slice: PruneSlice, hook: Option<&Hook>) -> QueryResult<u64> {
    let slice = by_server_time(open, slice)?;
    if let Some(gone) = writing(open, |open| future(open, slice, hook))? {
        return Ok(gone);
    }
    if let Some(gone) = whole_days::empty_oldest(open, slice, hook)? {
        return Ok(gone);
    }
    if let PruneRule::GoneBefore(at) = slice.rule {
        return registration::forget_gone(open, at, slice.max_rows);
    }
    writing(open, |open| {
        if let PruneRule::HistoryBefore(at) = slice.rule {
            return old_history::forget(open, at, slice.max_rows);
        }
        let keys = next(open, slice)?;
        if keys.is_empty() {
            return Ok(0);
        }
        delete_shown(open, slice, hook, &keys)
    })
}

/// Deletes rows after the hook has seen them.
fn delete_shown(
    open: &mut Open,
    slice: PruneSlice,
    hook: Option<&Hook>,
    keys: &[Key],
) -> QueryResult<u64> {
    if let Some(hook) = hook.filter(|_| !is_of_lines(slice.rule)) {
        showing::show(open, keys, hook)?;
    }
    let session = slice.session.map(|id| session::row_of(open, id));
    let session = session.transpose()?.flatten();
    delete(open, slice, session, keys)
}

/// Moves the times of a slice by as much as the clock of whoever prunes is ahead of the server's: one that is wrong by
/// years would delete everything. One that is behind only keeps more.
fn by_server_time(open: &mut Open, slice: PruneSlice) -> QueryResult<PruneSlice> {
    if slice.now == Timestamp::MAX {
        return Ok(slice);
    }
    let now: Number = diesel::sql_query(format!("SELECT {} AS number", sql::NOW))
        .get_result(open.connection())?;
    let ahead = slice.now.as_micros().saturating_sub(now.number);
    if ahead < CLOCKS_AGREE_US {
        return Ok(slice);
    }
    let on_server = |at: Timestamp| Timestamp::from_micros(at.as_micros().saturating_sub(ahead));
    let rule = match slice.rule {
        PruneRule::EndedBefore(at) => PruneRule::EndedBefore(on_server(at)),
        PruneRule::WentWellBefore(at) => PruneRule::WentWellBefore(on_server(at)),
        PruneRule::GoneBefore(at) => PruneRule::GoneBefore(on_server(at)),
        PruneRule::HistoryBefore(at) => PruneRule::HistoryBefore(on_server(at)),
        PruneRule::LinesBefore(at) => PruneRule::LinesBefore(on_server(at)),
        other => other,
    };
    let now = on_server(slice.now);
    Ok(PruneSlice { rule, now, ..slice })
}

/// By size, what the server's clock has not come to goes first; `None` if there is nothing of it, or room enough.
fn future(open: &mut Open, slice: PruneSlice, hook: Option<&Hook>) -> QueryResult<Option<u64>> {
    let PruneRule::LargerThan(bytes) = slice.rule else {
        return Ok(None);
    };
    if whole_days::size(open, "")? <= bytes {
        return Ok(None);
    }
    let question = format!(
        "SELECT ended_us, execution_id FROM executor.executions_default WHERE ended_us > {} \
         ORDER BY ended_us, execution_id LIMIT $1",
        sql::NOW
    );
    let keys: Vec<Key> = diesel::sql_query(question)
        .bind::<BigInt, _>(i64::from(slice.max_rows))
        .load(open.connection())?;
    match keys.is_empty() {
        true => Ok(None),
        false => delete_shown(open, slice, hook, &keys).map(Some),
    }
}

/// A smaller difference between two clocks does not matter.
const CLOCKS_AGREE_US: i64 = 1_000_000;

const fn is_of_lines(rule: PruneRule) -> bool {
    matches!(rule, PruneRule::LinesBefore(_) | PruneRule::LinesUntil(_))
}

/// Returns the next rows to delete, the oldest first.
fn next(open: &mut Open, slice: PruneSlice) -> QueryResult<Vec<Key>> {
    match slice.rule {
        PruneRule::EndedBefore(at) => before(open, slice, "executions", "", at),
        PruneRule::WentWellBefore(at) => {
            let [one, other] = [Status::Success, Status::Skipped].map(Status::code);
            let well = format!("AND status IN ({one}, {other})");
            before(open, slice, "executions", &well, at)
        }
        PruneRule::LinesBefore(at) => before(open, slice, "execution_lines", "", at),
        PruneRule::LinesUntil(LinesBound { of: None, until }) => {
            let end = until.saturating_add(Duration::from_micros(1));
            before(open, slice, "execution_lines", "", end)
        }
        PruneRule::LinesUntil(LinesBound {
            of: Some(of),
            until,
        }) => lines_of(open, slice, of, until),
        PruneRule::AllButNewest(count) => surplus(open, slice, count),
        // Only whole days give their room back at once: a day is the grain.
        PruneRule::LargerThan(_) | PruneRule::GoneBefore(_) | PruneRule::HistoryBefore(_) => {
            Ok(Vec::new())
        }
    }
}

/// Asks for few days at a time: the oldest rows are in the first that has any.
fn before(
    open: &mut Open,
    slice: PruneSlice,
    table: &'static str,
    which: &str,
    at: Timestamp,
) -> QueryResult<Vec<Key>> {
    let question = format!(
        "SELECT ended_us, execution_id FROM executor.{table} WHERE ended_us >= $1 AND ended_us < $2 {which} \
         ORDER BY ended_us, execution_id LIMIT $3"
    );
    let days = Days::read(open.connection(), table)?;
    for span in days.spans(&(i64::MIN..at.as_micros()), Order::OldestFirst) {
        let keys: Vec<Key> = diesel::sql_query(&question)
            .bind::<BigInt, _>(span.start)
            .bind::<BigInt, _>(span.end)
            .bind::<BigInt, _>(i64::from(slice.max_rows))
            .load(open.connection())?;
        if !keys.is_empty() {
            return Ok(keys);
        }
    }
    Ok(Vec::new())
}

/// Goes through the executions of one listener or job, by their index: lines of others may be many.
fn lines_of(
    open: &mut Open,
    slice: PruneSlice,
    of: RegistrationId,
    until: Timestamp,
) -> QueryResult<Vec<Key>> {
    let question = "SELECT e.ended_us, e.execution_id FROM executor.executions e JOIN executor.execution_lines l \
                    ON l.ended_us = e.ended_us AND l.execution_id = e.execution_id \
                    WHERE e.entity_id = $1 AND e.ended_us <= $2 ORDER BY e.ended_us, e.execution_id LIMIT $3";
    diesel::sql_query(question)
        .bind::<BigInt, _>(of.row.get())
        .bind::<BigInt, _>(until.as_micros())
        .bind::<BigInt, _>(i64::from(slice.max_rows))
        .load(open.connection())
}

/// Rows beyond the newest of each listener and job. Rows that ended later than now do not count.
fn surplus(open: &mut Open, slice: PruneSlice, keep: u32) -> QueryResult<Vec<Key>> {
    let question = "SELECT x.ended_us, x.execution_id FROM executor.entities n \
        CROSS JOIN LATERAL (SELECT e.ended_us, e.execution_id FROM executor.executions e \
          WHERE e.entity_id = n.id AND e.ended_us <= $2 \
          ORDER BY e.ended_us DESC, e.execution_id DESC OFFSET $1 LIMIT 1) edge \
        CROSS JOIN LATERAL (SELECT e.ended_us, e.execution_id FROM executor.executions e \
          WHERE e.entity_id = n.id AND (e.ended_us, e.execution_id) <= (edge.ended_us, edge.execution_id) \
          ORDER BY e.ended_us, e.execution_id LIMIT $3) x \
        ORDER BY x.ended_us, x.execution_id LIMIT $3";
    diesel::sql_query(question)
        .bind::<BigInt, _>(i64::from(keep))
        .bind::<BigInt, _>(slice.now.as_micros())
        .bind::<BigInt, _>(i64::from(slice.max_rows))
        .load(open.connection())
}

/// What is deleted by `$1` and `$2`, between `$6` and `$7`: as values of their own these leave out days when it is
/// planned.
const OF_KEYS: &str = "USING unnest($1, $2) AS k(ended_us, execution_id) \
    WHERE d.ended_us = k.ended_us AND d.execution_id = k.execution_id AND d.ended_us BETWEEN $6 AND $7";

/// Notes by rule and hour what `gone` says.
const NOTED: &str = "noted AS (INSERT INTO executor.prunes (rule, session_id, hour_us, count, first_us, last_us) \
    SELECT $3, $4, $5, count(*), min(ended_us), max(ended_us) FROM gone HAVING count(*) > 0 \
    ON CONFLICT (hour_us, rule, coalesce(session_id, 0)) DO UPDATE SET count = prunes.count + excluded.count, \
      first_us = least(prunes.first_us, excluded.first_us), last_us = greatest(prunes.last_us, excluded.last_us)) \
    SELECT count(*) AS number FROM gone";

/// Deletes the rows and counts those that were there: two that prune at once count each row once.
fn delete(
    open: &mut Open,
    slice: PruneSlice,
    session: Option<i64>,
    keys: &[Key],
) -> QueryResult<u64> {
    let statement = match slice.rule {
        PruneRule::LinesBefore(_) | PruneRule::LinesUntil(_) => format!(
            "WITH gone AS (DELETE FROM executor.execution_lines d {OF_KEYS} RETURNING d.ended_us), {NOTED}"
        ),
        // Batches count hours before sessions, too: the sessions ask for the hours first.
        _ => format!(
            "WITH gone AS (DELETE FROM executor.executions d {OF_KEYS} \
               RETURNING d.session_id, d.ended_us, d.execution_id), \
             lines AS (DELETE FROM executor.execution_lines l USING gone g \
               WHERE l.ended_us = g.ended_us AND l.execution_id = g.execution_id AND l.ended_us BETWEEN $6 AND $7), \
             hours AS (INSERT INTO executor.session_hours (session_id, hour_us, pruned) \
               SELECT session_id, {}, count(*) FROM gone GROUP BY 1, 2 ORDER BY 1, 2 \
               ON CONFLICT (session_id, hour_us) DO UPDATE SET pruned = session_hours.pruned + excluded.pruned \
               RETURNING session_id), \
             sessions AS (UPDATE executor.sessions s SET pruned = s.pruned + g.count \
               FROM (SELECT session_id, count(*) FROM gone GROUP BY 1) g WHERE s.id = g.session_id \
               AND (SELECT count(*) FROM hours) >= 0), {NOTED}",
            sql::hour_of("ended_us")
        ),
    };
    let keys = Keys::of(keys);
    let gone: Number = diesel::sql_query(statement)
        .bind::<Array<BigInt>, _>(keys.ended_us)
        .bind::<Array<SqlUuid>, _>(keys.names)
        .bind::<Text, _>(slice.rule.as_str())
        .bind::<Nullable<BigInt>, _>(session)
        .bind::<BigInt, _>(hour_of(slice.now.as_micros()))
        .bind::<BigInt, _>(keys.first)
        .bind::<BigInt, _>(keys.last)
        .get_result(open.connection())?;
    Ok(gone.number.unsigned_abs())
}
