//! Which schedules were in force when, who had registered what, and which runs were missed.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Earlier, Followed, InForce, MissedRuns, Pause, Registered};
use executor_core::time::micros;
use executor_core::{EntityKind, RegistrationId, SessionId, Timestamp};

use crate::codes::{code_of, table_of};
use crate::planned::{Episode, HowFar, Known, LOOKED_AT, Ran};
use crate::read::rows::schedule::InForceRow;
use crate::sqlite::schema::{
    missed_runs, pauses, scheduled_jobs, schedules, session_registrations,
};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::session;

/// Notes that a job has this schedule from now on.
pub(crate) fn note_schedule(
    connection: &mut SqliteConnection,
    registered: &Registered,
) -> QueryResult<()> {
    immediate(connection, |connection| {
        change_schedule(connection, registered)
    })
}

/// Notes that sessions have registrations.
pub(crate) fn take_charge(
    connection: &mut SqliteConnection,
    registered: &[Registered],
) -> QueryResult<()> {
    immediate(connection, |connection| {
        for registered in registered {
            let session = session::row_of(connection, registered.session)?;
            let session = session.ok_or(diesel::result::Error::NotFound)?;
            // Nobody is in charge of what was removed meanwhile.
            let taken = diesel::sql_query(
                "INSERT INTO session_registrations \
                 (session_id, kind, registration, from_us, until_us) VALUES (?1, ?2, ?3, ?4, \
                 (SELECT removed_us FROM scheduled_jobs \
                 WHERE ?2 = ?5 AND id = ?3 AND removed_us >= ?4)) ON CONFLICT DO NOTHING",
            )
            .bind::<BigInt, _>(session)
            .bind::<BigInt, _>(code_of(registered.id.kind))
            .bind::<BigInt, _>(registered.id.row.get())
            .bind::<BigInt, _>(registered.at.as_micros())
            .bind::<BigInt, _>(code_of(EntityKind::Job))
            .execute(connection)?;
            if taken > 0 && registered.id.kind == EntityKind::Job {
                // What waited in an earlier process has been dealt with, unless that process is still
                // alive.
                if elsewhere(connection, registered.id, registered.session)?.is_none() {
                    nothing_waits(connection, registered.id)?;
                }
            }
            if taken > 0 {
                lives(connection, registered.id)?;
            }
        }
        Ok(())
    })
}

/// Another process may have retired it before it could know that somebody has it.
fn lives(connection: &mut SqliteConnection, id: RegistrationId) -> QueryResult<()> {
    let table = table_of(id.kind);
    let live = format!(
        "UPDATE {table} SET retired_us = NULL \
         WHERE id = ?1 AND retired_us IS NOT NULL AND removed_us IS NULL"
    );
    diesel::sql_query(live)
        .bind::<BigInt, _>(id.row.get())
        .execute(connection)
        .map(drop)
}

fn nothing_waits(connection: &mut SqliteConnection, job: RegistrationId) -> QueryResult<()> {
    diesel::update(scheduled_jobs::table.find(job.row.get()))
        .set(scheduled_jobs::next_due_us.eq(None::<i64>))
        .execute(connection)
        .map(drop)
}

/// Notes that a session begins no planned run after a time.
pub(crate) fn leave_charge(
    connection: &mut SqliteConnection,
    session: SessionId,
    at: Timestamp,
) -> QueryResult<()> {
    let Some(session) = session::row_of(connection, session)? else {
        return Ok(());
    };
    diesel::sql_query(
        "UPDATE session_registrations SET until_us = max(from_us, ?2) \
         WHERE session_id = ?1 AND kind = ?3 AND until_us IS NULL",
    )
    .bind::<BigInt, _>(session)
    .bind::<BigInt, _>(at.as_micros())
    .bind::<BigInt, _>(code_of(EntityKind::Job))
    .execute(connection)
    .map(drop)
}

/// Notes how far sessions have followed schedules. Nothing waits for a job that was removed meanwhile.
pub(crate) fn note_followed(
    connection: &mut SqliteConnection,
    followed: &[Followed],
) -> QueryResult<()> {
    immediate(connection, |connection| {
        for followed in followed {
            // What another living process has reported as waiting still waits there.
            let clears = followed.waits_after.is_none()
                && elsewhere(connection, followed.id, followed.session)?.is_none();
            diesel::sql_query(
                "UPDATE scheduled_jobs SET last_due_us = coalesce(?2, last_due_us), \
                 next_due_us = CASE WHEN removed_us IS NOT NULL OR ?4 THEN NULL \
                 ELSE coalesce(?3, next_due_us) END WHERE id = ?1",
            )
            .bind::<BigInt, _>(followed.id.row.get())
            .bind::<Nullable<BigInt>, _>(followed.begun_until.map(Timestamp::as_micros))
            .bind::<Nullable<BigInt>, _>(followed.waits_after.map(Timestamp::as_micros))
            .bind::<Bool, _>(clears)
            .execute(connection)?;
        }
        Ok(())
    })
}

fn change_schedule(connection: &mut SqliteConnection, registered: &Registered) -> QueryResult<()> {
    let (job, at) = (registered.id.row.get(), registered.at.as_micros());
    let latest = latest_plan(connection, job, at.saturating_add(1))?;
    if let Some(latest) = latest
        && latest.until.is_none()
        && Some(latest.plan) == registered.plan
    {
        return Ok(());
    }
    diesel::update(schedules::table)
        .filter(schedules::job_id.eq(job).and(schedules::until_us.is_null()))
        .set(schedules::until_us.eq(at))
        .execute(connection)?;
    let Some(plan) = &registered.plan else {
        return Ok(());
    };
    let rule = (
        schedules::until_us.eq(None::<i64>),
        schedules::text.eq(&plan.text),
        schedules::zone.eq(&plan.time_zone),
        schedules::jitter_us.eq(micros(plan.jitter)),
        schedules::missed.eq(&plan.missed),
        schedules::persistent.eq(i64::from(plan.is_persistent)),
    );
    diesel::insert_into(schedules::table)
        .values((schedules::job_id.eq(job), schedules::from_us.eq(at), rule))
        .on_conflict((schedules::job_id, schedules::from_us))
        .do_update()
        .set(rule)
        .execute(connection)
        .map(drop)
}

/// Ends what a registration had, at its removal.
pub(crate) fn end(
    connection: &mut SqliteConnection,
    id: RegistrationId,
    at: Timestamp,
) -> QueryResult<()> {
    let of_it = session_registrations::kind
        .eq(code_of(id.kind))
        .and(session_registrations::registration.eq(id.row.get()));
    diesel::update(session_registrations::table)
        .filter(of_it.and(session_registrations::until_us.is_null()))
        .set(session_registrations::until_us.eq(at.as_micros()))
        .execute(connection)?;
    if id.kind == EntityKind::Job {
        nothing_waits(connection, id)?;
        let of_it = schedules::job_id.eq(id.row.get());
        diesel::update(schedules::table)
            .filter(of_it.and(schedules::until_us.is_null()))
            .set(schedules::until_us.eq(at.as_micros()))
            .execute(connection)?;
    }
    Ok(())
}

fn latest_plan(
    connection: &mut SqliteConnection,
    job: i64,
    before: i64,
) -> QueryResult<Option<InForce>> {
    let latest: Option<InForceRow> = diesel::sql_query(
        "SELECT from_us, until_us, text, zone, jitter_us, missed, persistent FROM schedules \
         WHERE job_id = ?1 AND from_us < ?2 ORDER BY from_us DESC LIMIT 1",
    )
    .bind::<BigInt, _>(job)
    .bind::<BigInt, _>(before)
    .get_result(connection)
    .optional()?;
    Ok(latest.map(InForceRow::into_in_force))
}

#[derive(QueryableByName)]
struct Of {
    #[diesel(sql_type = Nullable<BigInt>)]
    value: Option<i64>,
}

#[derive(QueryableByName)]
struct Uuid {
    #[diesel(sql_type = Binary)]
    session_uuid: Vec<u8>,
}

/// What is known of a job from before a registration.
pub(crate) fn earlier(
    connection: &mut SqliteConnection,
    registered: &Registered,
) -> QueryResult<Earlier> {
    let (job, at) = (registered.id.row.get(), registered.at.as_micros());
    let known = Known {
        latest: latest_plan(connection, job, at)?,
        how_far: how_far(connection, job)?,
        alive_until: alive_until(connection, registered)?,
        ran: ran(connection, job)?,
        missed: missed(connection, job, at)?,
        elsewhere: elsewhere(connection, registered.id, registered.session)?,
    };
    Ok(known.earlier(registered.at))
}

/// Sessions that took charge of it. What follows chooses among them.
const HAVE_IT: &str = "FROM session_registrations r JOIN sessions s ON s.id = r.session_id \
     WHERE r.kind = ?1 AND r.registration = ?2 AND";

fn alive_until(
    connection: &mut SqliteConnection,
    registered: &Registered,
) -> QueryResult<Option<i64>> {
    let alive = diesel::sql_query(format!(
        "SELECT max(min(coalesce(r.until_us, 9223372036854775807), \
         coalesce(s.stopped_us, s.heartbeat_us))) AS value {HAVE_IT} r.from_us < ?3"
    ));
    let alive: Of = alive
        .bind::<BigInt, _>(code_of(registered.id.kind))
        .bind::<BigInt, _>(registered.id.row.get())
        .bind::<BigInt, _>(registered.at.as_micros())
        .get_result(connection)?;
    Ok(alive.value)
}

/// Another living session that is in charge of it.
fn elsewhere(
    connection: &mut SqliteConnection,
    id: RegistrationId,
    session: SessionId,
) -> QueryResult<Option<SessionId>> {
    let living = diesel::sql_query(format!(
        "SELECT s.session_uuid {HAVE_IT} s.session_uuid <> ?3 AND s.status = 'running' \
         AND r.until_us IS NULL ORDER BY s.id DESC LIMIT 1"
    ));
    let living: Option<Uuid> = living
        .bind::<BigInt, _>(code_of(id.kind))
        .bind::<BigInt, _>(id.row.get())
        .bind::<Binary, _>(session.as_uuid().as_bytes().as_slice())
        .get_result(connection)
        .optional()?;
    let uuid = living.and_then(|living| uuid::Uuid::from_slice(&living.session_uuid).ok());
    Ok(uuid.map(SessionId::from_uuid))
}

/// The latest executions.
fn ran(connection: &mut SqliteConnection, job: i64) -> QueryResult<Vec<Ran>> {
    diesel::sql_query(
        "SELECT start_us, due_us FROM executions WHERE job_id = ?1 ORDER BY id DESC LIMIT ?2",
    )
    .bind::<BigInt, _>(job)
    .bind::<BigInt, _>(LOOKED_AT)
    .load(connection)
}

/// The latest episodes of missed runs.
fn missed(connection: &mut SqliteConnection, job: i64, at: i64) -> QueryResult<Vec<Episode>> {
    diesel::sql_query(
        "SELECT m.first_due_us AS first, m.last_due_us AS last FROM missed_runs m \
         JOIN scheduled_jobs j ON m.app_key = j.app_key AND m.instance = j.instance \
         AND m.name = j.name WHERE j.id = ?1 AND m.first_due_us < ?2 ORDER BY m.id DESC LIMIT ?3",
    )
    .bind::<BigInt, _>(job)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(LOOKED_AT)
    .load(connection)
}

fn how_far(connection: &mut SqliteConnection, job: i64) -> QueryResult<HowFar> {
    let found =
        diesel::sql_query("SELECT last_due_us, next_due_us FROM scheduled_jobs WHERE id = ?1")
            .bind::<BigInt, _>(job);
    let found: Option<HowFar> = found.get_result(connection).optional()?;
    Ok(found.unwrap_or_default())
}

/// Writes episodes of missed runs, and replaces those that exist.
pub(crate) fn record_missed(
    connection: &mut SqliteConnection,
    missed: &[MissedRuns],
) -> QueryResult<()> {
    immediate(connection, |connection| {
        for episode in missed {
            let session = episode.session.map(|id| session::row_of(connection, id));
            let counted = (
                missed_runs::count.eq(i64::try_from(episode.count).unwrap_or(i64::MAX)),
                missed_runs::last_due_us.eq(episode.last_due.as_micros()),
                missed_runs::session_id.eq(session.transpose()?.flatten()),
            );
            diesel::insert_into(missed_runs::table)
                .values((
                    missed_runs::app_key.eq(&episode.entity.app_key),
                    missed_runs::instance.eq(i64::from(episode.entity.instance)),
                    missed_runs::name.eq(&episode.entity.name),
                    missed_runs::reason.eq(episode.reason.as_str()),
                    missed_runs::first_due_us.eq(episode.first_due.as_micros()),
                    counted,
                ))
                .on_conflict((
                    missed_runs::app_key,
                    missed_runs::instance,
                    missed_runs::name,
                    missed_runs::first_due_us,
                    missed_runs::reason,
                ))
                .do_update()
                .set(counted)
                .execute(connection)?;
        }
        Ok(())
    })
}

/// Writes pauses, and replaces those that exist: a pause is written when it begins and again when it ends.
pub(crate) fn record_pauses(
    connection: &mut SqliteConnection,
    paused: &[Pause],
) -> QueryResult<()> {
    immediate(connection, |connection| {
        for pause in paused {
            let session = session::row_of(connection, pause.session)?;
            let session = session.ok_or(diesel::result::Error::NotFound)?;
            let entity = pause.entity.as_deref();
            let whose = (
                pauses::session_id.eq(session),
                pauses::from_us.eq(pause.from.as_micros()),
                pauses::app_key.eq(entity.map(|entity| &entity.app_key)),
                pauses::instance.eq(entity.map(|entity| i64::from(entity.instance))),
                pauses::name.eq(entity.map(|entity| &entity.name)),
            );
            let known = pauses::table
                .filter(pauses::session_id.eq(session))
                .filter(pauses::from_us.eq(pause.from.as_micros()))
                .filter(pauses::app_key.is(entity.map(|entity| &entity.app_key)))
                .filter(pauses::instance.is(entity.map(|entity| i64::from(entity.instance))))
                .filter(pauses::name.is(entity.map(|entity| &entity.name)));
            let until = pauses::until_us.eq(pause.until.map(Timestamp::as_micros));
            if diesel::update(known).set(until).execute(connection)? == 0 {
                diesel::insert_into(pauses::table)
                    .values((whose, until))
                    .execute(connection)?;
            }
        }
        Ok(())
    })
}
