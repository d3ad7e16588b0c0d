//! The rows of listeners and jobs: registering, marking as removed, and reconciling with what an app has live. A row has
//! the id of its entity.

use std::collections::HashSet;
use std::sync::Arc;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use executor_core::ports::{Apply, Reconcile, Reconciled};
use executor_core::registration::{Details, JobDetails, Overlap, Registration};
use executor_core::time::micros;
use executor_core::{EntityKind, RegistrationId, RowId, SourceTier, Timestamp};

use crate::codes::code_of;
use crate::postgres::open::Open;
use crate::postgres::sql::text;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{Number, entities, schedules, session};

const fn table_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Listener => "listeners",
        EntityKind::Job => "scheduled_jobs",
    }
}

/// The columns that both tables have, besides the id and the marks.
const COLUMNS: [&str; 14] = [
    "instance_name",
    "source_tier",
    "timeout_us",
    "description",
    "guard_description",
    "source_location",
    "registration_source",
    "entity",
    "overlap",
    "overlap_limit",
    "priority",
    "once",
    "program",
    "annotations",
];

const COLUMNS_OF_JOBS: [&str; 6] = [
    "handler_name",
    "trigger_type",
    "trigger_label",
    "trigger_detail",
    "job_group",
    "arguments_json",
];

/// Registers, or registers again, which takes the marks away.
pub(crate) fn register(open: &mut Open, registration: &Registration) -> QueryResult<RowId> {
    let Registration {
        entity,
        details,
        job,
    } = registration;
    let id = entities::ids_of(open, std::iter::once::<&Arc<_>>(entity))?[0];
    let is_job = entity.kind == EntityKind::Job;
    let of_jobs: &[&str] = if is_job { &COLUMNS_OF_JOBS } else { &[] };
    let columns: Vec<&str> = COLUMNS.iter().chain(of_jobs).copied().collect();
    let places: Vec<String> = (2..columns.len() + 2)
        .map(|place| format!("${place}"))
        .collect();
    let set: Vec<String> = columns
        .iter()
        .map(|it| format!("{it} = excluded.{it}"))
        .collect();
    let upsert = format!(
        "INSERT INTO executor.{} (id, {}) VALUES ($1, {}) ON CONFLICT (id) \
         DO UPDATE SET {}, retired_us = NULL, removed_us = NULL",
        table_of(entity.kind),
        columns.join(", "),
        places.join(", "),
        set.join(", ")
    );
    let upsert = diesel::sql_query(upsert).into_boxed::<Pg>();
    let mut upsert = with_details(upsert.bind::<BigInt, _>(id), details);
    if is_job {
        let none = JobDetails::default();
        upsert = with_job(upsert, job.as_ref().unwrap_or(&none));
    }
    writing(open, |open| upsert.execute(open.connection()))?;
    Ok(RowId::new(id))
}

type Bound<'q> = BoxedSqlQuery<'q, Pg, SqlQuery>;

fn optional(word: Option<&str>) -> Option<String> {
    word.map(|word| text(word).into_owned())
}

/// Binds [`COLUMNS`].
fn with_details<'q>(query: Bound<'q>, details: &Details) -> Bound<'q> {
    query
        .bind::<Nullable<Text>, _>(optional(details.instance_name.as_deref()))
        .bind::<Text, _>(details.source_tier.as_str())
        .bind::<Nullable<BigInt>, _>(details.timeout.map(micros))
        .bind::<Nullable<Text>, _>(optional(details.description.as_deref()))
        .bind::<Nullable<Text>, _>(optional(details.guard_description.as_deref()))
        .bind::<Nullable<Text>, _>(optional(details.source_location.as_deref()))
        .bind::<Nullable<Text>, _>(optional(details.registration_source.as_deref()))
        .bind::<Nullable<Text>, _>(optional(details.entity.as_deref()))
        .bind::<Nullable<Text>, _>(details.overlap.map(Overlap::as_str))
        .bind::<Nullable<BigInt>, _>(details.overlap_limit.map(i64::from))
        .bind::<BigInt, _>(i64::from(details.priority))
        .bind::<Bool, _>(details.once)
        .bind::<Nullable<Text>, _>(optional(details.program.as_deref()))
        .bind::<Nullable<Text>, _>(optional(details.annotations.as_deref()))
}

/// Binds [`COLUMNS_OF_JOBS`].
fn with_job<'q>(query: Bound<'q>, job: &JobDetails) -> Bound<'q> {
    let schedule = &job.schedule;
    query
        .bind::<Nullable<Text>, _>(optional(job.handler_name.as_deref()))
        .bind::<Text, _>(text(&schedule.trigger_type).into_owned())
        .bind::<Nullable<Text>, _>(optional(schedule.label.as_deref()))
        .bind::<Nullable<Text>, _>(optional(schedule.detail.as_deref()))
        .bind::<Nullable<Text>, _>(optional(job.group.as_deref()))
        .bind::<Nullable<Text>, _>(optional(job.arguments_json.as_deref()))
}

/// Sets the time of removal unless it is already set. Returns `false` if there is no such row.
pub(crate) fn mark_cancelled(
    open: &mut Open,
    id: RegistrationId,
    at: Timestamp,
) -> QueryResult<bool> {
    let table = table_of(id.kind);
    let mark =
        format!("UPDATE executor.{table} SET removed_us = coalesce(removed_us, $2) WHERE id = $1");
    writing(open, |open| {
        let marked = diesel::sql_query(mark)
            .bind::<BigInt, _>(id.row.get())
            .bind::<BigInt, _>(at.as_micros())
            .execute(open.connection())?;
        schedules::end(open, id, at)?;
        Ok(marked > 0)
    })
}

/// What is known of a registration that may be stale.
#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Bool)]
    once: bool,
    #[diesel(sql_type = Bool)]
    is_retired: bool,
    #[diesel(sql_type = Bool)]
    has_history: bool,
}

/// Finds stale registrations, which no other session that may live has, and, unless it is a dry run, deletes or retires them, in one transaction.
pub(crate) fn reconcile(open: &mut Open, wanted: &Reconcile) -> QueryResult<Reconciled> {
    writing(open, |open| {
        let mut plan = Reconciled::default();
        for kind in EntityKind::ALL {
            for stale in stale(open, kind, wanted)? {
                let row = RowId::new(stale.id);
                let id = RegistrationId { kind, row };
                match (stale.has_history, stale.is_retired) {
                    (false, _) => plan.deleted.push(id),
                    (true, false) => plan.retired.push(id),
                    (true, true) => {}
                }
            }
        }
        if wanted.apply == Apply::Now {
            apply(open, &plan, wanted.at)?;
        }
        Ok(plan)
    })
}

fn apply(open: &mut Open, plan: &Reconciled, at: Timestamp) -> QueryResult<()> {
    for id in &plan.deleted {
        let delete = format!("DELETE FROM executor.{} WHERE id = $1", table_of(id.kind));
        diesel::sql_query(delete)
            .bind::<BigInt, _>(id.row.get())
            .execute(open.connection())?;
    }
    for id in &plan.retired {
        let table = table_of(id.kind);
        let retire = format!("UPDATE executor.{table} SET retired_us = $2 WHERE id = $1");
        diesel::sql_query(retire)
            .bind::<BigInt, _>(id.row.get())
            .bind::<BigInt, _>(at.as_micros())
            .execute(open.connection())?;
    }
    Ok(())
}

/// Returns the stale registrations. A once-listener that has run in this session is spent, not
/// stale; without a session nobody can tell, so all once-listeners are kept.
fn stale(open: &mut Open, kind: EntityKind, wanted: &Reconcile) -> QueryResult<Vec<Stored>> {
    let question = format!(
        "SELECT r.id, r.once, r.retired_us IS NOT NULL AS is_retired, \
         EXISTS (SELECT FROM executor.executions e WHERE e.entity_id = r.id) AS has_history \
         FROM executor.{} r JOIN executor.entities n ON n.id = r.id \
         WHERE executor.digest_of(n.app_key) = executor.digest_of($1) AND r.source_tier = $2 \
         AND NOT EXISTS (SELECT FROM executor.session_registrations g JOIN executor.sessions s ON s.id = g.session_id \
           WHERE g.kind = {} AND g.registration = r.id AND g.until_us IS NULL AND s.status = 'running' \
           AND ($3 IS NULL OR s.session_uuid <> $3)) ORDER BY r.id FOR UPDATE OF r",
        table_of(kind),
        code_of(kind)
    );
    let mut stored: Vec<Stored> = diesel::sql_query(question)
        .bind::<Text, _>(text(&wanted.app_key))
        .bind::<Text, _>(SourceTier::App.as_str())
        .bind::<Nullable<SqlUuid>, _>(wanted.session.map(|id| *id.as_uuid()))
        .load(open.connection())?;
    let live = wanted.live.iter().filter(|id| id.kind == kind);
    let live: HashSet<i64> = live.map(|id| id.row.get()).collect();
    stored.retain(|it| !live.contains(&it.id));
    let mut stale = Vec::with_capacity(stored.len());
    for it in stored {
        let may_be_spent = kind == EntityKind::Listener && it.once;
        if !may_be_spent || !is_spent(open, it.id, wanted)? {
            stale.push(it);
        }
    }
    Ok(stale)
}

/// Returns whether a once-listener has run in the session; without one nobody can tell.
fn is_spent(open: &mut Open, listener: i64, wanted: &Reconcile) -> QueryResult<bool> {
    let Some(id) = wanted.session else {
        return Ok(true);
    };
    let Some(session) = session::row_of(open, id)? else {
        return Ok(false);
    };
    let question = "SELECT count(*) AS number FROM (SELECT FROM executor.executions \
                    WHERE entity_id = $1 AND session_id = $2 LIMIT 1) AS ran";
    let ran: Number = diesel::sql_query(question)
        .bind::<BigInt, _>(listener)
        .bind::<BigInt, _>(session)
        .get_result(open.connection())?;
    Ok(ran.number > 0)
}

/// Deletes registrations without executions that were retired or removed before `before`. Returns the number deleted.
pub(crate) fn forget_gone(open: &mut Open, before: Timestamp, max: u32) -> QueryResult<u64> {
    let mut gone = 0;
    for table in EntityKind::ALL.map(table_of) {
        // `greatest` is the later of the two marks, where there are both. It is asked for once more, because another
        // process may be registering the row again.
        let delete = format!(
            "DELETE FROM executor.{table} WHERE greatest(retired_us, removed_us) < $1 \
             AND id IN (SELECT r.id FROM executor.{table} r WHERE greatest(r.retired_us, r.removed_us) < $1 \
             AND NOT EXISTS (SELECT FROM executor.executions e WHERE e.entity_id = r.id) LIMIT $2)"
        );
        gone += diesel::sql_query(delete)
            .bind::<BigInt, _>(before.as_micros())
            .bind::<BigInt, _>(i64::from(max))
            .execute(open.connection())? as u64;
    }
    Ok(gone)
}
