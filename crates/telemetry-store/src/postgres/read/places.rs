//! Finds the keys of executions, as far as an index serves.

use std::ops::Range;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use executor_core::ports::{Filter, Order, Scope};
use executor_core::time::micros;
use executor_core::{SessionId, Status, Timestamp};

use crate::periods::HOUR_US;
use crate::postgres::key::Key;
use crate::postgres::read::asked::Asked;
use crate::postgres::sql::text;
use crate::read::paging::{Cursor, direction};
use crate::read::question::QueryError;

/// Executions that take at least this long have an index of their own.
const LONG: Duration = Duration::from_secs(60);

/// Returns the keys of executions that fulfil what an index serves, at most `limit`.
pub(crate) fn places(
    asked: &mut Asked<'_>,
    filter: &Filter,
    cursor: Cursor<Key>,
    limit: u32,
) -> Result<Vec<Key>, QueryError> {
    let Some(wanted) = Wanted::of(asked, filter)? else {
        return Ok(Vec::new());
    };
    let Some(before) = filter.started_before.map(Timestamp::as_micros) else {
        return in_window(asked, &wanted, &wanted.window.clone(), "", cursor, limit);
    };
    // Short ones end soon after they begin; an index has the others.
    let soon = before.saturating_add(micros(LONG));
    let (short, mut long) = (wanted.until(soon), wanted.window.clone());
    long.start = long.start.max(soon);
    let began = format!(" AND e.start_us < {before}");
    let mut found = in_window(asked, &wanted, &short, &began, cursor, limit)?;
    let lasted = format!("{began} AND e.duration_us >= {}", micros(LONG));
    found.extend(in_window(asked, &wanted, &long, &lasted, cursor, limit)?);
    Ok(cursor.in_order(found, limit))
}

/// Asks span after span until the page is full.
fn in_window(
    asked: &mut Asked<'_>,
    wanted: &Wanted,
    window: &Range<i64>,
    also: &str,
    cursor: Cursor<Key>,
    limit: u32,
) -> Result<Vec<Key>, QueryError> {
    let window = after(window, cursor);
    let mut found = Vec::new();
    for span in asked.days.spans(&window, cursor.order) {
        asked.deadline.check()?;
        let missing = limit - found.len() as u32;
        let question = wanted.question(&span, also, cursor, missing);
        let more: Vec<Key> = diesel::sql_query(question)
            .bind::<Nullable<Text>, _>(wanted.app.as_deref())
            .load(asked.connection)?;
        found.extend(more);
        if found.len() as u32 >= limit {
            break;
        }
    }
    Ok(found)
}

/// What is left of a window behind a cursor. What ended in the same microsecond is told apart by name.
fn after(window: &Range<i64>, cursor: Cursor<Key>) -> Range<i64> {
    match (cursor.after, cursor.order) {
        (None, _) => window.clone(),
        (Some(key), Order::LatestFirst) => {
            window.start..window.end.min(key.ended_us.saturating_add(1))
        }
        (Some(key), Order::OldestFirst) => window.start.max(key.ended_us)..window.end,
    }
}

/// The conditions of a filter that indexes serve. All values but the app are numbers and names, so they go into the SQL
/// as they are.
struct Wanted {
    window: Range<i64>,
    /// Conditions that rows fulfil.
    rows: String,
    app: Option<String>,
    statuses: Vec<Status>,
}

impl Wanted {
    /// `None` if there can be nothing.
    fn of(asked: &mut Asked<'_>, filter: &Filter) -> QueryResult<Option<Self>> {
        let from = filter.from.map_or(i64::MIN, Timestamp::as_micros);
        let to = filter.to.map_or(i64::MAX, Timestamp::as_micros);
        let mut wanted = Self {
            window: from..to,
            rows: String::new(),
            app: None,
            statuses: filter.statuses.clone(),
        };
        let of_scope = match &filter.scope {
            Scope::Session(session) => Some(*session),
            Scope::Registration(id) => {
                wanted.rows = format!(" AND e.entity_id = {}", id.row.get());
                None
            }
            Scope::App(app) => {
                wanted.app = Some(text(app).into_owned());
                None
            }
            Scope::All => None,
        };
        for session in of_scope.into_iter().chain(filter.session) {
            let Some((row, ends)) = session_of(asked.connection, session)? else {
                return Ok(None);
            };
            let window = &mut wanted.window;
            *window = window.start.max(ends.start)..window.end.min(ends.end);
            wanted.rows.push_str(&format!(" AND e.session_id = {row}"));
        }
        Ok(Some(wanted))
    }

    fn until(&self, end: i64) -> Range<i64> {
        self.window.start..self.window.end.min(end)
    }

    /// The question for one span: the pages of all parts of it contain its page. An index serves each entity of an app,
    /// and each status but success.
    fn question(&self, span: &Range<i64>, also: &str, cursor: Cursor<Key>, limit: u32) -> String {
        let direction = direction(cursor.order);
        let order =
            format!("ORDER BY ended_us {direction}, execution_id {direction} LIMIT {limit}");
        let part = |whose: &str| {
            format!(
                "SELECT e.ended_us, e.execution_id FROM executor.executions e WHERE {}{}{also}{whose} {order}",
                of_span(span, cursor),
                self.rows
            )
        };
        let statuses = of_statuses(&self.statuses);
        if self.app.is_some() {
            let statuses = match &statuses[..] {
                [] => String::new(),
                all => format!(" AND ({})", all.join(" OR ")),
            };
            return format!(
                "SELECT x.ended_us, x.execution_id FROM executor.entities n CROSS JOIN LATERAL ({}) x \
                 WHERE executor.digest_of(n.app_key) = executor.digest_of($1) {order}",
                part(&format!(" AND e.entity_id = n.id{statuses}"))
            );
        }
        let parts: Vec<String> = match &statuses[..] {
            [] => vec![part(" AND $1::text IS NULL")],
            all => {
                let parts = all.iter();
                parts
                    .map(|of| part(&format!(" AND $1::text IS NULL AND {of}")))
                    .collect()
            }
        };
        match &parts[..] {
            [one] => one.clone(),
            parts => format!("({}) {order}", parts.join(") UNION ALL (")),
        }
    }
}

/// Bounds as values of their own leave out days when the statement is planned.
fn of_span(span: &Range<i64>, cursor: Cursor<Key>) -> String {
    let (from, to) = (span.start, span.end);
    let mut within = format!("e.ended_us >= {from} AND e.ended_us < {to}");
    if let Some(Key {
        ended_us,
        execution_id,
    }) = cursor.after
    {
        let side = match cursor.order {
            Order::LatestFirst => '<',
            Order::OldestFirst => '>',
        };
        let behind = format!(
            " AND (e.ended_us, e.execution_id) {side} ({ended_us}, '{execution_id}'::uuid)"
        );
        within.push_str(&behind);
    }
    within
}

/// A condition for each status, so that the index of those that did not succeed serves each. None for any.
fn of_statuses(statuses: &[Status]) -> Vec<String> {
    let is_any = statuses.is_empty() || Status::ALL.iter().all(|status| statuses.contains(status));
    if is_any {
        return Vec::new();
    }
    let known = Status::ALL.iter().filter(|it| statuses.contains(it));
    let each = known.map(|status| match status {
        Status::Success => "e.status = 0".to_owned(),
        other => format!("e.status = {} AND e.status <> 0", other.code()),
    });
    each.collect()
}

#[derive(QueryableByName)]
struct Stretch {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    first: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

/// Returns a session's row, and the time in which its executions ended.
pub(crate) fn session_of(
    connection: &mut PgConnection,
    session: SessionId,
) -> QueryResult<Option<(i64, Range<i64>)>> {
    let question = "SELECT s.id, min(h.hour_us) AS first, max(h.hour_us) AS last FROM executor.sessions s \
                    LEFT JOIN executor.session_hours h ON h.session_id = s.id \
                    WHERE s.session_uuid = $1 GROUP BY s.id";
    let stretch: Option<Stretch> = diesel::sql_query(question)
        .bind::<diesel::sql_types::Uuid, _>(*session.as_uuid())
        .get_result(connection)
        .optional()?;
    Ok(stretch.map(|it| {
        let ends = it.first.zip(it.last);
        let ends = ends.map(|(first, last)| first..last.saturating_add(HOUR_US));
        (it.id, ends.unwrap_or(0..0))
    }))
}
