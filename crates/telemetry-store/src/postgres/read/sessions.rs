//! Sessions and episodes of loss, page by page, the latest first.

use std::collections::HashMap;
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Uuid as SqlUuid};
use executor_core::ports::{Gap, PageOf, PageRequest, StoredSession, Window};

use crate::postgres::read::asked::Asked;
use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::gap::{GapEntityRow, GapRow};
use crate::read::rows::session::SessionRow;
use crate::read::window::bounds;

/// The columns of a session, and the table.
const SESSIONS: &str = "SELECT s.id, uuid_send(s.session_uuid) AS session_uuid, s.host, s.pid, s.started_us, \
    s.heartbeat_us, s.stopped_us, s.status, s.error_type, s.error_message, s.error_report, s.offered, s.recovered, \
    s.stored, s.waiting, s.spooled, s.filtered, s.dropped_overflow, s.dropped_exhausted, s.dropped_constraint, \
    s.dropped_unstorable, s.dropped_damaged, s.dropped_shutdown, s.durability, s.program, s.version, s.config_hash, \
    s.is_counted::integer::bigint AS is_counted, s.pruned, s.taken_over, s.ledger_state, \
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - s.seen_us AS silent_us, \
    s.clock_off_us AS clock_ahead_us FROM executor.sessions s";

pub(crate) fn sessions(
    asked: &mut Asked<'_>,
    page: &PageRequest,
) -> Result<PageOf<StoredSession>, QueryError> {
    let question = format!("{SESSIONS} WHERE s.id < $1 ORDER BY s.id DESC LIMIT $2");
    let rows: Vec<SessionRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let stored = stored_of(asked.connection, &rows)?;
    let item = |row: SessionRow| row.into_session(&stored);
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

/// Returns the sessions that lived in a window, may have lived in it, or have rows in one of its hours, such as those
/// of `with_rows`; the oldest first.
pub(crate) fn alive_in(
    connection: &mut PgConnection,
    window: &Range<i64>,
    with_rows: &[i64],
) -> Result<Vec<StoredSession>, QueryError> {
    // Nobody knows how long an unfinished one has lived after its last heartbeat.
    let question = format!(
        "{SESSIONS} WHERE (s.started_us < $2 AND (s.heartbeat_us >= $1 OR s.ledger_state IS NULL)) \
         OR EXISTS (SELECT FROM executor.session_hours h \
                    WHERE h.session_id = s.id AND h.hour_us >= $1 AND h.hour_us < $2) \
         OR s.id = ANY ($3) ORDER BY s.id"
    );
    let rows: Vec<SessionRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(window.start)
        .bind::<BigInt, _>(window.end)
        .bind::<Array<BigInt>, _>(with_rows)
        .load(connection)?;
    let stored = stored_of(connection, &rows)?;
    rows.into_iter()
        .map(|row| row.into_session(&stored))
        .collect()
}

/// Adds up what was stored for each of these sessions.
fn stored_of(connection: &mut PgConnection, rows: &[SessionRow]) -> QueryResult<HashMap<i64, i64>> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let question = "SELECT session_id AS session, sum(stored)::bigint AS stored FROM executor.session_hours \
                    WHERE session_id = ANY ($1) GROUP BY session_id";
    let sums: Vec<Stored> = diesel::sql_query(question)
        .bind::<Array<BigInt>, _>(ids)
        .load(connection)?;
    Ok(sums
        .into_iter()
        .map(|sum| (sum.session, sum.stored))
        .collect())
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    session: i64,
    #[diesel(sql_type = BigInt)]
    stored: i64,
}

pub(crate) fn gaps(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<Gap>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = "SELECT g.id, g.reason, g.count, g.first_us, g.last_us, uuid_send(s.session_uuid) AS session_uuid \
                    FROM executor.gaps g JOIN executor.sessions s ON s.id = g.session_id \
                    WHERE g.id < $1 AND ($2 IS NULL OR s.session_uuid = $2) AND g.last_us >= $3 AND g.first_us < $4 \
                    ORDER BY g.id DESC LIMIT $5";
    let rows: Vec<GapRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<SqlUuid>, _>(session)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let item = |row: GapRow| {
        let entities = entities_of(asked.connection, row.id)?;
        row.into_gap(entities)
    };
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

fn entities_of(connection: &mut PgConnection, gap: i64) -> QueryResult<Vec<GapEntityRow>> {
    let question = "SELECT n.kind::bigint AS kind, n.app_key, n.instance, n.name, n.topic, g.count \
                    FROM executor.gap_entities g JOIN executor.entities n ON n.id = g.entity_id WHERE g.gap_id = $1 \
                    ORDER BY n.kind, n.app_key, n.instance, n.name, n.topic";
    diesel::sql_query(question)
        .bind::<BigInt, _>(gap)
        .load(connection)
}
