//! Which planned runs were missed, and which pauses there were.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use executor_core::Entity;
use executor_core::Timestamp;
use executor_core::ports::{MissedRuns, Pause};

use crate::postgres::open::Open;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{count, entities, session};

/// Writes episodes of missed runs, and replaces those that exist.
pub(crate) fn record_missed(open: &mut Open, missed: &[MissedRuns]) -> QueryResult<()> {
    let ids = entities::ids_of(open, missed.iter().map(|it| &it.entity))?;
    let upsert = "INSERT INTO executor.missed_runs (entity_id, reason, count, first_due_us, last_due_us, session_id) \
                  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (entity_id, first_due_us, reason) DO UPDATE SET \
                  count = excluded.count, last_due_us = excluded.last_due_us, session_id = excluded.session_id \
                  WHERE excluded.count >= missed_runs.count";
    writing(open, |open| {
        for (episode, entity) in missed.iter().zip(ids) {
            let session = episode.session.map(|id| session::row_of(open, id));
            diesel::sql_query(upsert)
                .bind::<BigInt, _>(entity)
                .bind::<Text, _>(episode.reason.as_str())
                .bind::<BigInt, _>(count(episode.count))
                .bind::<BigInt, _>(episode.first_due.as_micros())
                .bind::<BigInt, _>(episode.last_due.as_micros())
                .bind::<Nullable<BigInt>, _>(session.transpose()?.flatten())
                .execute(open.connection())?;
        }
        Ok(())
    })
}

/// Writes pauses, and replaces those that exist: a pause is written when it begins and again when it ends.
pub(crate) fn record_pauses(open: &mut Open, paused: &[Pause]) -> QueryResult<()> {
    let named = paused.iter().filter_map(|it| it.entity.as_ref());
    let named: Vec<&Arc<Entity>> = named.collect();
    entities::ids_of(open, named.into_iter())?;
    let upsert = "INSERT INTO executor.pauses (session_id, entity_id, from_us, until_us) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (session_id, from_us, coalesce(entity_id, 0)) DO UPDATE SET until_us = excluded.until_us";
    writing(open, |open| {
        for pause in paused {
            let session = session::row_of(open, pause.session)?;
            let session = session.ok_or(diesel::result::Error::NotFound)?;
            let entity = pause.entity.as_ref();
            let entity = entity.and_then(|it| open.entities.get(it).copied());
            diesel::sql_query(upsert)
                .bind::<BigInt, _>(session)
                .bind::<Nullable<BigInt>, _>(entity)
                .bind::<BigInt, _>(pause.from.as_micros())
                .bind::<Nullable<BigInt>, _>(pause.until.map(Timestamp::as_micros))
                .execute(open.connection())?;
        }
        Ok(())
    })
}
