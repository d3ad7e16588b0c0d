//! Missed runs, pauses and schedules, the latest first.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{InForce, MissedRuns, PageOf, PageRequest, Pause, Window};
use executor_core::{EntityKind, RegistrationId};

use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::schedule::{InForceRow, MissedRow, PauseRow};
use crate::read::window::bounds;
use crate::sqlite::read::asked::Asked;

pub(crate) fn missed_runs(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<MissedRuns>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT m.id, m.app_key, m.instance, m.name, m.reason, m.count, m.first_due_us, \
         m.last_due_us, s.session_uuid FROM missed_runs m \
         LEFT JOIN sessions s ON s.id = m.session_id \
         WHERE m.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) \
         AND m.last_due_us >= ?3 AND m.first_due_us < ?4 ORDER BY m.id DESC LIMIT ?5",
    );
    let rows: Vec<MissedRow> = question
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session.map(|id| id.as_bytes().to_vec()))
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let item = MissedRow::into_missed;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

pub(crate) fn pauses(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<Pause>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT p.id, p.app_key, p.instance, p.name, p.from_us, p.until_us, s.session_uuid \
         FROM pauses p JOIN sessions s ON s.id = p.session_id \
         WHERE p.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) AND p.from_us < ?4 \
         AND coalesce(p.until_us, s.stopped_us, 9223372036854775807) >= ?3 \
         ORDER BY p.id DESC LIMIT ?5",
    );
    let rows: Vec<PauseRow> = question
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session.map(|id| id.as_bytes().to_vec()))
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let item = PauseRow::into_pause;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

/// The number of schedules of one job that are read.
const SCHEDULES_MAX: i64 = 1_000;

/// Returns the schedules that a job had, the latest first.
pub(crate) fn of_job(
    connection: &mut SqliteConnection,
    job: RegistrationId,
) -> Result<Vec<InForce>, QueryError> {
    if job.kind != EntityKind::Job {
        return Ok(Vec::new());
    }
    let question = "SELECT from_us, until_us, text, zone, jitter_us, missed, persistent FROM schedules \
                    WHERE job_id = ?1 ORDER BY from_us DESC LIMIT ?2";
    let rows: Vec<InForceRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(job.row.get())
        .bind::<BigInt, _>(SCHEDULES_MAX)
        .load(connection)?;
    Ok(rows.into_iter().map(InForceRow::into_in_force).collect())
}
