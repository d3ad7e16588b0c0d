//! Which schedules were in force when, and who had registered what. What reads a job's row and then writes locks it first.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, SmallInt, Text, Uuid as SqlUuid};
use executor_core::ports::{Earlier, Followed, InForce, Order, Registered};
use executor_core::time::micros;
use executor_core::{EntityKind, RegistrationId, SessionId, Timestamp};
use uuid::Uuid;

use crate::codes::{code_of, table_of};
use crate::planned::{Episode, HowFar, Known, LOOKED_AT, Ran};
use crate::postgres::open::Open;
use crate::postgres::read::spans::Days;
use crate::postgres::sql::text;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::session;
use crate::read::rows::schedule::InForceRow;

fn kind_of(id: RegistrationId) -> i16 {
    code_of(id.kind) as i16
}

fn lock(open: &mut Open, job: RegistrationId) -> QueryResult<()> {
    let lock = "SELECT FROM executor.scheduled_jobs WHERE id = $1 FOR UPDATE";
    diesel::sql_query(lock)
        .bind::<BigInt, _>(job.row.get())
        .execute(open.connection())
        .map(drop)
}

/// Notes that a job has this schedule from now on.
pub(crate) fn note_schedule(open: &mut Open, registered: &Registered) -> QueryResult<()> {
    writing(open, |open| {
        lock(open, registered.id)?;
        let (job, at) = (registered.id.row.get(), registered.at.as_micros());
        let latest = latest_plan(open, job, at.saturating_add(1))?;
        if let Some(latest) = latest
            && latest.until.is_none()
            && Some(latest.plan) == registered.plan
        {
            return Ok(());
        }
        end_schedules(open, job, at)?;
        begin_schedule(open, registered)
    })
}

fn end_schedules(open: &mut Open, job: i64, at: i64) -> QueryResult<()> {
    let end = "UPDATE executor.schedules SET until_us = $2 WHERE job_id = $1 AND until_us IS NULL";
    diesel::sql_query(end)
        .bind::<BigInt, _>(job)
        .bind::<BigInt, _>(at)
        .execute(open.connection())
        .map(drop)
}

fn begin_schedule(open: &mut Open, registered: &Registered) -> QueryResult<()> {
    let Some(plan) = &registered.plan else {
        return Ok(());
    };
    let upsert = "INSERT INTO executor.schedules (job_id, from_us, until_us, text, zone, jitter_us, missed, persistent) \
                  VALUES ($1, $2, NULL, $3, $4, $5, $6, $7) ON CONFLICT (job_id, from_us) DO UPDATE SET until_us = NULL, \
                  text = excluded.text, zone = excluded.zone, jitter_us = excluded.jitter_us, missed = excluded.missed, \
                  persistent = excluded.persistent";
    diesel::sql_query(upsert)
        .bind::<BigInt, _>(registered.id.row.get())
        .bind::<BigInt, _>(registered.at.as_micros())
        .bind::<Text, _>(text(&plan.text))
        .bind::<Nullable<Text>, _>(plan.time_zone.as_deref().map(text))
        .bind::<BigInt, _>(micros(plan.jitter))
        .bind::<Text, _>(text(&plan.missed))
        .bind::<Bool, _>(plan.is_persistent)
        .execute(open.connection())
        .map(drop)
}

/// Notes that sessions have registrations.
pub(crate) fn take_charge(open: &mut Open, registered: &[Registered]) -> QueryResult<()> {
    let mut registered: Vec<&Registered> = registered.iter().collect();
    // Every transaction locks jobs in this order.
    registered.sort_by_key(|it| (it.id.row.get(), it.at));
    writing(open, |open| {
        registered.iter().try_for_each(|it| take_one(open, it))
    })
}

fn take_one(open: &mut Open, registered: &Registered) -> QueryResult<()> {
    let id = registered.id;
    let is_job = id.kind == EntityKind::Job;
    if is_job {
        lock(open, id)?;
    }
    let session = session::row_of(open, registered.session)?;
    let session = session.ok_or(diesel::result::Error::NotFound)?;
    // Nobody is in charge of what was removed meanwhile.
    let take = "INSERT INTO executor.session_registrations (session_id, kind, registration, from_us, until_us) \
                VALUES ($1, $2, $3, $4, (SELECT j.removed_us FROM executor.scheduled_jobs j \
                  WHERE $5 AND j.id = $3 AND j.removed_us >= $4)) ON CONFLICT DO NOTHING";
    let taken = diesel::sql_query(take)
        .bind::<BigInt, _>(session)
        .bind::<SmallInt, _>(kind_of(id))
        .bind::<BigInt, _>(id.row.get())
        .bind::<BigInt, _>(registered.at.as_micros())
        .bind::<Bool, _>(is_job)
        .execute(open.connection())?;
    // What waited in an earlier process has been dealt with, unless that process is still alive.
    if taken > 0 && is_job && elsewhere(open, id, registered.session)?.is_none() {
        nothing_waits(open, id)?;
    }
    if taken > 0 {
        lives(open, id)?;
    }
    Ok(())
}

/// Another process may have retired it before it could know that somebody has it.
fn lives(open: &mut Open, id: RegistrationId) -> QueryResult<()> {
    let table = table_of(id.kind);
    let live = format!(
        "UPDATE executor.{table} SET retired_us = NULL \
         WHERE id = $1 AND retired_us IS NOT NULL AND removed_us IS NULL"
    );
    diesel::sql_query(live)
        .bind::<BigInt, _>(id.row.get())
        .execute(open.connection())
        .map(drop)
}

fn nothing_waits(open: &mut Open, job: RegistrationId) -> QueryResult<()> {
    let clear = "UPDATE executor.scheduled_jobs SET next_due_us = NULL WHERE id = $1";
    diesel::sql_query(clear)
        .bind::<BigInt, _>(job.row.get())
        .execute(open.connection())
        .map(drop)
}

/// Notes that a session begins no planned run after a time.
pub(crate) fn leave_charge(open: &mut Open, session: SessionId, at: Timestamp) -> QueryResult<()> {
    writing(open, |open| {
        let Some(session) = session::row_of(open, session)? else {
            return Ok(());
        };
        let leave = "UPDATE executor.session_registrations SET until_us = greatest(from_us, $2) \
                     WHERE session_id = $1 AND kind = $3 AND until_us IS NULL";
        diesel::sql_query(leave)
            .bind::<BigInt, _>(session)
            .bind::<BigInt, _>(at.as_micros())
            .bind::<SmallInt, _>(code_of(EntityKind::Job) as i16)
            .execute(open.connection())
            .map(drop)
    })
}

/// Notes how far sessions have followed schedules. Nothing waits for a job that was removed meanwhile.
pub(crate) fn note_followed(open: &mut Open, followed: &[Followed]) -> QueryResult<()> {
    let mut followed: Vec<&Followed> = followed.iter().collect();
    followed.sort_by_key(|it| it.id.row.get());
    writing(open, |open| {
        followed.iter().try_for_each(|it| note_one(open, it))
    })
}

fn note_one(open: &mut Open, followed: &Followed) -> QueryResult<()> {
    lock(open, followed.id)?;
    // What another living process has reported as waiting still waits there.
    let clears =
        followed.waits_after.is_none() && elsewhere(open, followed.id, followed.session)?.is_none();
    let note = "UPDATE executor.scheduled_jobs SET last_due_us = coalesce($2, last_due_us), \
                next_due_us = CASE WHEN removed_us IS NOT NULL OR $4 THEN NULL ELSE coalesce($3, next_due_us) END \
                WHERE id = $1";
    diesel::sql_query(note)
        .bind::<BigInt, _>(followed.id.row.get())
        .bind::<Nullable<BigInt>, _>(followed.begun_until.map(Timestamp::as_micros))
        .bind::<Nullable<BigInt>, _>(followed.waits_after.map(Timestamp::as_micros))
        .bind::<Bool, _>(clears)
        .execute(open.connection())
        .map(drop)
}

/// Ends what a registration had, at its removal, inside the caller's transaction.
pub(super) fn end(open: &mut Open, id: RegistrationId, at: Timestamp) -> QueryResult<()> {
    let end = "UPDATE executor.session_registrations SET until_us = $3 \
               WHERE kind = $1 AND registration = $2 AND until_us IS NULL";
    diesel::sql_query(end)
        .bind::<SmallInt, _>(kind_of(id))
        .bind::<BigInt, _>(id.row.get())
        .bind::<BigInt, _>(at.as_micros())
        .execute(open.connection())?;
    if id.kind == EntityKind::Job {
        nothing_waits(open, id)?;
        end_schedules(open, id.row.get(), at.as_micros())?;
    }
    Ok(())
}

fn latest_plan(open: &mut Open, job: i64, before: i64) -> QueryResult<Option<InForce>> {
    let question = "SELECT from_us, until_us, text, zone, jitter_us, missed, persistent::integer::bigint AS persistent \
                    FROM executor.schedules WHERE job_id = $1 AND from_us < $2 ORDER BY from_us DESC LIMIT 1";
    let latest: Option<InForceRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(job)
        .bind::<BigInt, _>(before)
        .get_result(open.connection())
        .optional()?;
    Ok(latest.map(InForceRow::into_in_force))
}

/// What is known of a job from before a registration.
pub(crate) fn earlier(open: &mut Open, registered: &Registered) -> QueryResult<Earlier> {
    let (job, at) = (registered.id.row.get(), registered.at.as_micros());
    let ran = ran(open, job)?;
    let known = writing(open, |open| {
        Ok(Known {
            ran,
            latest: latest_plan(open, job, at)?,
            how_far: how_far(open, job)?,
            alive_until: alive_until(open, registered)?,
            missed: missed(open, job, at)?,
            elsewhere: elsewhere(open, registered.id, registered.session)?,
        })
    })?;
    Ok(known.earlier(registered.at))
}

#[derive(QueryableByName)]
struct Of {
    #[diesel(sql_type = Nullable<BigInt>)]
    value: Option<i64>,
}

/// The last time at which a session was in charge.
fn alive_until(open: &mut Open, registered: &Registered) -> QueryResult<Option<i64>> {
    let question = "SELECT max(least(coalesce(r.until_us, 9223372036854775807), coalesce(s.stopped_us, s.heartbeat_us))) \
                    AS value FROM executor.session_registrations r JOIN executor.sessions s ON s.id = r.session_id \
                    WHERE r.kind = $1 AND r.registration = $2 AND r.from_us < $3";
    let alive: Of = diesel::sql_query(question)
        .bind::<SmallInt, _>(kind_of(registered.id))
        .bind::<BigInt, _>(registered.id.row.get())
        .bind::<BigInt, _>(registered.at.as_micros())
        .get_result(open.connection())?;
    Ok(alive.value)
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Binary)]
    name: Vec<u8>,
}

/// Another living session that is in charge of it.
fn elsewhere(
    open: &mut Open,
    id: RegistrationId,
    session: SessionId,
) -> QueryResult<Option<SessionId>> {
    let question = "SELECT uuid_send(s.session_uuid) AS name FROM executor.session_registrations r \
                    JOIN executor.sessions s ON s.id = r.session_id WHERE r.kind = $1 AND r.registration = $2 \
                    AND s.session_uuid <> $3 AND s.status = 'running' AND r.until_us IS NULL ORDER BY s.id DESC LIMIT 1";
    let living: Option<Name> = diesel::sql_query(question)
        .bind::<SmallInt, _>(kind_of(id))
        .bind::<BigInt, _>(id.row.get())
        .bind::<SqlUuid, _>(*session.as_uuid())
        .get_result(open.connection())
        .optional()?;
    let name = living.and_then(|living| Uuid::from_slice(&living.name).ok());
    Ok(name.map(SessionId::from_uuid))
}

/// The latest executions. Each statement is a transaction of its own, so that none locks all days.
fn ran(open: &mut Open, job: i64) -> QueryResult<Vec<Ran>> {
    let question = "SELECT start_us, due_us FROM executor.executions WHERE entity_id = $1 \
                    AND ended_us >= $2 AND ended_us < $3 ORDER BY ended_us DESC LIMIT $4";
    let days = Days::read(open.connection(), "executions")?;
    let mut found = Vec::new();
    for span in days.spans(&(i64::MIN..i64::MAX), Order::LatestFirst) {
        let more: Vec<Ran> = diesel::sql_query(question)
            .bind::<BigInt, _>(job)
            .bind::<BigInt, _>(span.start)
            .bind::<BigInt, _>(span.end)
            .bind::<BigInt, _>(LOOKED_AT - found.len() as i64)
            .load(open.connection())?;
        found.extend(more);
        if found.len() as i64 == LOOKED_AT {
            break;
        }
    }
    Ok(found)
}

/// The latest episodes of missed runs.
fn missed(open: &mut Open, job: i64, at: i64) -> QueryResult<Vec<Episode>> {
    let question = "SELECT first_due_us AS first, last_due_us AS last FROM executor.missed_runs \
                    WHERE entity_id = $1 AND first_due_us < $2 ORDER BY id DESC LIMIT $3";
    diesel::sql_query(question)
        .bind::<BigInt, _>(job)
        .bind::<BigInt, _>(at)
        .bind::<BigInt, _>(LOOKED_AT)
        .load(open.connection())
}

fn how_far(open: &mut Open, job: i64) -> QueryResult<HowFar> {
    let question = "SELECT last_due_us, next_due_us FROM executor.scheduled_jobs WHERE id = $1";
    let found: Option<HowFar> = diesel::sql_query(question)
        .bind::<BigInt, _>(job)
        .get_result(open.connection())
        .optional()?;
    Ok(found.unwrap_or_default())
}
