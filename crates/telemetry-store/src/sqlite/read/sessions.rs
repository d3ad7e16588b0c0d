//! Sessions and episodes of loss, page by page, the latest first.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{
    Gap, PageOf, PageRequest, Session, SessionCounts, SessionStatus, StoredSession, Window,
};
use executor_core::{DropReason, Durability, Entity, Failure, Ledger, SessionId, Timestamp};

use crate::codes::{REBUILT, kind_of};
use crate::sqlite::read::paging::{Cursor, page_of};
use crate::sqlite::read::question::{Asked, QueryError, known_count};
use crate::sqlite::read::stored::{listed, uuid_of};
use crate::sqlite::schema::{gap_entities, gaps, session_hours, sessions};

pub(crate) fn sessions(
    asked: &mut Asked<'_>,
    page: &PageRequest,
) -> Result<PageOf<StoredSession>, QueryError> {
    let rows: Vec<SessionRow> = sessions::table
        .filter(sessions::id.lt(Cursor::latest_first(page)?))
        .order(sessions::id.desc())
        .limit(i64::from(page.limit))
        .select(SessionRow::as_select())
        .load(asked.connection)?;
    let stored = stored_of(asked.connection, &rows)?;
    let item = |row: SessionRow| row.into_session(&stored);
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

/// The time for which a session from before the counting may have gone on after its last heartbeat.
const SLACK_US: i64 = 3_600_000_000;

/// Returns the sessions that lived in a window, may have lived in it, or have rows in one of its hours, such as those
/// of `with_rows`; the oldest first.
pub(crate) fn alive_in(
    connection: &mut SqliteConnection,
    window: &Range<i64>,
    with_rows: Vec<i64>,
) -> Result<Vec<StoredSession>, QueryError> {
    let has_hours = session_hours::table
        .filter(session_hours::session_id.eq(sessions::id))
        .filter(session_hours::hour_us.ge(window.start))
        .filter(session_hours::hour_us.lt(window.end));
    let last_sign = sessions::heartbeat_us.ge(window.start);
    let older = sessions::is_counted.eq(0);
    let older = older.and(sessions::heartbeat_us.ge(window.start.saturating_sub(SLACK_US)));
    // Nobody knows how long an unfinished one has lived after its last heartbeat.
    let until_then = last_sign.or(older).or(sessions::ledger_state.is_null());
    let lived = sessions::started_us.lt(window.end).and(until_then);
    let rows: Vec<SessionRow> = sessions::table
        .filter(
            lived
                .or(exists(has_hours))
                .or(sessions::id.eq_any(with_rows)),
        )
        .order(sessions::id)
        .select(SessionRow::as_select())
        .load(connection)?;
    let stored = stored_of(connection, &rows)?;
    rows.into_iter()
        .map(|row| row.into_session(&stored))
        .collect()
}

/// Adds up what was stored for each of these sessions.
fn stored_of(
    connection: &mut SqliteConnection,
    rows: &[SessionRow],
) -> QueryResult<HashMap<i64, i64>> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let sums: Vec<Stored> = diesel::sql_query(format!(
        "SELECT session_id AS session, sum(stored) AS stored FROM session_hours \
         WHERE session_id IN ({}) GROUP BY session_id",
        listed(&ids)
    ))
    .load(connection)?;
    Ok(sums
        .into_iter()
        .map(|sum| (sum.session, sum.stored))
        .collect())
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    session: i64,
    #[diesel(sql_type = BigInt)]
    stored: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = sessions)]
struct SessionRow {
    id: i64,
    session_uuid: Vec<u8>,
    host: String,
    pid: i64,
    started_us: i64,
    heartbeat_us: i64,
    stopped_us: Option<i64>,
    status: String,
    error_type: Option<String>,
    error_message: Option<String>,
    error_report: Option<String>,
    offered: i64,
    recovered: i64,
    stored: i64,
    waiting: i64,
    spooled: i64,
    filtered: i64,
    dropped_overflow: i64,
    dropped_exhausted: i64,
    dropped_constraint: i64,
    dropped_unstorable: i64,
    dropped_damaged: i64,
    dropped_shutdown: i64,
    durability: Option<String>,
    program: Option<String>,
    version: Option<String>,
    config_hash: Option<String>,
    is_counted: i64,
    pruned: i64,
    taken_over: i64,
    ledger_state: Option<String>,
}

impl SessionRow {
    /// `stored` has the number of rows that were stored for each session.
    fn into_session(self, stored: &HashMap<i64, i64>) -> Result<StoredSession, QueryError> {
        const STATUSES: [SessionStatus; 4] = [
            SessionStatus::Running,
            SessionStatus::Success,
            SessionStatus::Failure,
            SessionStatus::Crashed,
        ];
        let unknown = |what, value: String| QueryError::unknown("sessions", self.id, what, &value);
        let status = STATUSES.into_iter().find(|it| it.as_str() == self.status);
        let durability = self.durability.as_deref().map(|word| {
            let known = Durability::ALL.into_iter().find(|it| it.as_str() == word);
            known.ok_or_else(|| unknown("durability", word.to_owned()))
        });
        let ledger = Ledger {
            durability: durability.transpose()?,
            is_rebuilt: self.ledger_state.as_deref() == Some(REBUILT),
            ..self.ledger()?
        };
        let stored = stored.get(&self.id).copied().unwrap_or(0);
        let counts = SessionCounts {
            is_counted: self.is_counted != 0,
            pruned: self.count("pruned", self.pruned)?,
            taken_over: self.count("taken_over", self.taken_over)?,
            is_final: self.ledger_state.is_some(),
            stored: self.count("stored", stored)?,
        };
        Ok(StoredSession {
            session: Session {
                id: SessionId::from_uuid(uuid_of(
                    &self.session_uuid,
                    "a session's uuid is malformed",
                )?),
                host: self.host,
                pid: u32::try_from(self.pid).map_err(|_| unknown("pid", self.pid.to_string()))?,
                started_at: Timestamp::from_micros(self.started_us),
                program: self.program,
                version: self.version,
                config_hash: self.config_hash,
            },
            heartbeat_at: Timestamp::from_micros(self.heartbeat_us),
            stopped_at: self.stopped_us.map(Timestamp::from_micros),
            status: status.ok_or_else(|| unknown("status", self.status.clone()))?,
            failure: self.error_type.map(|error_type| Failure {
                error_type,
                message: self.error_message.unwrap_or_default(),
                report: self.error_report,
            }),
            ledger,
            counts,
        })
    }

    fn ledger(&self) -> Result<Ledger, QueryError> {
        let mut ledger = Ledger {
            offered: self.count("offered", self.offered)?,
            recovered: self.count("recovered", self.recovered)?,
            stored: self.count("stored", self.stored)?,
            waiting: self.count("waiting", self.waiting)?,
            spooled: self.count("spooled", self.spooled)?,
            filtered: self.count("filtered", self.filtered)?,
            ..Ledger::default()
        };
        for (reason, count) in [
            (DropReason::Overflow, self.dropped_overflow),
            (DropReason::Exhausted, self.dropped_exhausted),
            (DropReason::Constraint, self.dropped_constraint),
            (DropReason::Unstorable, self.dropped_unstorable),
            (DropReason::Damaged, self.dropped_damaged),
            (DropReason::Shutdown, self.dropped_shutdown),
        ] {
            ledger.add_dropped(reason, self.count(reason.as_str(), count)?);
        }
        Ok(ledger)
    }

    fn count(&self, what: &'static str, count: i64) -> Result<u64, QueryError> {
        known_count("sessions", self.id, what, count)
    }
}

pub(crate) fn gaps(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<Gap>, QueryError> {
    asked.transaction(|asked| gaps_in(asked, window, page))
}

/// Does the same inside the caller's transaction.
pub(crate) fn gaps_in(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<Gap>, QueryError> {
    let mut question = gaps::table
        .inner_join(sessions::table)
        .filter(gaps::id.lt(Cursor::latest_first(page)?))
        .order(gaps::id.desc())
        .limit(i64::from(page.limit))
        .select((GapRow::as_select(), sessions::session_uuid))
        .into_boxed();
    if let Some(id) = window.session {
        question = question.filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().to_vec()));
    }
    if let Some(from) = window.from {
        question = question.filter(gaps::last_us.ge(from.as_micros()));
    }
    if let Some(to) = window.to {
        question = question.filter(gaps::first_us.lt(to.as_micros()));
    }
    let rows: Vec<(GapRow, Vec<u8>)> = question.load(asked.connection)?;
    page_of(
        rows,
        page,
        asked.left_out,
        |(row, _)| row.id,
        |(row, session)| row.into_gap(asked.connection, &session),
    )
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gaps)]
struct GapRow {
    id: i64,
    reason: String,
    count: i64,
    first_us: i64,
    last_us: i64,
}

impl GapRow {
    fn into_gap(
        self,
        connection: &mut SqliteConnection,
        session: &[u8],
    ) -> Result<Gap, QueryError> {
        let mut reasons = DropReason::ALL.into_iter();
        let reason = reasons.find(|reason| reason.as_str() == self.reason);
        let entities: Vec<EntityRow> = gap_entities::table
            .filter(gap_entities::gap_id.eq(self.id))
            .select(EntityRow::as_select())
            .load(connection)?;
        Ok(Gap {
            session: SessionId::from_uuid(uuid_of(session, "a session's uuid is malformed")?),
            reason: reason
                .ok_or_else(|| QueryError::unknown("gaps", self.id, "reason", &self.reason))?,
            count: known_count("gaps", self.id, "count", self.count)?,
            first_at: Timestamp::from_micros(self.first_us),
            last_at: Timestamp::from_micros(self.last_us),
            entities: entities
                .into_iter()
                .map(EntityRow::into_entity)
                .collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gap_entities)]
struct EntityRow {
    gap_id: i64,
    kind: i64,
    app_key: String,
    instance: i64,
    name: String,
    topic: String,
    count: i64,
}

impl EntityRow {
    fn into_entity(self) -> Result<(Arc<Entity>, u64), QueryError> {
        let unknown =
            |what, value: i64| QueryError::unknown("gap_entities", self.gap_id, what, &value);
        let instance =
            u32::try_from(self.instance).map_err(|_| unknown("instance", self.instance))?;
        let entity = Entity {
            kind: kind_of(self.kind).ok_or_else(|| unknown("kind", self.kind))?,
            app_key: self.app_key,
            instance,
            name: self.name,
            topic: self.topic,
        };
        let count = known_count("gap_entities", self.gap_id, "count", self.count)?;
        Ok((Arc::new(entity), count))
    }
}
