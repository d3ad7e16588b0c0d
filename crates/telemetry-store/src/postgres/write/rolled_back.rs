//! Finds out, after connecting again, what a server that has taken over does not have.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use executor_core::Timestamp;
use executor_core::ports::{Gap, GapReason};

use crate::postgres::acknowledged::{Acknowledged, Known};
use crate::postgres::open::Open;
use crate::postgres::sql::NOW;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{gaps, session};

#[derive(QueryableByName)]
struct There {
    #[diesel(sql_type = BigInt)]
    stored: i64,
    /// The last sign of life that is there, and the time now.
    #[diesel(sql_type = BigInt)]
    seen_us: i64,
    #[diesel(sql_type = BigInt)]
    now_us: i64,
}

/// Records an episode for each session of which rows were acknowledged that are not there.
pub(crate) fn look(open: &mut Open, acknowledged: &Acknowledged) -> QueryResult<()> {
    let _turn = acknowledged.turn();
    for known in acknowledged.all() {
        let count = writing(open, |open| of_session(open, &known))?;
        if count > 0 {
            acknowledged.taken_back(known.session.id, count);
            tracing::error!(
                session.id = %known.session.id,
                records = count,
                "the server does not have records that were stored: another one has taken over; recorded as rolled_back"
            );
        }
    }
    Ok(())
}

/// Compares one session, and returns how many rows are missing.
fn of_session(open: &mut Open, known: &Known) -> QueryResult<u64> {
    session::ensure(open, &known.session)?;
    let question = format!(
        "SELECT coalesce((SELECT sum(h.stored) FROM executor.session_hours h WHERE h.session_id = s.id), 0)::bigint \
         AS stored, s.seen_us, {NOW} AS now_us FROM executor.sessions s WHERE s.session_uuid = $1"
    );
    let there: There = diesel::sql_query(question)
        .bind::<SqlUuid, _>(*known.session.id.as_uuid())
        .get_result(open.connection())?;
    let count = known.stored.saturating_sub(there.stored.unsigned_abs());
    if count > 0 {
        let time = Timestamp::from_micros;
        let gap = Gap {
            session: known.session.id,
            reason: GapReason::RolledBack,
            count,
            first_at: time(there.seen_us.min(there.now_us)),
            last_at: time(there.now_us),
            entities: Vec::new(),
        };
        gaps::record_gap(open, &gap)?;
    }
    Ok(count)
}
