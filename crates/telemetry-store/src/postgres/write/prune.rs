//! Deletes old rows, a slice at a time, and counts them in the transaction that deletes them.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use executor_core::Status;
use executor_core::ports::{PruneRule, PruneSlice};
use uuid::Uuid;

use crate::periods::{HOUR_US, hour_of};
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{Number, registration, session};
use crate::postgres::writer::Open;

/// What executions and lines are found by.
#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = BigInt)]
    ended_us: i64,
    #[diesel(sql_type = SqlUuid)]
    execution_id: Uuid,
}

/// Deletes a slice and returns the number of rows deleted.
pub(crate) fn prune(open: &mut Open, slice: PruneSlice) -> QueryResult<u64> {
    writing(open, |open| {
        if let PruneRule::GoneBefore(at) = slice.rule {
            return registration::forget_gone(open, at, slice.max_rows);
        }
        let keys = next(open, slice)?;
        if keys.is_empty() {
            return Ok(0);
        }
        let session = slice.session.map(|id| session::row_of(open, id));
        let session = session.transpose()?.flatten();
        delete(open, slice, session, &keys)
    })
}

/// Returns the next rows to delete, the oldest first.
fn next(open: &mut Open, slice: PruneSlice) -> QueryResult<Vec<Key>> {
    let limit = i64::from(slice.max_rows);
    let before = |open: &mut Open, table: &str, which: &str, at: i64| {
        let question = format!(
            "SELECT ended_us, execution_id FROM executor.{table} WHERE ended_us < $1 {which} \
             ORDER BY ended_us, execution_id LIMIT $2"
        );
        diesel::sql_query(question)
            .bind::<BigInt, _>(at)
            .bind::<BigInt, _>(limit)
            .load(open.connection())
    };
    match slice.rule {
        PruneRule::EndedBefore(at) => before(open, "executions", "", at.as_micros()),
        PruneRule::WentWellBefore(at) => {
            let [one, other] = [Status::Success, Status::Skipped].map(Status::code);
            let well = format!("AND status IN ({one}, {other})");
            before(open, "executions", &well, at.as_micros())
        }
        PruneRule::LinesBefore(at) => before(open, "execution_lines", "", at.as_micros()),
        PruneRule::AllButNewest(count) => surplus(open, slice, count),
        // Deleting rows gives no room back before a vacuum, and would go on until none was left.
        PruneRule::LargerThan(_) => Ok(Vec::new()),
        PruneRule::GoneBefore(_) | PruneRule::HistoryBefore(_) | PruneRule::LinesUntil(_) => {
            Ok(Vec::new())
        }
    }
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

/// The first whole hour; what ended earlier counts with the beginning of time, as in [`hour_of`].
const FIRST_HOUR_US: i64 = i64::MIN / HOUR_US * HOUR_US;

/// Deletes the rows and counts those that were there: two that prune at once count each row once.
fn delete(
    open: &mut Open,
    slice: PruneSlice,
    session: Option<i64>,
    keys: &[Key],
) -> QueryResult<u64> {
    let statement = match slice.rule {
        PruneRule::LinesBefore(_) => format!(
            "WITH gone AS (DELETE FROM executor.execution_lines d {OF_KEYS} RETURNING d.ended_us), {NOTED}"
        ),
        // Batches count hours before sessions, too: the sessions ask for the hours first.
        _ => format!(
            "WITH gone AS (DELETE FROM executor.executions d {OF_KEYS} \
               RETURNING d.session_id, d.ended_us, d.execution_id), \
             lines AS (DELETE FROM executor.execution_lines l USING gone g \
               WHERE l.ended_us = g.ended_us AND l.execution_id = g.execution_id AND l.ended_us BETWEEN $6 AND $7), \
             hours AS (INSERT INTO executor.session_hours (session_id, hour_us, pruned) \
               SELECT session_id, CASE WHEN ended_us < {FIRST_HOUR_US} THEN {} \
                 ELSE ended_us - ((ended_us % {HOUR_US}) + {HOUR_US}) % {HOUR_US} END, count(*) \
               FROM gone GROUP BY 1, 2 ORDER BY 1, 2 \
               ON CONFLICT (session_id, hour_us) DO UPDATE SET pruned = session_hours.pruned + excluded.pruned \
               RETURNING session_id), \
             sessions AS (UPDATE executor.sessions s SET pruned = s.pruned + g.count \
               FROM (SELECT session_id, count(*) FROM gone GROUP BY 1) g WHERE s.id = g.session_id \
               AND (SELECT count(*) FROM hours) >= 0), {NOTED}",
            i64::MIN
        ),
    };
    let ended: Vec<i64> = keys.iter().map(|key| key.ended_us).collect();
    let names: Vec<Uuid> = keys.iter().map(|key| key.execution_id).collect();
    let (first, last) = (keys[0].ended_us, keys[keys.len() - 1].ended_us);
    let gone: Number = diesel::sql_query(statement)
        .bind::<Array<BigInt>, _>(ended)
        .bind::<Array<SqlUuid>, _>(names)
        .bind::<Text, _>(slice.rule.as_str())
        .bind::<Nullable<BigInt>, _>(session)
        .bind::<BigInt, _>(hour_of(slice.now.as_micros()))
        .bind::<BigInt, _>(first)
        .bind::<BigInt, _>(last)
        .get_result(open.connection())?;
    Ok(gone.number.unsigned_abs())
}
