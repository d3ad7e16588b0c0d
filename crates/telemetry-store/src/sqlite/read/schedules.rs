//! Missed runs and pauses, page by page, the latest first.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{
    InForce, MissedReason, MissedRuns, PageOf, PageRequest, Pause, SchedulePlan, Window,
};
use executor_core::{Entity, EntityKind, RegistrationId, SessionId, Timestamp};

use crate::sqlite::read::paging::{Cursor, page_of};
use crate::sqlite::read::question::{Asked, QueryError, known_count};
use crate::sqlite::read::stored::uuid_of;
use crate::sqlite::schema::schedules;

/// The window's session, and its beginning and end in microseconds.
pub(crate) fn bounds(window: &Window) -> (Option<Vec<u8>>, i64, i64) {
    let session = window.session.map(|id| id.as_uuid().as_bytes().to_vec());
    let from = window.from.map_or(i64::MIN, Timestamp::as_micros);
    let to = window.to.map_or(i64::MAX, Timestamp::as_micros);
    (session, from, to)
}

pub(crate) fn missed_runs(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<MissedRuns>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT m.id, m.app_key, m.instance, m.name, m.reason, m.count, m.first_due_us, \
         m.last_due_us, s.session_uuid FROM missed_runs m \
         LEFT JOIN sessions s ON s.id = m.session_id \
         WHERE m.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) \
         AND m.last_due_us >= ?3 AND m.first_due_us < ?4 ORDER BY m.id DESC LIMIT ?5",
    );
    let rows: Vec<MissedRow> = question
        .bind::<BigInt, _>(Cursor::latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let item = MissedRow::into_missed;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

#[derive(QueryableByName)]
struct MissedRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    app_key: String,
    #[diesel(sql_type = BigInt)]
    instance: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    first_due_us: i64,
    #[diesel(sql_type = BigInt)]
    last_due_us: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    session_uuid: Option<Vec<u8>>,
}

impl MissedRow {
    fn into_missed(self) -> Result<MissedRuns, QueryError> {
        let unknown = |what, value: &dyn ToString| {
            QueryError::unknown("missed_runs", self.id, what, &value.to_string())
        };
        let reason = MissedReason::parse(&self.reason);
        let reason = reason.ok_or_else(|| unknown("reason", &self.reason))?;
        let count = known_count("missed_runs", self.id, "count", self.count)?;
        let instance = u32::try_from(self.instance);
        let instance = instance.map_err(|_| unknown("instance", &self.instance))?;
        Ok(MissedRuns {
            session: session_of(self.session_uuid.as_deref())?,
            entity: Arc::new(Entity::job(self.app_key, instance, self.name)),
            reason,
            count,
            first_due: Timestamp::from_micros(self.first_due_us),
            last_due: Timestamp::from_micros(self.last_due_us),
        })
    }
}

fn session_of(uuid: Option<&[u8]>) -> Result<Option<SessionId>, QueryError> {
    let uuid = uuid.map(|uuid| uuid_of(uuid, "a session's uuid is malformed"));
    Ok(uuid.transpose()?.map(SessionId::from_uuid))
}

pub(crate) fn pauses(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<Pause>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT p.id, p.app_key, p.instance, p.name, p.from_us, p.until_us, s.session_uuid \
         FROM pauses p JOIN sessions s ON s.id = p.session_id \
         WHERE p.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) AND p.from_us < ?4 \
         AND coalesce(p.until_us, s.stopped_us, 9223372036854775807) >= ?3 \
         ORDER BY p.id DESC LIMIT ?5",
    );
    let rows: Vec<PauseRow> = question
        .bind::<BigInt, _>(Cursor::latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let item = PauseRow::into_pause;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

#[derive(QueryableByName)]
struct PauseRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    app_key: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    instance: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    name: Option<String>,
    #[diesel(sql_type = BigInt)]
    from_us: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    until_us: Option<i64>,
    #[diesel(sql_type = Binary)]
    session_uuid: Vec<u8>,
}

impl PauseRow {
    fn into_pause(self) -> Result<Pause, QueryError> {
        let entity = match (self.app_key, self.instance, self.name) {
            (Some(app_key), Some(instance), Some(name)) => {
                let number = u32::try_from(instance);
                let number = number
                    .map_err(|_| QueryError::unknown("pauses", self.id, "instance", &instance))?;
                Some(Arc::new(Entity::job(app_key, number, name)))
            }
            _ => None,
        };
        let session = uuid_of(&self.session_uuid, "a session's uuid is malformed")?;
        Ok(Pause {
            session: SessionId::from_uuid(session),
            entity,
            from: Timestamp::from_micros(self.from_us),
            until: self.until_us.map(Timestamp::from_micros),
        })
    }
}

/// The number of schedules of one job that are read.
const SCHEDULES_MAX: i64 = 1_000;

/// Returns the schedules that a job had, the latest first.
pub(crate) fn of_job(
    connection: &mut SqliteConnection,
    job: RegistrationId,
) -> Result<Vec<InForce>, QueryError> {
    if job.kind != EntityKind::Job {
        return Ok(Vec::new());
    }
    let rows: Vec<InForceRow> = schedules::table
        .filter(schedules::job_id.eq(job.row.get()))
        .order(schedules::from_us.desc())
        .limit(SCHEDULES_MAX)
        .select(InForceRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(InForceRow::into_in_force).collect())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = schedules)]
struct InForceRow {
    from_us: i64,
    until_us: Option<i64>,
    text: String,
    zone: Option<String>,
    jitter_us: i64,
    missed: String,
    persistent: i64,
}

impl InForceRow {
    fn into_in_force(self) -> InForce {
        InForce {
            plan: SchedulePlan {
                text: self.text,
                time_zone: self.zone,
                jitter: Duration::from_micros(u64::try_from(self.jitter_us).unwrap_or_default()),
                missed: self.missed,
                is_persistent: self.persistent != 0,
            },
            from: Timestamp::from_micros(self.from_us),
            until: self.until_us.map(Timestamp::from_micros),
        }
    }
}
