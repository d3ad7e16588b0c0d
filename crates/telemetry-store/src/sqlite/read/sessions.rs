//! Sessions and episodes of loss, page by page, the latest first.

use std::collections::HashMap;
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Gap, PageOf, PageRequest, StoredSession, Window};

use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::gap::{GapEntityRow, GapRow};
use crate::read::rows::session::SessionRow;
use crate::read::window::bounds;
use crate::sqlite::read::asked::Asked;
use crate::sqlite::read::stored::listed;

/// The columns of a session, and the table.
const SESSIONS: &str = "SELECT id, session_uuid, host, pid, started_us, heartbeat_us, stopped_us, status, error_type, \
    error_message, error_report, offered, recovered, stored, waiting, spooled, filtered, dropped_overflow, \
    dropped_exhausted, dropped_constraint, dropped_unstorable, dropped_damaged, dropped_shutdown, durability, program, \
    version, config_hash, is_counted, pruned, taken_over, ledger_state, NULL AS silent_us, NULL AS clock_ahead_us \
    FROM sessions";

pub(crate) fn sessions(
    asked: &mut Asked<'_>,
    page: &PageRequest,
) -> Result<PageOf<StoredSession>, QueryError> {
    let question = format!("{SESSIONS} WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
    let rows: Vec<SessionRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let stored = stored_of(asked.connection, &rows)?;
    let item = |row: SessionRow| row.into_session(&stored);
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

/// The time for which a session from before the counting may have gone on after its last heartbeat.
const SLACK_US: i64 = 3_600_000_000;

/// Returns the sessions that lived in a window, may have lived in it, or have rows in one of its hours, such as those
/// of `with_rows`; the oldest first.
pub(crate) fn alive_in(
    connection: &mut SqliteConnection,
    window: &Range<i64>,
    with_rows: &[i64],
) -> Result<Vec<StoredSession>, QueryError> {
    // Nobody knows how long an unfinished one has lived after its last heartbeat.
    let question = format!(
        "{SESSIONS} WHERE (started_us < ?2 AND (heartbeat_us >= ?1 OR (is_counted = 0 AND heartbeat_us >= ?3) \
           OR ledger_state IS NULL)) \
         OR EXISTS (SELECT 1 FROM session_hours h WHERE h.session_id = sessions.id AND h.hour_us >= ?1 AND h.hour_us < ?2) \
         OR id IN ({}) ORDER BY id",
        listed(with_rows)
    );
    let rows: Vec<SessionRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(window.start)
        .bind::<BigInt, _>(window.end)
        .bind::<BigInt, _>(window.start.saturating_sub(SLACK_US))
        .load(connection)?;
    let stored = stored_of(connection, &rows)?;
    rows.into_iter()
        .map(|row| row.into_session(&stored))
        .collect()
}

/// Adds up what was stored for each of these sessions.
fn stored_of(
    connection: &mut SqliteConnection,
    rows: &[SessionRow],
) -> QueryResult<HashMap<i64, i64>> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let sums: Vec<Stored> = diesel::sql_query(format!(
        "SELECT session_id AS session, sum(stored) AS stored FROM session_hours \
         WHERE session_id IN ({}) GROUP BY session_id",
        listed(&ids)
    ))
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
    asked.transaction(|asked| gaps_in(asked, window, page))
}

/// Does the same inside the caller's transaction.
pub(crate) fn gaps_in(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<Gap>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT g.id, g.reason, g.count, g.first_us, g.last_us, s.session_uuid \
         FROM gaps g JOIN sessions s ON s.id = g.session_id \
         WHERE g.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) AND g.last_us >= ?3 AND g.first_us < ?4 \
         ORDER BY g.id DESC LIMIT ?5",
    );
    let rows: Vec<GapRow> = question
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session.map(|id| id.as_bytes().to_vec()))
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

fn entities_of(connection: &mut SqliteConnection, gap: i64) -> QueryResult<Vec<GapEntityRow>> {
    let question =
        "SELECT kind, app_key, instance, name, topic, count FROM gap_entities WHERE gap_id = ?1";
    diesel::sql_query(question)
        .bind::<BigInt, _>(gap)
        .load(connection)
}
