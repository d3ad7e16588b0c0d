//! What a filter asks of a row, as SQL. All values but one are numbers, so they go into the SQL as they are.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Filter, Scope};
use executor_core::{Status, Timestamp};

use crate::sqlite::write::registration::Table;
use crate::sqlite::write::row_ids::displacement;
use crate::sqlite::write::session;

#[derive(QueryableByName)]
pub(super) struct Id {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
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
pub(super) struct Conditions {
    pub(super) rows: String,
    /// The first parameter of `rows`.
    pub(super) app_key: Option<String>,
}

impl Conditions {
    pub(super) fn of_rows(connection: &mut SqliteConnection, filter: &Filter) -> QueryResult<Self> {
        let mut app_key = None;
        let mut rows = match &filter.scope {
            Scope::All => "1".to_owned(),
            Scope::Registration(id) => {
                format!("e.{} = {}", Table::of(id.kind).column, id.row.get())
            }
            Scope::Session(session) => match session::ids_of(connection, *session)? {
                None => "0".to_owned(),
                Some((row, _)) => format!("e.session_id = {row}"),
            },
            Scope::App(app) => {
                app_key = Some(app.clone());
                "(e.listener_id IN (SELECT id FROM listeners WHERE app_key = ?1) \
                 OR e.job_id IN (SELECT id FROM scheduled_jobs WHERE app_key = ?1) \
                 OR e.id IN (SELECT id FROM execution_orphans WHERE app_key = ?1))"
                    .to_owned()
            }
        };
        rows.push_str(&of_statuses(&filter.statuses));
        rows.push_str(&of_window(filter, displacement(connection)?));
        if let Some(before) = filter.started_before {
            rows.push_str(&format!(" AND e.start_us < {}", before.as_micros()));
        }
        Ok(Self { rows, app_key })
    }
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
