//! Reads the rollups that a batch changes, so that it adds to what stands. Each session has rollups of its own, so that
//! recorders do not wait for each other; readers add them up.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt};

use crate::postgres::memory::Place;
use crate::postgres::open::Open;
use crate::postgres::transaction::Connected;
use crate::postgres::write::account::Account;
use crate::read::rows::rollup::Totals;
use crate::rollup::tally::Tally;

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

const QUESTION: &str = "SELECT r.span_us, r.start_us, r.entity_id, r.version, r.success, r.error, r.timed_out, \
    r.cancelled, r.panicked, r.skipped, r.interrupted, r.sum_us, r.max_us, r.sketch, r.last_error_us, r.last_error \
    FROM executor.rollups r JOIN unnest($1, $2, $3) AS g(span_us, start_us, entity_id) \
    ON r.span_us = g.span_us AND r.start_us = g.start_us AND r.entity_id = g.entity_id \
    WHERE r.session_id = $4 ORDER BY r.span_us, r.start_us, r.entity_id FOR UPDATE OF r";

/// Remembers what stands, and keeps others from changing it, in the order in which every transaction does.
pub(super) fn recall(open: &mut Open, session: i64, account: &Account) -> QueryResult<()> {
    let (mut spans, mut starts, mut entities) = (Vec::new(), Vec::new(), Vec::new());
    for (span, start, entity) in account.places() {
        open.rollups.forget_one(session, (*span, *start, *entity));
        spans.push(*span);
        starts.push(*start);
        entities.push(*entity);
    }
    if spans.is_empty() {
        return Ok(());
    }
    let stored: Vec<StoredTotals> = diesel::sql_query(QUESTION)
        .bind::<Array<BigInt>, _>(spans)
        .bind::<Array<BigInt>, _>(starts)
        .bind::<Array<BigInt>, _>(entities)
        .bind::<BigInt, _>(session)
        .load(open.connection())?;
    for stored in stored {
        let place: Place = (stored.span_us, stored.totals.start_us, stored.entity_id);
        let mut total = Tally::default();
        if let Err(error) = stored.totals.add_to(&mut total) {
            // Batches go on, and an audit says what the rollups do not count.
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, ?place, "a damaged rollup begins anew");
            total = Tally::default();
        }
        open.rollups.stands(session, place, stored.version, total);
    }
    Ok(())
}
