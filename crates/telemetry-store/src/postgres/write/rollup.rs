//! Rolls rows up by hour and day, in the transaction that writes them. Each session has rollups of its own, so that
//! recorders do not wait for each other; readers add them up.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use executor_core::{ExecutionRecord, Status};

use crate::postgres::open::Open;
use crate::postgres::sql::text;
use crate::postgres::transaction::Connected;
use crate::read::rows::rollup::Totals;
use crate::rollup::tally::{Run, SPANS_US, Tally};

/// Length and beginning of a span, and the entity.
type Place = (i64, i64, i64);

/// The totals that stand, and how often they were written.
#[derive(QueryableByName)]
struct StoredTotals {
    #[diesel(sql_type = BigInt)]
    span_us: i64,
    #[diesel(sql_type = BigInt)]
    entity_id: i64,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(embed)]
    totals: Totals,
}

/// Adds new rows of a session, with the ids of their entities, to its rollups.
pub(super) fn roll_up<'r>(
    open: &mut Open,
    session: i64,
    new: impl Iterator<Item = (&'r ExecutionRecord, i64)>,
) -> QueryResult<()> {
    let mut added: BTreeMap<Place, (i64, Tally)> = BTreeMap::new();
    for (record, entity) in new {
        add(&mut added, record, entity);
    }
    if added.is_empty() {
        return Ok(());
    }
    for standing in standing(open, session, &added)? {
        let place = (
            standing.span_us,
            standing.totals.start_us,
            standing.entity_id,
        );
        if let Some((version, tally)) = added.get_mut(&place) {
            *version = standing.version;
            let damaged = |error: crate::read::question::QueryError| {
                DieselError::DeserializationError(error.to_string().into())
            };
            standing.totals.add_to(tally).map_err(damaged)?;
        }
    }
    write(open, session, added)
}

fn add(added: &mut BTreeMap<Place, (i64, Tally)>, record: &ExecutionRecord, entity: i64) {
    let went_well = matches!(record.status, Status::Success | Status::Skipped);
    let failure = record.failure.as_deref().filter(|_| !went_well);
    let error = failure.map(|it| format!("{}: {}", text(&it.error_type), text(&it.message)));
    let ended_us = record.ended_at().as_micros();
    let run = Run {
        status: record.status,
        ended_us,
        duration_us: executor_core::time::micros(record.duration),
        error: error.as_deref(),
    };
    for span in SPANS_US {
        let start = ended_us.div_euclid(span).saturating_mul(span);
        let (_, tally) = added.entry((span, start, entity)).or_default();
        tally.add(&run);
    }
}

/// Reads what stands, and keeps others from changing it meanwhile, in the order in which every transaction does.
fn standing(
    open: &mut Open,
    session: i64,
    added: &BTreeMap<Place, (i64, Tally)>,
) -> QueryResult<Vec<StoredTotals>> {
    let question = "SELECT r.span_us, r.start_us, r.entity_id, r.version, r.success, r.error, r.timed_out, r.cancelled, \
                    r.panicked, r.skipped, r.interrupted, r.sum_us, r.max_us, r.sketch, r.last_error_us, r.last_error \
                    FROM executor.rollups r JOIN unnest($1, $2, $3) AS g(span_us, start_us, entity_id) \
                    ON r.span_us = g.span_us AND r.start_us = g.start_us AND r.entity_id = g.entity_id \
                    WHERE r.session_id = $4 ORDER BY r.span_us, r.start_us, r.entity_id FOR UPDATE OF r";
    let (spans, starts, entities) = columns(added.keys());
    diesel::sql_query(question)
        .bind::<Array<BigInt>, _>(spans)
        .bind::<Array<BigInt>, _>(starts)
        .bind::<Array<BigInt>, _>(entities)
        .bind::<BigInt, _>(session)
        .load(open.connection())
}

fn columns<'p>(places: impl Iterator<Item = &'p Place>) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
    let (mut spans, mut starts, mut entities) = (Vec::new(), Vec::new(), Vec::new());
    for (span, start, entity) in places {
        spans.push(*span);
        starts.push(*start);
        entities.push(*entity);
    }
    (spans, starts, entities)
}

const WRITE: &str = "INSERT INTO executor.rollups (session_id, span_us, start_us, entity_id, version, success, error, \
    timed_out, cancelled, panicked, skipped, interrupted, sum_us, max_us, sketch, last_error_us, last_error) \
    SELECT $1, t.* FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AS t \
    ON CONFLICT (span_us, start_us, entity_id, session_id) DO UPDATE SET version = excluded.version, \
      success = excluded.success, error = excluded.error, timed_out = excluded.timed_out, \
      cancelled = excluded.cancelled, panicked = excluded.panicked, skipped = excluded.skipped, \
      interrupted = excluded.interrupted, sum_us = excluded.sum_us, max_us = excluded.max_us, \
      sketch = excluded.sketch, last_error_us = excluded.last_error_us, last_error = excluded.last_error \
    WHERE rollups.version = excluded.version - 1";

/// Writes whole totals over those that were read. If somebody else has written them since, everything is done again.
fn write(open: &mut Open, session: i64, added: BTreeMap<Place, (i64, Tally)>) -> QueryResult<()> {
    let count = added.len();
    let (spans, starts, entities) = columns(added.keys());
    let versions: Vec<i64> = added.values().map(|(version, _)| version + 1).collect();
    let of_status = |place: usize| {
        let counts = added.values().map(|(_, tally)| tally.by_status[place]);
        counts.collect::<Vec<i64>>()
    };
    let by_status: [Vec<i64>; Status::ALL.len()] = std::array::from_fn(of_status);
    let [
        success,
        error,
        timed_out,
        cancelled,
        panicked,
        skipped,
        interrupted,
    ] = by_status;
    let sums: Vec<i64> = added.values().map(|(_, tally)| tally.sum_us).collect();
    let longest: Vec<i64> = added.values().map(|(_, tally)| tally.max_us).collect();
    let sketches: Vec<Vec<u8>> = added.values().map(|(_, it)| it.sketch.encode()).collect();
    let errors = added
        .into_values()
        .map(|(_, tally)| tally.last_error.unzip());
    let (errors_at, errors): (Vec<Option<i64>>, Vec<Option<String>>) = errors.unzip();
    let written = diesel::sql_query(WRITE)
        .bind::<BigInt, _>(session)
        .bind::<Array<BigInt>, _>(spans)
        .bind::<Array<BigInt>, _>(starts)
        .bind::<Array<BigInt>, _>(entities)
        .bind::<Array<BigInt>, _>(versions)
        .bind::<Array<BigInt>, _>(success)
        .bind::<Array<BigInt>, _>(error)
        .bind::<Array<BigInt>, _>(timed_out)
        .bind::<Array<BigInt>, _>(cancelled)
        .bind::<Array<BigInt>, _>(panicked)
        .bind::<Array<BigInt>, _>(skipped)
        .bind::<Array<BigInt>, _>(interrupted)
        .bind::<Array<BigInt>, _>(sums)
        .bind::<Array<BigInt>, _>(longest)
        .bind::<Array<Binary>, _>(sketches)
        .bind::<Array<Nullable<BigInt>>, _>(errors_at)
        .bind::<Array<Nullable<Text>>, _>(errors)
        .execute(open.connection())?;
    if written == count {
        return Ok(());
    }
    let why = "somebody else has written the same rollups";
    Err(DieselError::DatabaseError(
        DatabaseErrorKind::SerializationFailure,
        Box::new(why.to_owned()),
    ))
}
