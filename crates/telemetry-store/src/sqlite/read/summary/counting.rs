//! Counts the executions of some periods, separately for each listener and job.

use std::collections::BTreeMap;
use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::Scope;
use executor_core::{EntityKind, RegistrationId, SessionId, Status};

use super::parts::{hour_of, parts_of};
use crate::periods::HOUR_US;
use crate::rollup::tally::Tally;
use crate::sqlite::read::question::{Asked, Deadline, QueryError, known_count};
use crate::sqlite::write::registration::Table;
use crate::sqlite::write::rollup::{
    Entities, EntityKey, LINES, Line, SLICE, damaged, registered, rolled_up_to,
};
use crate::sqlite::write::row_ids::displacement;
use crate::sqlite::write::session;

/// The executions of a period.
pub(super) type Tallies = BTreeMap<EntityKey, Tally>;

/// Whose executions count.
enum Of {
    All,
    App(String),
    /// One listener or job.
    Entity(RegistrationId, EntityKey),
}

impl Of {
    fn is(&self, key: &EntityKey) -> bool {
        match self {
            Self::All => true,
            Self::App(app_key) => key.app_key == *app_key,
            Self::Entity(_, it) => it == key,
        }
    }

    /// Conditions on rows; together they find all that count, each once. For one listener or job an index has its
    /// rows, and those that name it themselves are few.
    fn conditions(&self) -> Vec<String> {
        let Self::Entity(id, _) = self else {
            return vec![String::new()];
        };
        let column = Table::of(id.kind).column;
        vec![
            format!("AND e.{column} = {}", id.row.get()),
            "AND e.id IN (SELECT id FROM execution_orphans WHERE id BETWEEN ?1 AND ?2)".into(),
        ]
    }
}

/// Counts in one transaction, so that a concurrent rollup makes no row count twice or not at all. The periods lie
/// between neighbouring bounds, which ascend; two bounds are one window.
pub(super) fn count(
    asked: &mut Asked<'_>,
    scope: &Scope,
    bounds: Vec<i64>,
) -> Result<Vec<Tallies>, QueryError> {
    let deadline = asked.deadline;
    asked.connection.transaction(|connection| {
        let of = match scope {
            Scope::Registration(id) => match entity_of(connection, *id)? {
                Some(key) => Of::Entity(*id, key),
                None => return Ok(vec![Tallies::new(); bounds.len().saturating_sub(1)]),
            },
            Scope::App(app_key) => Of::App(app_key.clone()),
            Scope::All | Scope::Session(_) => Of::All,
        };
        let mut counting = Counting {
            connection,
            deadline,
            entities: Entities::default(),
            of,
            periods: vec![Tallies::new(); bounds.len().saturating_sub(1)],
            bounds,
        };
        match scope {
            Scope::Session(session) => counting.session(*session)?,
            _ => counting.periods()?,
        }
        Ok(counting.periods)
    })
}

fn entity_of(
    connection: &mut SqliteConnection,
    id: RegistrationId,
) -> QueryResult<Option<EntityKey>> {
    let kind = match id.kind {
        EntityKind::Listener => 0,
        EntityKind::Job => 1,
    };
    registered(connection, kind, id.row.get())
}

struct Counting<'c> {
    connection: &'c mut SqliteConnection,
    deadline: Deadline,
    entities: Entities,
    of: Of,
    bounds: Vec<i64>,
    periods: Vec<Tallies>,
}

impl Counting<'_> {
    fn whole(&self) -> Range<i64> {
        let (first, last) = (self.bounds.first(), self.bounds.last());
        first.zip(last).map_or(0..0, |(first, last)| *first..*last)
    }

    fn session(&mut self, session: SessionId) -> Result<(), QueryError> {
        let Some((row, ids)) = session::ids_of(self.connection, session)? else {
            return Ok(());
        };
        let ends = self.whole();
        self.rows(&ids, &ends, Some(row))
    }

    fn periods(&mut self) -> Result<(), QueryError> {
        // An empty window has no edges to widen to an hour.
        if self.whole().is_empty() {
            return Ok(());
        }
        let up_to = rolled_up_to(self.connection)?;
        let displacement = displacement(self.connection)?;
        self.move_bounds(up_to, displacement)?;
        let mut edges: Vec<Range<i64>> = Vec::new();
        for place in 0..self.periods.len() {
            let parts = parts_of(&(self.bounds[place]..self.bounds[place + 1]));
            for (span, starts) in &parts.whole {
                self.rollups(place, *span, starts)?;
            }
            for edge in parts.edges {
                match edges.last_mut() {
                    // Periods within one hour touch: their rows are read once.
                    Some(last) if last.end == edge.start => last.end = edge.end,
                    _ => edges.push(edge),
                }
            }
        }
        for edge in &edges {
            let last = edge.end.saturating_add(displacement).min(up_to);
            self.rows(&(edge.start..last), edge, None)?;
        }
        let whole = self.whole();
        self.rows(&(up_to.saturating_add(1)..i64::MAX), &whole, None)
    }

    /// Moves each bound within an hour of which rows are gone to the end of that hour, and the first bound to its
    /// beginning: such an hour is counted whole, and once. If what is gone ended before the first bound, all that is
    /// asked for is there, and nothing moves.
    fn move_bounds(&mut self, up_to: i64, displacement: i64) -> QueryResult<()> {
        let Some(begin) = self.bounds.first().copied() else {
            return Ok(());
        };
        // Many bounds may lie within one hour.
        let mut looked_at: Option<(Range<i64>, bool)> = None;
        for place in 0..self.bounds.len() {
            let bound = self.bounds[place];
            let hour = hour_of(bound);
            if [i64::MIN, i64::MAX, hour.start].contains(&bound) {
                continue;
            }
            let known = looked_at.filter(|(it, _)| *it == hour);
            let is_thinned = match known {
                Some((_, is_thinned)) => is_thinned,
                None => {
                    self.is_thinned(&hour, up_to, displacement)?
                        && self.is_pruned(&(begin..hour.end))?
                }
            };
            if is_thinned {
                let is_first = place == 0;
                self.bounds[place] = if is_first { hour.start } else { hour.end };
            }
            looked_at = Some((hour, is_thinned));
        }
        Ok(())
    }

    /// Returns whether an hour has fewer rows left than were rolled up.
    fn is_thinned(
        &mut self,
        hour: &Range<i64>,
        up_to: i64,
        displacement: i64,
    ) -> QueryResult<bool> {
        let last = hour.end.saturating_add(displacement).min(up_to);
        let gone: Gone = diesel::sql_query(MISSING)
            .bind::<BigInt, _>(HOUR_US)
            .bind::<BigInt, _>(hour.start)
            .bind::<BigInt, _>(hour.end)
            .bind::<BigInt, _>(last)
            .get_result(self.connection)?;
        Ok(gone.count > 0)
    }

    /// Returns whether executions were pruned that may have ended in a window.
    fn is_pruned(&mut self, window: &Range<i64>) -> QueryResult<bool> {
        let pruned = "SELECT count(*) AS count FROM prunes \
                      WHERE rule NOT LIKE 'lines!_%' ESCAPE '!' AND last_us >= ?1 AND first_us < ?2";
        let pruned: Gone = diesel::sql_query(pruned)
            .bind::<BigInt, _>(window.start)
            .bind::<BigInt, _>(window.end)
            .get_result(self.connection)?;
        Ok(pruned.count > 0)
    }

    /// The period of a time that lies within the bounds; of periods that begin together only the last one has a
    /// length.
    fn period_of(&mut self, at: i64) -> Option<&mut Tallies> {
        let after = self.bounds.partition_point(|bound| *bound <= at);
        self.periods.get_mut(after.checked_sub(1)?)
    }

    /// Counts the rows with ids in one range whose executions ended in another; both ends belong to
    /// the range of ids.
    fn rows(
        &mut self,
        ids: &Range<i64>,
        ends: &Range<i64>,
        session: Option<i64>,
    ) -> Result<(), QueryError> {
        for whose in self.of.conditions() {
            let question = format!(
                "{LINES} WHERE e.id BETWEEN ?1 AND ?2 AND e.start_us + e.duration_us >= ?3 \
                 AND e.start_us + e.duration_us < ?4 AND (?5 IS NULL OR e.session_id = ?5) \
                 {whose} ORDER BY e.id LIMIT {SLICE}"
            );
            self.rows_of(&question, ids, ends, session)?;
        }
        Ok(())
    }

    fn rows_of(
        &mut self,
        question: &str,
        ids: &Range<i64>,
        ends: &Range<i64>,
        session: Option<i64>,
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
                let key = self.entities.key_of(self.connection, line)?;
                if !self.of.is(&key) {
                    continue;
                }
                if let Some(period) = self.period_of(line.ended_us) {
                    period.entry(key).or_default().add(&run);
                }
            }
            match lines.last() {
                Some(last) if lines.len() as i64 == SLICE && last.id < i64::MAX => {
                    from = last.id + 1;
                }
                _ => return Ok(()),
            }
        }
    }

    fn rollups(&mut self, place: usize, span: i64, starts: &Range<i64>) -> Result<(), QueryError> {
        self.deadline.check()?;
        let (app_key, entity) = match &self.of {
            Of::All => (None, None),
            Of::App(app_key) => (Some(app_key), None),
            Of::Entity(_, key) => (Some(&key.app_key), Some(key)),
        };
        let rollups: Vec<Rollup> = diesel::sql_query(ROLLUPS)
            .bind::<BigInt, _>(span)
            .bind::<BigInt, _>(starts.start)
            .bind::<BigInt, _>(starts.end)
            .bind::<Nullable<Text>, _>(app_key)
            .bind::<Nullable<Text>, _>(entity.map(|key| &key.name))
            .bind::<Nullable<BigInt>, _>(entity.map(|key| key.kind))
            .bind::<Nullable<BigInt>, _>(entity.map(|key| key.instance))
            .bind::<Nullable<Text>, _>(entity.map(|key| &key.topic))
            .load(self.connection)?;
        for rollup in rollups {
            rollup.add_to(&mut self.periods[place])?;
        }
        Ok(())
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

#[derive(QueryableByName)]
struct Rollup {
    #[diesel(embed)]
    key: EntityKey,
    #[diesel(sql_type = BigInt)]
    start_us: i64,
    #[diesel(sql_type = BigInt)]
    success: i64,
    #[diesel(sql_type = BigInt)]
    error: i64,
    #[diesel(sql_type = BigInt)]
    timed_out: i64,
    #[diesel(sql_type = BigInt)]
    cancelled: i64,
    #[diesel(sql_type = BigInt)]
    panicked: i64,
    #[diesel(sql_type = BigInt)]
    skipped: i64,
    #[diesel(sql_type = BigInt)]
    interrupted: i64,
    #[diesel(sql_type = BigInt)]
    sum_us: i64,
    #[diesel(sql_type = BigInt)]
    max_us: i64,
    #[diesel(sql_type = Binary)]
    sketch: Vec<u8>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_error_us: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
}

impl Rollup {
    fn add_to(self, tallies: &mut Tallies) -> Result<(), QueryError> {
        // In the order of the statuses' numbers.
        let by_status = [
            self.success,
            self.error,
            self.timed_out,
            self.cancelled,
            self.panicked,
            self.skipped,
            self.interrupted,
        ];
        let tally = tallies.entry(self.key).or_default();
        for (count, more) in tally.by_status.iter_mut().zip(by_status) {
            known_count("rollups", self.start_us, "count", more)?;
            *count = count.saturating_add(more);
        }
        tally.sum_us = tally.sum_us.saturating_add(self.sum_us);
        tally.max_us = tally.max_us.max(self.max_us);
        let merged = tally.sketch.merge_encoded(&self.sketch);
        merged.map_err(|_| damaged("a rollup's sketch cannot be read"))?;
        if let (Some(at), Some(text)) = (self.last_error_us, self.last_error) {
            tally.note_error(at, || text);
        }
        Ok(())
    }
}
