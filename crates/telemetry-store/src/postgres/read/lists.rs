//! Registrations and what belongs to them, sources and prunes: lists with the latest first.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use executor_core::ports::{
    InForce, MissedRuns, PageOf, PageRequest, Pause, RecordedAction, RegistrationFilter,
    RegistrationState, SourceCounts, StoredPrune, StoredRegistration, Window,
};
use executor_core::{EntityKind, RegistrationId};

use crate::periods::HOUR_US;
use crate::postgres::read::asked::Asked;
use crate::postgres::sql::text;
use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::action::ActionRow;
use crate::read::rows::prune::PruneRow;
use crate::read::rows::registration::RegistrationRow;
use crate::read::rows::schedule::{InForceRow, MissedRow, PauseRow};
use crate::read::rows::source::{BadLineRow, SourceRow, TopicRow};
use crate::read::window::bounds;

/// Binds where a page begins, the session, beginning and end of a window, and the length of the page.
fn of_window<'q>(
    question: &'static str,
    window: &Window,
    page: &PageRequest,
) -> Result<BoxedSqlQuery<'q, Pg, SqlQuery>, QueryError> {
    let (session, from, to) = bounds(window);
    Ok(diesel::sql_query(question)
        .into_boxed::<Pg>()
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<SqlUuid>, _>(session)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit)))
}

pub(crate) fn missed_runs(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<MissedRuns>, QueryError> {
    let question = "SELECT m.id, n.app_key, n.instance, n.name, m.reason, m.count, m.first_due_us, m.last_due_us, \
                    uuid_send(s.session_uuid) AS session_uuid FROM executor.missed_runs m \
                    JOIN executor.entities n ON n.id = m.entity_id \
                    LEFT JOIN executor.sessions s ON s.id = m.session_id \
                    WHERE m.id < $1 AND ($2 IS NULL OR s.session_uuid = $2) \
                    AND m.last_due_us >= $3 AND m.first_due_us < $4 ORDER BY m.id DESC LIMIT $5";
    let rows: Vec<MissedRow> = of_window(question, window, page)?.load(asked.connection)?;
    let item = MissedRow::into_missed;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

pub(crate) fn pauses(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<Pause>, QueryError> {
    let question = "SELECT p.id, n.app_key, n.instance, n.name, p.from_us, p.until_us, \
                    uuid_send(s.session_uuid) AS session_uuid FROM executor.pauses p \
                    JOIN executor.sessions s ON s.id = p.session_id \
                    LEFT JOIN executor.entities n ON n.id = p.entity_id \
                    WHERE p.id < $1 AND ($2 IS NULL OR s.session_uuid = $2) AND p.from_us < $4 \
                    AND coalesce(p.until_us, s.stopped_us, 9223372036854775807) >= $3 ORDER BY p.id DESC LIMIT $5";
    let rows: Vec<PauseRow> = of_window(question, window, page)?.load(asked.connection)?;
    let item = PauseRow::into_pause;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

pub(crate) fn actions(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<RecordedAction>, QueryError> {
    let question = "SELECT a.id, uuid_send(s.session_uuid) AS session_uuid, a.at_us, a.who, a.origin, a.action, \
                    a.target, a.outcome FROM executor.actions a \
                    LEFT JOIN executor.sessions s ON s.id = a.session_id \
                    WHERE a.id < $1 AND ($2 IS NULL OR s.session_uuid = $2) \
                    AND a.at_us >= $3 AND a.at_us < $4 ORDER BY a.id DESC LIMIT $5";
    let rows: Vec<ActionRow> = of_window(question, window, page)?.load(asked.connection)?;
    let item = ActionRow::into_action;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

pub(crate) fn prunes(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<StoredPrune>, QueryError> {
    let question = "SELECT p.id, p.rule, p.hour_us, p.count, p.first_us, p.last_us, \
                    uuid_send(s.session_uuid) AS session_uuid FROM executor.prunes p \
                    LEFT JOIN executor.sessions s ON s.id = p.session_id \
                    WHERE p.id < $1 AND ($2 IS NULL OR s.session_uuid = $2) \
                    AND p.last_us >= $3 AND p.first_us < $4 ORDER BY p.id DESC LIMIT $5";
    let rows: Vec<PruneRow> = of_window(question, window, page)?.load(asked.connection)?;
    let item = PruneRow::into_prune;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}

/// The number of schedules of one job that are read.
const SCHEDULES_MAX: i64 = 1_000;

/// Returns the schedules that a job had, the latest first.
pub(crate) fn schedules(
    asked: &mut Asked<'_>,
    job: RegistrationId,
) -> Result<Vec<InForce>, QueryError> {
    if job.kind != EntityKind::Job {
        return Ok(Vec::new());
    }
    let question = "SELECT from_us, until_us, text, zone, jitter_us, missed, persistent::integer::bigint AS persistent \
                    FROM executor.schedules WHERE job_id = $1 ORDER BY from_us DESC LIMIT $2";
    let rows: Vec<InForceRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(job.row.get())
        .bind::<BigInt, _>(SCHEDULES_MAX)
        .load(asked.connection)?;
    Ok(rows.into_iter().map(InForceRow::into_in_force).collect())
}

pub(crate) fn sources(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<SourceCounts>, QueryError> {
    let question = "SELECT c.id, c.name, c.lines, c.events, c.bad_lines, c.unheard, \
                    uuid_send(s.session_uuid) AS session_uuid FROM executor.sources c \
                    JOIN executor.sessions s ON s.id = c.session_id \
                    WHERE c.id < $1 AND ($2 IS NULL OR s.session_uuid = $2) AND s.started_us < $4 \
                    AND coalesce(s.stopped_us, 9223372036854775807) >= $3 ORDER BY c.id DESC LIMIT $5";
    let rows: Vec<SourceRow> = of_window(question, window, page)?.load(asked.connection)?;
    let mut read = Vec::new();
    for row in rows {
        let topics = topics(asked, row.id, window)?;
        let bad_lines = bad_lines(asked, row.id)?;
        read.push((row, topics, bad_lines));
    }
    let item = |(row, topics, bad_lines): Source| row.into_counts(topics, bad_lines);
    page_of(read, page, asked.left_out, |(row, ..)| row.id, item)
}

type Source = (SourceRow, Vec<TopicRow>, Vec<BadLineRow>);

fn topics(asked: &mut Asked<'_>, source: i64, window: &Window) -> QueryResult<Vec<TopicRow>> {
    let (_, from, to) = bounds(window);
    let question = "SELECT min(hour_us) AS first_us, max(hour_us) AS last_us, topic, sum(count)::bigint AS count \
                    FROM executor.source_topics WHERE source_id = $1 AND hour_us > $2 AND hour_us < $3 \
                    GROUP BY topic ORDER BY 4 DESC, topic";
    diesel::sql_query(question)
        .bind::<BigInt, _>(source)
        .bind::<BigInt, _>(from.saturating_sub(HOUR_US))
        .bind::<BigInt, _>(to)
        .load(asked.connection)
}

fn bad_lines(asked: &mut Asked<'_>, source: i64) -> QueryResult<Vec<BadLineRow>> {
    let question = "SELECT line, at_us, problem, text FROM executor.source_bad_lines WHERE source_id = $1 ORDER BY line";
    diesel::sql_query(question)
        .bind::<BigInt, _>(source)
        .load(asked.connection)
}

/// Returns the table of a kind, and the columns that only one of the two has.
const fn columns_of(kind: EntityKind) -> (&'static str, &'static str) {
    match kind {
        EntityKind::Listener => (
            "executor.listeners",
            "NULL::text AS handler_name, NULL::text AS trigger_type, NULL::text AS trigger_label, \
             NULL::text AS trigger_detail, NULL::text AS job_group, NULL::text AS arguments_json",
        ),
        EntityKind::Job => (
            "executor.scheduled_jobs",
            "r.handler_name, r.trigger_type, r.trigger_label, r.trigger_detail, r.job_group, r.arguments_json",
        ),
    }
}

pub(crate) fn registrations(
    asked: &mut Asked<'_>,
    filter: &RegistrationFilter,
    page: &PageRequest,
) -> Result<PageOf<StoredRegistration>, QueryError> {
    let (table, columns) = columns_of(filter.kind);
    let live = match filter.state {
        RegistrationState::Any => "",
        RegistrationState::Live => "AND r.retired_us IS NULL AND r.removed_us IS NULL",
    };
    let app = filter.app_key.as_deref().map(text);
    let question = format!(
        "SELECT r.id, n.app_key, n.instance, n.name, n.topic, r.instance_name, r.source_tier, r.timeout_us, r.description, \
         r.guard_description, r.source_location, r.registration_source, r.entity, r.overlap, r.overlap_limit, r.priority, \
         r.once::integer::bigint AS once, r.program, r.annotations, r.retired_us, r.removed_us, {columns} \
         FROM {table} r JOIN executor.entities n ON n.id = r.id WHERE r.id < $1 \
         AND ($2::text IS NULL OR executor.digest_of(n.app_key) = executor.digest_of($2)) {live} ORDER BY r.id DESC LIMIT $3"
    );
    let rows: Vec<RegistrationRow> = diesel::sql_query(question)
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<Text>, _>(app)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let item = |row: RegistrationRow| row.into_registration(filter.kind);
    page_of(rows, page, asked.left_out, |row| row.id, item)
}
