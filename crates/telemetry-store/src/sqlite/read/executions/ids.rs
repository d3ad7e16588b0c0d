//! Finds the ids of executions, as far as an index or the primary key serves.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use executor_core::EntityKind;
use executor_core::ports::{Filter, Order, Scope};
use executor_core::time::micros;

use super::conditions::{Id, of_session, of_statuses, of_window};
use super::past_damage::past_damage;
use crate::read::paging::{Cursor, direction};
use crate::read::question::QueryError;
use crate::sqlite::classify::is_damage;
use crate::sqlite::read::asked::Asked;
use crate::sqlite::schema::{listeners, scheduled_jobs};
use crate::sqlite::write::registration::Table;
use crate::sqlite::write::row_ids::displacement;
use crate::sqlite::write::session;

/// Executions that take at least this long have an index of their own.
const LONG: Duration = Duration::from_secs(60);

/// Returns the ids that indexes find, at most `limit`; where one cannot be read, those that can be found without it.
pub(crate) fn ids(
    asked: &mut Asked<'_>,
    filter: &Filter,
    cursor: Cursor,
    limit: u32,
) -> Result<Vec<i64>, QueryError> {
    match by_index(asked.connection, filter, cursor, limit) {
        Err(error) if is_damage(&error) => past_damage(asked, filter, cursor, limit),
        found => Ok(found?),
    }
}

fn by_index(
    connection: &mut SqliteConnection,
    filter: &Filter,
    cursor: Cursor,
    limit: u32,
) -> QueryResult<Vec<i64>> {
    let displacement = displacement(connection)?;
    let of_session = of_session(connection, filter)?;
    let Some(before) = filter.started_before else {
        let index = Index::OfScope;
        let wanted = Wanted::new(filter, cursor, limit, displacement, &of_session, index);
        return of_scope(connection, filter, cursor, limit, &wanted);
    };
    // Short ones end soon after they begin; an index has the others.
    let soon = before
        .saturating_add(LONG)
        .as_micros()
        .saturating_add(displacement);
    let began = format!("{of_session} AND e.start_us < {}", before.as_micros());
    let mut found = Vec::new();
    let long = micros(LONG);
    let (short, long) = (
        format!("{began} AND e.id <= {soon}"),
        format!("{began} AND e.id > {soon} AND e.duration_us >= {long}"),
    );
    for (ended, index) in [(short, Index::OfScope), (long, Index::OfLong)] {
        let wanted = Wanted::new(filter, cursor, limit, displacement, &ended, index);
        found.extend(of_scope(connection, filter, cursor, limit, &wanted)?);
    }
    Ok(cursor.in_order(found, limit))
}

fn of_scope(
    connection: &mut SqliteConnection,
    filter: &Filter,
    cursor: Cursor,
    limit: u32,
    wanted: &Wanted,
) -> QueryResult<Vec<i64>> {
    let found = match &filter.scope {
        Scope::Registration(id) => {
            wanted.load(connection, &wanted.of_registration(id.kind, id.row.get()))?
        }
        Scope::Session(session) => match session::ids_of(connection, *session)? {
            None => Vec::new(),
            // A session is a stretch of the primary key.
            Some((row, ids)) => {
                let (first, last) = (ids.start, ids.end);
                let stretch = format!("e.id BETWEEN {first} AND {last} AND +e.session_id = {row}");
                wanted.load(connection, &stretch)?
            }
        },
        Scope::App(app) => of_app(connection, app, wanted)?,
        Scope::All => wanted.load(connection, "1")?,
    };
    Ok(cursor.in_order(found, limit))
}

/// Finds the ids of an app. An index serves each of its registrations, and the pages of all of them
/// contain the app's page.
fn of_app(connection: &mut SqliteConnection, app: &str, wanted: &Wanted) -> QueryResult<Vec<i64>> {
    let of_listeners = listeners::table.filter(listeners::app_key.eq(app));
    let of_jobs = scheduled_jobs::table.filter(scheduled_jobs::app_key.eq(app));
    let listeners: Vec<i64> = of_listeners.select(listeners::id).load(connection)?;
    let jobs: Vec<i64> = of_jobs.select(scheduled_jobs::id).load(connection)?;
    let mut found = Vec::new();
    for (kind, rows) in EntityKind::ALL.into_iter().zip([listeners, jobs]) {
        for row in rows {
            found.extend(wanted.load(connection, &wanted.of_registration(kind, row))?);
        }
    }
    let question = wanted.question(
        "execution_orphans o CROSS JOIN executions e ON e.id = o.id",
        "o.app_key = ?1",
    );
    let orphans = diesel::sql_query(question).bind::<Text, _>(app);
    let orphans: Vec<Id> = orphans.load(connection)?;
    found.extend(orphans.into_iter().map(|found| found.id));
    Ok(found)
}

/// The conditions that do not depend on the scope. All their values are numbers, so they go into the SQL
/// as they are.
struct Wanted {
    conditions: String,
    index: Index,
}

/// Which index finds the rows.
#[derive(Clone, Copy, PartialEq)]
enum Index {
    OfScope,
    /// Few executions take long, but one listener or job may have millions.
    OfLong,
}

impl Wanted {
    /// `displacement` is the most that a row's id lies above the time at which its execution ended.
    fn new(
        filter: &Filter,
        cursor: Cursor,
        limit: u32,
        displacement: i64,
        also: &str,
        index: Index,
    ) -> Self {
        let mut conditions = of_statuses(&filter.statuses);
        conditions.push_str(also);
        conditions.push_str(&of_window(filter, displacement));
        if let Some(after) = cursor.after {
            let side = match cursor.order {
                Order::LatestFirst => '<',
                Order::OldestFirst => '>',
            };
            conditions.push_str(&format!(" AND e.id {side} {after}"));
        }
        let direction = direction(cursor.order);
        conditions.push_str(&format!(" ORDER BY e.id {direction} LIMIT {limit}"));
        Self { conditions, index }
    }

    fn of_registration(&self, kind: EntityKind, row: i64) -> String {
        let column = Table::of(kind).column;
        // SQLite uses no index for a term with a sign.
        let sign = if self.index == Index::OfLong { "+" } else { "" };
        format!("{sign}e.{column} = {row}")
    }

    fn question(&self, tables: &str, whose: &str) -> String {
        format!("SELECT e.id FROM {tables} WHERE {whose}{}", self.conditions)
    }

    fn load(&self, connection: &mut SqliteConnection, whose: &str) -> QueryResult<Vec<i64>> {
        let found: Vec<Id> =
            diesel::sql_query(self.question("executions e", whose)).load(connection)?;
        Ok(found.into_iter().map(|found| found.id).collect())
    }
}
