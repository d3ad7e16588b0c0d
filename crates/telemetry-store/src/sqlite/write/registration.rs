//! The rows of listeners and jobs: registering, marking as removed, and reconciling with what an
//! app has live.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Apply, Reconcile, Reconciled};
use executor_core::registration::{JobDetails, Registration};
use executor_core::{EntityKind, RegistrationId, RowId, SourceTier, Timestamp};

use crate::codes::{code_of, table_of};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::rows::{JobRow, ListenerRow};
use crate::sqlite::write::{schedules, session};

/// The table of one kind of registration, and the column of `executions` that refers to it.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) column: &'static str,
}

impl Table {
    pub(crate) const fn of(kind: EntityKind) -> Self {
        let column = match kind {
            EntityKind::Listener => "listener_id",
            EntityKind::Job => "job_id",
        };
        Self {
            name: table_of(kind),
            column,
        }
    }
}

pub(crate) fn register(
    connection: &mut SqliteConnection,
    registration: &Registration,
) -> QueryResult<RowId> {
    let Registration {
        entity,
        details,
        job,
    } = registration;
    let row = match entity.kind {
        EntityKind::Listener => ListenerRow::new(entity, details).get_result(connection),
        EntityKind::Job => {
            let none = JobDetails::default();
            let job = job.as_ref().unwrap_or(&none);
            JobRow::new(entity, details, job).get_result(connection)
        }
    };
    row.map(RowId::new)
}

/// Sets the time of removal unless it is already set. Returns `false` if there is no such row.
pub(crate) fn mark_cancelled(
    connection: &mut SqliteConnection,
    id: RegistrationId,
    at: Timestamp,
) -> QueryResult<bool> {
    immediate(connection, |connection| {
        let table = table_of(id.kind);
        let changed = diesel::sql_query(format!(
            "UPDATE {table} SET removed_us = coalesce(removed_us, ?2) WHERE id = ?1"
        ));
        let changed = changed
            .bind::<BigInt, _>(id.row.get())
            .bind::<BigInt, _>(at.as_micros())
            .execute(connection)?;
        schedules::end(connection, id, at)?;
        Ok(changed > 0)
    })
}

/// Finds stale registrations, which no other living session has, and, unless it is a dry run, deletes or retires them, in one transaction.
pub(crate) fn reconcile(
    connection: &mut SqliteConnection,
    wanted: &Reconcile,
) -> QueryResult<Reconciled> {
    immediate(connection, |connection| {
        let mut plan = Reconciled::default();
        for kind in EntityKind::ALL {
            for stale in stale(connection, kind, wanted)? {
                let row = RowId::new(stale.id);
                sort_in(&mut plan, &stale, RegistrationId { kind, row });
            }
        }
        if wanted.apply == Apply::Now {
            apply(connection, &plan, wanted.at.as_micros())?;
        }
        Ok(plan)
    })
}

fn sort_in(plan: &mut Reconciled, stale: &Stored, id: RegistrationId) {
    match (stale.has_history, stale.is_retired) {
        (false, _) => plan.deleted.push(id),
        (true, false) => plan.retired.push(id),
        (true, true) => {}
    }
}

fn apply(connection: &mut SqliteConnection, plan: &Reconciled, at: i64) -> QueryResult<()> {
    for id in &plan.deleted {
        let table = table_of(id.kind);
        diesel::sql_query(format!("DELETE FROM {table} WHERE id = ?1"))
            .bind::<BigInt, _>(id.row.get())
            .execute(connection)?;
    }
    for id in &plan.retired {
        let table = table_of(id.kind);
        diesel::sql_query(format!("UPDATE {table} SET retired_us = ?2 WHERE id = ?1"))
            .bind::<BigInt, _>(id.row.get())
            .bind::<BigInt, _>(at)
            .execute(connection)?;
    }
    Ok(())
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

/// Returns the stale registrations. A once-listener that has run in this session is spent, not
/// stale; without a session nobody can tell, so all once-listeners are kept.
fn stale(
    connection: &mut SqliteConnection,
    kind: EntityKind,
    wanted: &Reconcile,
) -> QueryResult<Vec<Stored>> {
    let live = wanted.live.iter().filter(|id| id.kind == kind);
    let live: HashSet<i64> = live.map(|id| id.row.get()).collect();
    let Table { name, column } = Table::of(kind);
    let stored: Vec<Stored> = diesel::sql_query(format!(
        "SELECT r.id, r.once <> 0 AS once, r.retired_us IS NOT NULL AS is_retired, \
         EXISTS (SELECT 1 FROM executions e WHERE e.{column} = r.id) AS has_history \
         FROM {name} r WHERE r.app_key = ?1 AND r.source_tier = ?2 \
         AND NOT EXISTS (SELECT 1 FROM session_registrations g JOIN sessions s ON s.id = g.session_id \
           WHERE g.kind = ?3 AND g.registration = r.id AND g.until_us IS NULL AND s.status = 'running' \
           AND (?4 IS NULL OR s.session_uuid <> ?4)) ORDER BY r.id"
    ))
    .bind::<Text, _>(&wanted.app_key)
    .bind::<Text, _>(SourceTier::App.as_str())
    .bind::<BigInt, _>(code_of(kind))
    .bind::<Nullable<Binary>, _>(wanted.session.map(|id| id.as_uuid().as_bytes().to_vec()))
    .load(connection)?;
    let spent = spent_in_session(connection, wanted)?;
    let is_spent = |id| spent.as_ref().is_none_or(|spent| spent.contains(&id));
    let left_alone =
        |stored: &Stored| kind == EntityKind::Listener && stored.once && is_spent(stored.id);
    let stale = stored.into_iter();
    let stale = stale.filter(|stored| !live.contains(&stored.id) && !left_alone(stored));
    Ok(stale.collect())
}

/// The once-listeners that have run in the session; `None` without one.
fn spent_in_session(
    connection: &mut SqliteConnection,
    wanted: &Reconcile,
) -> QueryResult<Option<HashSet<i64>>> {
    let Some(id) = wanted.session else {
        return Ok(None);
    };
    let Some(row) = session::row_of(connection, id)? else {
        return Ok(Some(HashSet::new()));
    };
    let spent: Vec<Id> = diesel::sql_query(
        "SELECT l.id FROM listeners l WHERE l.app_key = ?1 AND l.once <> 0 AND EXISTS \
         (SELECT 1 FROM executions e WHERE e.listener_id = l.id AND e.session_id = ?2)",
    )
    .bind::<Text, _>(&wanted.app_key)
    .bind::<BigInt, _>(row)
    .load(connection)?;
    Ok(Some(spent.into_iter().map(|spent| spent.id).collect()))
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Deletes registrations without executions that were retired or removed before `before`, inside the caller's
/// transaction. Returns the number deleted.
pub(crate) fn forget_gone(
    connection: &mut SqliteConnection,
    before: Timestamp,
    max: u32,
) -> QueryResult<u64> {
    let mut gone = 0;
    for Table {
        name: table,
        column,
    } in EntityKind::ALL.map(Table::of)
    {
        // The later of the two marks, where there are both.
        let question = format!(
            "DELETE FROM {table} WHERE id IN (SELECT r.id FROM {table} r \
             WHERE max(coalesce(r.retired_us, r.removed_us), coalesce(r.removed_us, r.retired_us)) < ?1 \
             AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.{column} = r.id) LIMIT ?2)"
        );
        gone += diesel::sql_query(question)
            .bind::<BigInt, _>(before.as_micros())
            .bind::<BigInt, _>(i64::from(max))
            .execute(connection)? as u64;
    }
    Ok(gone)
}
