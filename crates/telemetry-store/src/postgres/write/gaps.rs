//! Records episodes of loss, and checks the store's health.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use executor_core::Entity;
use executor_core::ports::{Gap, Session};

use crate::postgres::open::Open;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{Number, count, entities, session};

/// Writes episodes of loss, and replaces the counts of those that exist. An episode of a session that is neither stored
/// nor `known` could not be shown and is an error.
pub(crate) fn record_gaps(
    open: &mut Open,
    episodes: &[Gap],
    known: &[Arc<Session>],
) -> QueryResult<()> {
    let of_gaps = episodes.iter().flat_map(|it| &it.entities);
    let of_gaps: Vec<&Arc<Entity>> = of_gaps.map(|(entity, _)| entity).collect();
    entities::ids_of(open, of_gaps.into_iter())?;
    writing(open, |open| {
        for session in known {
            session::ensure(open, session)?;
        }
        episodes.iter().try_for_each(|it| record_gap(open, it))
    })
}

/// Writes one inside the caller's transaction. Only entities whose ids are known are named.
pub(super) fn record_gap(open: &mut Open, episode: &Gap) -> QueryResult<()> {
    let session = session::row_of(open, episode.session)?;
    let session = session.ok_or(diesel::result::Error::NotFound)?;
    let record = "INSERT INTO executor.gaps (session_id, reason, count, first_us, last_us) VALUES ($1, $2, $3, $4, $5) \
                  ON CONFLICT (session_id, reason, first_us) \
                  DO UPDATE SET count = excluded.count, last_us = excluded.last_us \
                  WHERE excluded.count >= gaps.count RETURNING id AS number";
    let gap: Option<Number> = diesel::sql_query(record)
        .bind::<BigInt, _>(session)
        .bind::<Text, _>(episode.reason.as_str())
        .bind::<BigInt, _>(count(episode.count))
        .bind::<BigInt, _>(episode.first_at.as_micros())
        .bind::<BigInt, _>(episode.last_at.as_micros())
        .get_result(open.connection())
        .optional()?;
    // An older call may arrive after a newer one.
    let Some(gap) = gap else {
        return Ok(());
    };
    let forget = "DELETE FROM executor.gap_entities WHERE gap_id = $1";
    diesel::sql_query(forget)
        .bind::<BigInt, _>(gap.number)
        .execute(open.connection())?;
    let lost = episode.entities.iter();
    let lost: Vec<(i64, i64)> = lost
        .filter_map(|(entity, lost)| Some((*open.entities.get(entity)?, count(*lost))))
        .collect();
    let (ids, counts): (Vec<i64>, Vec<i64>) = lost.into_iter().unzip();
    let name = "INSERT INTO executor.gap_entities (gap_id, entity_id, count) \
                SELECT $1, e, sum(n)::bigint FROM unnest($2, $3) AS t(e, n) GROUP BY e";
    diesel::sql_query(name)
        .bind::<BigInt, _>(gap.number)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<BigInt>, _>(counts)
        .execute(open.connection())?;
    Ok(())
}

#[derive(QueryableByName)]
struct Writable {
    #[diesel(sql_type = Bool)]
    is_writable: bool,
}

/// A server that takes no records any more is left for another one.
pub(crate) fn health(open: &mut Open) -> QueryResult<()> {
    let question = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS is_writable";
    let answer: Writable = diesel::sql_query(question).get_result(open.connection())?;
    match answer.is_writable {
        true => Ok(()),
        false => Err(diesel::result::Error::BrokenTransactionManager),
    }
}
