//! What people asked for.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use executor_core::ports::RecordedAction;

use crate::postgres::open::Open;
use crate::postgres::sql::text;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::session;

/// Writes an action, unless it was written before.
pub(crate) fn record(open: &mut Open, action: &RecordedAction) -> QueryResult<()> {
    let insert = "INSERT INTO executor.actions (session_id, at_us, who, origin, action, target, outcome) \
                  SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM executor.actions \
                  WHERE session_id IS NOT DISTINCT FROM $1 AND at_us = $2 AND action = $5 AND target = $6)";
    writing(open, |open| {
        let session = action.session.map(|id| session::row_of(open, id));
        diesel::sql_query(insert)
            .bind::<Nullable<BigInt>, _>(session.transpose()?.flatten())
            .bind::<BigInt, _>(action.at.as_micros())
            .bind::<Text, _>(text(&action.who))
            .bind::<Text, _>(text(&action.origin))
            .bind::<Text, _>(text(&action.action))
            .bind::<Text, _>(text(&action.target))
            .bind::<Text, _>(text(&action.outcome))
            .execute(open.connection())?;
        Ok(())
    })
}
