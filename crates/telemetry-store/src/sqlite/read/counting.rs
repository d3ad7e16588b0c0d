//! The rows and rollups that summaries and series count.

use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::{RegistrationId, SessionId, Status};

use crate::codes::code_of;
use crate::periods::HOUR_US;
use crate::read::question::{Deadline, QueryError};
use crate::read::rows::rollup::RollupRow;
use crate::read::summary::counting::{Add, Counted, Of};
use crate::rollup::entity::EntityKey;
use crate::sqlite::read::asked::Asked;
use crate::sqlite::write::registration::Table;
use crate::sqlite::write::rollup::{Entities, LINES, Line, SLICE, registered, rolled_up_to};
use crate::sqlite::write::row_ids::displacement;
use crate::sqlite::write::session;

/// Asks a question of one snapshot.
pub(crate) fn of_one_snapshot<T>(
    asked: &mut Asked<'_>,
    question: impl FnOnce(&mut Rows<'_>, Deadline) -> Result<T, QueryError>,
) -> Result<T, QueryError> {
    let deadline = asked.deadline;
    asked.connection.transaction(|connection| {
        let (up_to, displacement) = (rolled_up_to(connection)?, displacement(connection)?);
        let mut rows = Rows {
            connection,
            deadline,
            entities: Entities::default(),
            up_to,
            displacement,
        };
        question(&mut rows, deadline)
    })
}

/// The rows up to the mark are rolled up.
pub(crate) struct Rows<'c> {
    connection: &'c mut SqliteConnection,
    deadline: Deadline,
    entities: Entities,
    up_to: i64,
    displacement: i64,
}

impl Counted for Rows<'_> {
    fn entity_of(&mut self, id: RegistrationId) -> Result<Option<EntityKey>, QueryError> {
        Ok(registered(self.connection, code_of(id.kind), id.row.get())?)
    }

    fn rolled_up(
        &mut self,
        of: &Of,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        let last = ends.end.saturating_add(self.displacement).min(self.up_to);
        self.rows(of, &(ends.start..last), ends, None, add)
    }

    fn not_rolled_up(
        &mut self,
        of: &Of,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        let beyond = self.up_to.saturating_add(1)..i64::MAX;
        self.rows(of, &beyond, ends, None, add)
    }

    fn of_session(
        &mut self,
        session: SessionId,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        let Some((row, ids)) = session::ids_of(self.connection, session)? else {
            return Ok(());
        };
        self.rows(&Of::All, &ids, ends, Some(row), add)
    }

    fn rollups(
        &mut self,
        of: &Of,
        span: i64,
        starts: &Range<i64>,
    ) -> Result<Vec<RollupRow>, QueryError> {
        let (app_key, entity) = match of {
            Of::All => (None, None),
            Of::App(app_key) => (Some(app_key), None),
            Of::Entity(_, key) => (Some(&key.app_key), Some(key)),
        };
        let rollups = diesel::sql_query(ROLLUPS)
            .bind::<BigInt, _>(span)
            .bind::<BigInt, _>(starts.start)
            .bind::<BigInt, _>(starts.end)
            .bind::<Nullable<Text>, _>(app_key)
            .bind::<Nullable<Text>, _>(entity.map(|key| &key.name))
            .bind::<Nullable<BigInt>, _>(entity.map(|key| key.kind))
            .bind::<Nullable<BigInt>, _>(entity.map(|key| key.instance))
            .bind::<Nullable<Text>, _>(entity.map(|key| &key.topic));
        Ok(rollups.load(self.connection)?)
    }

    fn is_thinned(&mut self, hour: &Range<i64>) -> Result<bool, QueryError> {
        let last = hour.end.saturating_add(self.displacement).min(self.up_to);
        let gone: Gone = diesel::sql_query(MISSING)
            .bind::<BigInt, _>(HOUR_US)
            .bind::<BigInt, _>(hour.start)
            .bind::<BigInt, _>(hour.end)
            .bind::<BigInt, _>(last)
            .get_result(self.connection)?;
        Ok(gone.count > 0)
    }

    fn is_pruned(&mut self, window: &Range<i64>) -> Result<bool, QueryError> {
        let pruned = "SELECT count(*) AS count FROM prunes \
                      WHERE rule NOT LIKE 'lines!_%' ESCAPE '!' AND last_us >= ?1 AND first_us < ?2";
        let pruned: Gone = diesel::sql_query(pruned)
            .bind::<BigInt, _>(window.start)
            .bind::<BigInt, _>(window.end)
            .get_result(self.connection)?;
        Ok(pruned.count > 0)
    }
}

/// Conditions on rows; together they find all that count, each once. For one listener or job an index has its rows, and
/// those that name it themselves are few.
fn conditions(of: &Of) -> Vec<String> {
    let Of::Entity(id, _) = of else {
        return vec![String::new()];
    };
    let column = Table::of(id.kind).column;
    vec![
        format!("AND e.{column} = {}", id.row.get()),
        "AND e.id IN (SELECT id FROM execution_orphans WHERE id BETWEEN ?1 AND ?2)".into(),
    ]
}

impl Rows<'_> {
    /// Counts the rows with ids in one range whose executions ended in another; both ends belong to the range of ids.
    fn rows(
        &mut self,
        of: &Of,
        ids: &Range<i64>,
        ends: &Range<i64>,
        session: Option<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        for whose in conditions(of) {
            let question = format!(
                "{LINES} WHERE e.id BETWEEN ?1 AND ?2 AND e.start_us + e.duration_us >= ?3 \
                 AND e.start_us + e.duration_us < ?4 AND (?5 IS NULL OR e.session_id = ?5) \
                 {whose} ORDER BY e.id LIMIT {SLICE}"
            );
            self.rows_of(&question, ids, ends, session, add)?;
        }
        Ok(())
    }

    fn rows_of(
        &mut self,
        question: &str,
        ids: &Range<i64>,
        ends: &Range<i64>,
        session: Option<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        let mut from = ids.start;
        loop {
            self.deadline.check()?;
            let lines: Vec<Line> = diesel::sql_query(question)
                .bind::<BigInt, _>(from)
                .bind::<BigInt, _>(ids.end)
                .bind::<BigInt, _>(ends.start)
                .bind::<BigInt, _>(ends.end)
                .bind::<Nullable<BigInt>, _>(session)
                .load(self.connection)?;
            for line in &lines {
                let run = line.run().ok_or_else(|| unknown(line))?;
                add(self.entities.key_of(self.connection, line)?, &run);
            }
            match lines.last() {
                Some(last) if lines.len() as i64 == SLICE && last.id < i64::MAX => {
                    from = last.id + 1;
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Counts the rows of an hour that were rolled up and are gone.
const MISSING: &str = "
SELECT (SELECT coalesce(sum(success + error + timed_out + cancelled + panicked + skipped + interrupted), 0)
        FROM rollups WHERE span_us = ?1 AND start_us = ?2)
     - (SELECT count(*) FROM executions WHERE id BETWEEN ?2 AND ?4
        AND start_us + duration_us >= ?2 AND start_us + duration_us < ?3) AS count";

#[derive(QueryableByName)]
struct Gone {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

fn unknown(line: &Line) -> QueryError {
    let (what, value) = match Status::from_code(line.status) {
        None => ("status", line.status),
        Some(_) => ("kind", line.kind),
    };
    QueryError::unknown("executions", line.id, what, &value)
}

const ROLLUPS: &str = "
SELECT n.kind, n.app_key, n.instance, n.name, n.topic, r.start_us, r.success, r.error, r.timed_out, r.cancelled,
       r.panicked, r.skipped, r.interrupted, r.sum_us, r.max_us, r.sketch, r.last_error_us, r.last_error
FROM rollups r JOIN rollup_entities n ON n.id = r.entity_id
WHERE r.span_us = ?1 AND r.start_us >= ?2 AND r.start_us < ?3
  AND (?4 IS NULL OR n.app_key = ?4)
  AND (?5 IS NULL OR (n.name = ?5 AND n.kind = ?6 AND n.instance = ?7 AND n.topic = ?8))";
