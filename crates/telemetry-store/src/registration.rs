//! The rows of listeners and jobs: registering, marking as removed, and reconciling with what an
//! app has live.

use std::collections::HashSet;

use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Apply, Reconcile, Reconciled, RegistrationId};
use executor_core::{
    JobId, JobRegistration, ListenerId, ListenerRegistration, SourceTier, Timestamp,
};

use crate::rows::{JobRow, ListenerRow};
use crate::schema::{executions, listeners, scheduled_jobs};
use crate::session;
use crate::transaction::immediate;

pub(crate) fn register_listener(
    connection: &mut SqliteConnection,
    registration: &ListenerRegistration,
) -> QueryResult<ListenerId> {
    let row = ListenerRow::from(registration);
    row.get_result(connection).map(ListenerId)
}

pub(crate) fn register_job(
    connection: &mut SqliteConnection,
    registration: &JobRegistration,
) -> QueryResult<JobId> {
    let row = JobRow::from(registration);
    row.get_result(connection).map(JobId)
}

/// Sets the time of removal unless it is set. `false`: there is no such row.
pub(crate) fn mark_cancelled(
    connection: &mut SqliteConnection,
    id: RegistrationId,
    at: Timestamp,
) -> QueryResult<bool> {
    let at = at.as_micros();
    let changed = match id {
        RegistrationId::Listener(id) => diesel::update(listeners::table.find(id.0))
            .set(listeners::removed_us.eq(removed_or(listeners::removed_us, at)))
            .execute(connection)?,
        RegistrationId::Job(id) => diesel::update(scheduled_jobs::table.find(id.0))
            .set(scheduled_jobs::removed_us.eq(removed_or(scheduled_jobs::removed_us, at)))
            .execute(connection)?,
    };
    Ok(changed > 0)
}

diesel::define_sql_function! {
    /// The first of the two that is not null.
    #[sql_name = "coalesce"]
    fn first_set(
        set: diesel::sql_types::Nullable<diesel::sql_types::BigInt>,
        otherwise: diesel::sql_types::BigInt,
    ) -> diesel::sql_types::Nullable<diesel::sql_types::BigInt>;
}

fn removed_or<C>(column: C, at: i64) -> first_set<C, i64>
where
    C: Expression<SqlType = diesel::sql_types::Nullable<diesel::sql_types::BigInt>>,
{
    first_set(column, at)
}

/// What is known of a stale registration: its row, whether it has history, whether it is spent.
struct Stale {
    id: i64,
    has_history: bool,
    is_retired: bool,
}

/// Compares, decides, and (unless it is a dry run) does it, in one transaction.
pub(crate) fn reconcile(
    connection: &mut SqliteConnection,
    wanted: &Reconcile,
) -> QueryResult<Reconciled> {
    immediate(connection, |connection| {
        let listeners = stale_listeners(connection, wanted)?;
        let jobs = stale_jobs(connection, wanted)?;
        let mut plan = Reconciled::default();
        for stale in &listeners {
            sort_in(
                &mut plan,
                stale,
                RegistrationId::Listener(ListenerId(stale.id)),
            );
        }
        for stale in &jobs {
            sort_in(&mut plan, stale, RegistrationId::Job(JobId(stale.id)));
        }
        if wanted.apply == Apply::Now {
            apply(connection, &plan, wanted.at.as_micros())?;
        }
        Ok(plan)
    })
}

fn sort_in(plan: &mut Reconciled, stale: &Stale, id: RegistrationId) {
    match (stale.has_history, stale.is_retired) {
        (false, _) => plan.deleted.push(id),
        (true, false) => plan.retired.push(id),
        (true, true) => {}
    }
}

fn apply(connection: &mut SqliteConnection, plan: &Reconciled, at: i64) -> QueryResult<()> {
    for id in &plan.deleted {
        match id {
            RegistrationId::Listener(id) => {
                diesel::delete(listeners::table.find(id.0)).execute(connection)?
            }
            RegistrationId::Job(id) => {
                diesel::delete(scheduled_jobs::table.find(id.0)).execute(connection)?
            }
        };
    }
    for id in &plan.retired {
        match id {
            RegistrationId::Listener(id) => diesel::update(listeners::table.find(id.0))
                .set(listeners::retired_us.eq(at))
                .execute(connection)?,
            RegistrationId::Job(id) => diesel::update(scheduled_jobs::table.find(id.0))
                .set(scheduled_jobs::retired_us.eq(at))
                .execute(connection)?,
        };
    }
    Ok(())
}

/// A once-listener that has run in this session is spent, not stale; without a session nobody
/// can tell, so all of them are left alone.
fn stale_listeners(
    connection: &mut SqliteConnection,
    wanted: &Reconcile,
) -> QueryResult<Vec<Stale>> {
    let live: HashSet<i64> = wanted.live_listeners.iter().map(|id| id.0).collect();
    let history = executions::table.filter(executions::listener_id.eq(listeners::id.nullable()));
    let rows: Vec<(i64, i64, Option<i64>, bool)> = listeners::table
        .filter(listeners::app_key.eq(&wanted.app_key))
        .filter(listeners::source_tier.eq(SourceTier::App.as_str()))
        .select((
            listeners::id,
            listeners::once,
            listeners::retired_us,
            exists(history),
        ))
        .order(listeners::id)
        .load(connection)?;
    let spent = spent_in_session(connection, wanted)?;
    let left_alone =
        |id: i64, once: i64| once != 0 && spent.as_ref().is_none_or(|spent| spent.contains(&id));
    let stale = rows
        .into_iter()
        .filter(|(id, once, ..)| !live.contains(id) && !left_alone(*id, *once))
        .map(|(id, _, retired, has_history)| Stale {
            id,
            has_history,
            is_retired: retired.is_some(),
        });
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
    let ran = executions::table
        .filter(executions::listener_id.eq(listeners::id.nullable()))
        .filter(executions::session_id.eq(row));
    let spent: Vec<i64> = listeners::table
        .filter(listeners::app_key.eq(&wanted.app_key))
        .filter(not(listeners::once.eq(0)))
        .filter(exists(ran))
        .select(listeners::id)
        .load(connection)?;
    Ok(Some(spent.into_iter().collect()))
}

fn stale_jobs(connection: &mut SqliteConnection, wanted: &Reconcile) -> QueryResult<Vec<Stale>> {
    let live: HashSet<i64> = wanted.live_jobs.iter().map(|id| id.0).collect();
    let history = executions::table.filter(executions::job_id.eq(scheduled_jobs::id.nullable()));
    let rows: Vec<(i64, Option<i64>, bool)> = scheduled_jobs::table
        .filter(scheduled_jobs::app_key.eq(&wanted.app_key))
        .filter(scheduled_jobs::source_tier.eq(SourceTier::App.as_str()))
        .select((
            scheduled_jobs::id,
            scheduled_jobs::retired_us,
            exists(history),
        ))
        .order(scheduled_jobs::id)
        .load(connection)?;
    let stale = rows.into_iter().filter(|(id, ..)| !live.contains(id));
    Ok(stale
        .map(|(id, retired, has_history)| Stale {
            id,
            has_history,
            is_retired: retired.is_some(),
        })
        .collect())
}

/// Inside the caller's transaction: deletes registrations that were retired or removed before this, if they have
/// no rows. Returns how many went.
pub(crate) fn forget_gone(
    connection: &mut SqliteConnection,
    before: Timestamp,
    max: u32,
) -> QueryResult<u64> {
    let tables = [("listeners", "listener_id"), ("scheduled_jobs", "job_id")];
    let mut gone = 0;
    for (table, column) in tables {
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
