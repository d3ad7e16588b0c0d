//! The rows of listeners and jobs: registering, marking as removed, and reconciling with what an app has live. A row has
//! the id of its entity.

use std::collections::HashSet;
use std::sync::Arc;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use executor_core::ports::{Apply, Order, Reconcile, Reconciled};
use executor_core::registration::{Details, JobDetails, Overlap, Registration};
use executor_core::time::micros;
use executor_core::{EntityKind, RegistrationId, RowId, SourceTier, Timestamp};

use crate::codes::{code_of, table_of};
use crate::postgres::open::Open;
use crate::postgres::read::spans::Days;
use crate::postgres::sql::text;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{Number, entities, schedules, session};

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
}

/// Finds stale registrations, which no other session that may live has, and, unless it is a dry run, deletes or retires them, in one transaction.
pub(crate) fn reconcile(open: &mut Open, wanted: &Reconcile) -> QueryResult<Reconciled> {
    // Before the transaction, which would lock each day that is asked.
    let (mut looked_at, mut with_history) = (HashSet::new(), HashSet::new());
    for kind in EntityKind::ALL {
        let stale = writing(open, |open| stale(open, kind, wanted))?;
        looked_at.extend(stale.iter().map(|it| it.id));
        with_history.extend(with_executions(open, stale.iter().map(|it| it.id))?);
    }
    writing(open, |open| {
        let mut plan = Reconciled::default();
        for kind in EntityKind::ALL {
            let stale = stale(open, kind, wanted)?;
            // What was registered meanwhile is not stale.
            for stale in stale.iter().filter(|it| looked_at.contains(&it.id)) {
                let row = RowId::new(stale.id);
                let id = RegistrationId { kind, row };
                match (with_history.contains(&stale.id), stale.is_retired) {
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
        "SELECT r.id, r.once, r.retired_us IS NOT NULL AS is_retired FROM executor.{} r JOIN executor.entities n ON n.id = r.id \
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
        // `greatest` is the later of the two marks, where there are both.
        let question = format!(
            "SELECT id AS number FROM executor.{table} WHERE greatest(retired_us, removed_us) < $1 ORDER BY id"
        );
        let old: Vec<Number> = diesel::sql_query(question)
            .bind::<BigInt, _>(before.as_micros())
            .load(open.connection())?;
        let old: Vec<i64> = old.into_iter().map(|it| it.number).collect();
        let used = with_executions(open, old.iter().copied())?;
        let unused = old.into_iter().filter(|id| !used.contains(id));
        let unused: Vec<i64> = unused.take(max as usize).collect();
        // The marks are asked for once more, because another process may be registering the row again.
        let delete = format!(
            "DELETE FROM executor.{table} WHERE greatest(retired_us, removed_us) < $1 AND id = ANY ($2)"
        );
        gone += writing(open, |open| {
            diesel::sql_query(delete)
                .bind::<BigInt, _>(before.as_micros())
                .bind::<Array<BigInt>, _>(unused)
                .execute(open.connection())
        })? as u64;
    }
    Ok(gone)
}

/// Returns those of these entities that have executions, the newest days first. Each statement is a transaction of its own,
/// so that none locks all days.
fn with_executions(
    open: &mut Open,
    entities: impl Iterator<Item = i64>,
) -> QueryResult<HashSet<i64>> {
    let (mut left, mut found): (Vec<i64>, _) = (entities.collect(), HashSet::new());
    let question = "SELECT g AS number FROM unnest($1) AS g WHERE EXISTS (SELECT FROM executor.executions e \
                    WHERE e.entity_id = g AND e.ended_us >= $2 AND e.ended_us < $3)";
    let days = Days::read(open.connection(), "executions")?;
    for span in days.spans(&(i64::MIN..i64::MAX), Order::LatestFirst) {
        if left.is_empty() {
            break;
        }
        let more: Vec<Number> = diesel::sql_query(question)
            .bind::<Array<BigInt>, _>(&left)
            .bind::<BigInt, _>(span.start)
            .bind::<BigInt, _>(span.end)
            .load(open.connection())?;
        found.extend(more.into_iter().map(|it| it.number));
        left.retain(|id| !found.contains(id));
    }
    Ok(found)
}
