//! The rows and rollups that summaries and series count. The transaction that stores rows rolls them up.

use std::collections::HashMap;
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use executor_core::ports::Order;
use executor_core::{RegistrationId, SessionId, Status};
use uuid::Uuid;

use crate::codes::{code_of, kind_of, table_of};
use crate::periods::HOUR_US;
use crate::postgres::key::Key;
use crate::postgres::read::asked::Asked;
use crate::postgres::read::places::session_of;
use crate::read::question::{Deadline, QueryError};
use crate::read::rows::rollup::RollupRow;
use crate::read::summary::counting::{Add, Counted, Of};
use crate::rollup::entity::EntityKey;
use crate::rollup::tally::Run;

/// The number of rows that one statement reads.
const SLICE: i64 = 20_000;

pub(crate) struct Rows<'a, 'c> {
    asked: &'a mut Asked<'c>,
    entities: HashMap<i64, EntityKey>,
}

impl<'a, 'c> Rows<'a, 'c> {
    pub(crate) fn of(asked: &'a mut Asked<'c>) -> (Self, Deadline) {
        let deadline = asked.deadline;
        let entities = HashMap::new();
        (Self { asked, entities }, deadline)
    }
}

/// What one row adds.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = BigInt)]
    ended_us: i64,
    #[diesel(sql_type = SqlUuid)]
    execution_id: Uuid,
    #[diesel(sql_type = BigInt)]
    entity_id: i64,
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = BigInt)]
    status: i64,
    #[diesel(sql_type = BigInt)]
    duration_us: i64,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
}

impl Line {
    fn run(&self) -> Result<Run<'_>, QueryError> {
        let unknown = |what, value| QueryError::unknown("executions", self.ended_us, what, &value);
        let status = Status::from_code(self.status);
        let status = status.ok_or_else(|| unknown("status", self.status))?;
        kind_of(self.kind).ok_or_else(|| unknown("kind", self.kind))?;
        Ok(Run {
            status,
            ended_us: self.ended_us,
            duration_us: self.duration_us,
            error: self.last_error.as_deref(),
        })
    }

    const fn key(&self) -> Key {
        Key {
            ended_us: self.ended_us,
            execution_id: self.execution_id,
        }
    }
}

/// The row of an entity, with its number.
#[derive(QueryableByName)]
struct EntityRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(embed)]
    key: EntityKey,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Counted for Rows<'_, '_> {
    fn entity_of(&mut self, id: RegistrationId) -> Result<Option<EntityKey>, QueryError> {
        let table = table_of(id.kind);
        let question = format!(
            "SELECT n.kind::bigint AS kind, n.app_key, n.instance, n.name, n.topic FROM executor.{table} r \
             JOIN executor.entities n ON n.id = r.id WHERE r.id = $1 AND n.kind = {}",
            code_of(id.kind)
        );
        let key = diesel::sql_query(question).bind::<BigInt, _>(id.row.get());
        Ok(key.get_result(self.asked.connection).optional()?)
    }

    fn rolled_up(
        &mut self,
        of: &Of,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        let whose = match of {
            Of::Entity(id, _) => format!("AND e.entity_id = {}", id.row.get()),
            Of::App(_) | Of::All => String::new(),
        };
        self.rows(&whose, ends, add)
    }

    fn not_rolled_up(
        &mut self,
        _of: &Of,
        _ends: &Range<i64>,
        _add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        Ok(())
    }

    fn of_session(
        &mut self,
        session: SessionId,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        let Some((row, of_it)) = session_of(self.asked.connection, session)? else {
            return Ok(());
        };
        let ends = ends.start.max(of_it.start)..ends.end.min(of_it.end);
        self.rows(&format!("AND e.session_id = {row}"), &ends, add)
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
            Of::Entity(id, _) => (None, Some(id.row.get())),
        };
        let rollups = diesel::sql_query(ROLLUPS)
            .bind::<BigInt, _>(span)
            .bind::<BigInt, _>(starts.start)
            .bind::<BigInt, _>(starts.end)
            .bind::<Nullable<Text>, _>(app_key)
            .bind::<Nullable<BigInt>, _>(entity);
        Ok(rollups.load(self.asked.connection)?)
    }

    fn is_thinned(&mut self, hour: &Range<i64>) -> Result<bool, QueryError> {
        let question = "SELECT ((SELECT coalesce(sum(success + error + timed_out + cancelled + panicked + skipped \
                          + interrupted), 0) FROM executor.rollups WHERE span_us = $1 AND start_us = $2) \
                        - (SELECT count(*) FROM executor.executions WHERE ended_us >= $2 AND ended_us < $3))::bigint \
                        AS count";
        let gone: Count = diesel::sql_query(question)
            .bind::<BigInt, _>(HOUR_US)
            .bind::<BigInt, _>(hour.start)
            .bind::<BigInt, _>(hour.end)
            .get_result(self.asked.connection)?;
        Ok(gone.count > 0)
    }

    fn is_pruned(&mut self, window: &Range<i64>) -> Result<bool, QueryError> {
        let question = "SELECT count(*) AS count FROM executor.prunes \
                        WHERE rule NOT LIKE 'lines!_%' ESCAPE '!' AND last_us >= $1 AND first_us < $2";
        let pruned: Count = diesel::sql_query(question)
            .bind::<BigInt, _>(window.start)
            .bind::<BigInt, _>(window.end)
            .get_result(self.asked.connection)?;
        Ok(pruned.count > 0)
    }
}

impl Rows<'_, '_> {
    fn rows(
        &mut self,
        whose: &str,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        for span in self.asked.days.spans(ends, Order::OldestFirst) {
            self.rows_of(whose, &span, add)?;
        }
        Ok(())
    }

    fn rows_of(
        &mut self,
        whose: &str,
        span: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError> {
        let question = format!(
            "SELECT e.ended_us, e.execution_id, e.entity_id, e.kind::bigint AS kind, e.status::bigint AS status, \
             e.duration_us, CASE WHEN e.status NOT IN (0, 5) THEN e.error_type || ': ' || e.error_message END AS last_error \
             FROM executor.executions e WHERE e.ended_us >= $1 AND e.ended_us < $2 \
             AND (e.ended_us, e.execution_id) > ($3, $4) {whose} ORDER BY e.ended_us, e.execution_id LIMIT {SLICE}"
        );
        let mut after = Key::FIRST;
        loop {
            self.asked.deadline.check()?;
            let lines: Vec<Line> = diesel::sql_query(&question)
                .bind::<BigInt, _>(span.start.max(after.ended_us))
                .bind::<BigInt, _>(span.end)
                .bind::<BigInt, _>(after.ended_us)
                .bind::<SqlUuid, _>(after.execution_id)
                .load(self.asked.connection)?;
            self.know(&lines)?;
            for line in &lines {
                let key = self.entities.get(&line.entity_id).cloned();
                let key = key.unwrap_or_else(|| EntityKey::nobody(line.kind));
                add(key, &line.run()?);
            }
            match lines.last() {
                Some(last) if lines.len() as i64 == SLICE => after = last.key(),
                _ => return Ok(()),
            }
        }
    }

    /// Reads what rows belong to, each once.
    fn know(&mut self, lines: &[Line]) -> QueryResult<()> {
        let unknown = lines.iter().map(|line| line.entity_id);
        let mut unknown: Vec<i64> = unknown
            .filter(|id| !self.entities.contains_key(id))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        unknown.sort_unstable();
        unknown.dedup();
        let question = "SELECT id, kind::bigint AS kind, app_key, instance, name, topic FROM executor.entities \
                        WHERE id = ANY ($1)";
        let rows: Vec<EntityRow> = diesel::sql_query(question)
            .bind::<Array<BigInt>, _>(unknown)
            .load(self.asked.connection)?;
        self.entities
            .extend(rows.into_iter().map(|row| (row.id, row.key)));
        Ok(())
    }
}

const ROLLUPS: &str = "
SELECT n.kind::bigint AS kind, n.app_key, n.instance, n.name, n.topic, r.start_us, r.success, r.error, r.timed_out,
       r.cancelled, r.panicked, r.skipped, r.interrupted, r.sum_us, r.max_us, r.sketch, r.last_error_us, r.last_error
FROM executor.rollups r JOIN executor.entities n ON n.id = r.entity_id
WHERE r.span_us = $1 AND r.start_us >= $2 AND r.start_us < $3
  AND ($4::text IS NULL OR executor.digest_of(n.app_key) = executor.digest_of($4)) AND ($5::bigint IS NULL OR n.id = $5)";
