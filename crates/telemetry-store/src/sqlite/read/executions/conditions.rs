//! The conditions that an index serves, as SQL: status, kind, session and window (`search.rs` has the others). All values
//! but one are numbers, so they go into the SQL as they are.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Filter, Scope};
use executor_core::{Status, Timestamp};

use crate::sqlite::classify::is_damage;
use crate::sqlite::read::asked::Asked;
use crate::sqlite::read::stored::listed;
use crate::sqlite::write::registration::Table;
use crate::sqlite::write::row_ids::displacement;
use crate::sqlite::write::session;

#[derive(QueryableByName)]
pub(super) struct Id {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
}

/// A session is a stretch of the primary key; one that does not exist has nothing in it.
pub(super) fn of_session(
    connection: &mut SqliteConnection,
    filter: &Filter,
) -> QueryResult<String> {
    let Some(id) = filter.session else {
        return Ok(String::new());
    };
    Ok(match session::ids_of(connection, id)? {
        None => " AND 0".into(),
        Some((row, ids)) => {
            let (first, last) = (ids.start, ids.end);
            format!(" AND e.id BETWEEN {first} AND {last} AND +e.session_id = {row}")
        }
    })
}

pub(super) fn of_window(filter: &Filter, displacement: i64) -> String {
    let mut conditions = String::new();
    if let Some(from) = filter.from.map(Timestamp::as_micros) {
        let ended = format!(" AND e.id >= {from} AND e.start_us + e.duration_us >= {from}");
        conditions.push_str(&ended);
    }
    if let Some(to) = filter.to.map(Timestamp::as_micros) {
        let last = to.saturating_add(displacement);
        let ended = format!(" AND e.id <= {last} AND e.start_us + e.duration_us < {to}");
        conditions.push_str(&ended);
    }
    conditions
}

/// The conditions of a filter for a table that is read without an index.
pub(super) fn of_rows(asked: &mut Asked<'_>, filter: &Filter) -> QueryResult<String> {
    let mut rows = match &filter.scope {
        Scope::All => "1".to_owned(),
        Scope::Registration(id) => {
            format!("e.{} = {}", Table::of(id.kind).column, id.row.get())
        }
        Scope::Session(session) => match session::ids_of(asked.connection, *session)? {
            None => "0".to_owned(),
            Some((row, _)) => format!("e.session_id = {row}"),
        },
        Scope::App(app) => of_app(asked, app)?,
    };
    rows.push_str(&of_statuses(&filter.statuses));
    rows.push_str(&of_session(asked.connection, filter)?);
    rows.push_str(&of_window(filter, displacement(asked.connection)?));
    if let Some(before) = filter.started_before {
        rows.push_str(&format!(" AND e.start_us < {}", before.as_micros()));
    }
    Ok(rows)
}

/// The rows of an app by number, so that the scan needs no other table, which may be damaged too.
fn of_app(asked: &mut Asked<'_>, app: &str) -> QueryResult<String> {
    let mut parts = vec!["0".to_owned()];
    for (table, column) in [
        ("listeners", "e.listener_id"),
        ("scheduled_jobs", "e.job_id"),
        ("execution_orphans", "e.id"),
    ] {
        let question = format!("SELECT id FROM {table} WHERE app_key = ?1");
        let found = diesel::sql_query(question).bind::<Text, _>(app);
        match found.load::<Id>(asked.connection) {
            Ok(found) => {
                let ids: Vec<i64> = found.into_iter().map(|found| found.id).collect();
                parts.push(format!("{column} IN ({})", listed(&ids)));
            }
            Err(error) if is_damage(&error) => {
                let what = format!("which executions belong to the app cannot be read in {table}");
                asked.left_out.note(what);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(format!("({})", parts.join(" OR ")))
}

pub(super) fn of_statuses(statuses: &[Status]) -> String {
    if statuses.is_empty() || Status::ALL.iter().all(|status| statuses.contains(status)) {
        return String::new();
    }
    let codes: Vec<String> = statuses
        .iter()
        .map(|status| status.code().to_string())
        .collect();
    let codes = match &codes[..] {
        [code] => format!("= {code}"),
        codes => format!("IN ({})", codes.join(", ")),
    };
    if statuses.contains(&Status::Success) {
        format!(" AND e.status {codes}")
    } else {
        // Repeated, so that SQLite uses the index of executions that did not succeed.
        format!(" AND e.status {codes} AND e.status <> 0")
    }
}
