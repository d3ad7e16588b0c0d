//! Counts, durations and last errors of listeners and jobs over any window, from the rollups for whole
//! hours and days, and from the rows for the rest.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Stats, Summary, Window};
use executor_core::{Entity, SessionId, Status, Timestamp};

use crate::rollup::tally::{DAY_US, HOUR_US, Tally};
use crate::sqlite::read::question::{Asked, Deadline, QueryError};
use crate::sqlite::write::rollup::{
    Entities, EntityKey, LINES, Line, SLICE, damaged, rolled_up_to,
};
use crate::sqlite::write::row_ids::displacement;
use crate::sqlite::write::rows::kind_of;
use crate::sqlite::write::session;

/// The percentiles are within [`RELATIVE_ERROR`](crate::RELATIVE_ERROR) of the true ones.
fn stats_of(tally: &Tally) -> Stats {
    let ran = tally.sketch.total();
    let micros = |us: u64| Duration::from_micros(us);
    // A bucket's middle may exceed the longest duration seen.
    let longest = tally.max_us.unsigned_abs();
    let percentile = |per_mille| micros(tally.sketch.per_mille(per_mille).min(longest));
    Stats {
        by_status: tally.by_status.map(i64::unsigned_abs),
        average: micros(tally.sum_us.unsigned_abs().checked_div(ran).unwrap_or(0)),
        p50: percentile(500),
        p95: percentile(950),
        p99: percentile(990),
        max: micros(tally.max_us.unsigned_abs()),
        last_error: tally.last_error.as_ref().map(|(_, text)| text.clone()),
    }
}

type Tallies = BTreeMap<EntityKey, Tally>;

/// A summary per listener and job.
pub(crate) fn summaries(
    asked: &mut Asked<'_>,
    window: &Window,
) -> Result<Vec<Summary>, QueryError> {
    let tallies = tallies(asked, window)?;
    tallies
        .iter()
        .map(|(key, tally)| summary_of(key, tally))
        .collect()
}

/// Returns the statistics of all executions together.
pub(crate) fn overall(asked: &mut Asked<'_>, window: &Window) -> Result<Stats, QueryError> {
    let mut all = Tally::default();
    for tally in tallies(asked, window)?.into_values() {
        for (count, more) in all.by_status.iter_mut().zip(tally.by_status) {
            *count += more;
        }
        all.sum_us = all.sum_us.saturating_add(tally.sum_us);
        all.max_us = all.max_us.max(tally.max_us);
        all.sketch.merge(&tally.sketch);
        if let Some((at, text)) = tally.last_error {
            all.note_error(at, || text);
        }
    }
    Ok(stats_of(&all))
}

fn summary_of(key: &EntityKey, tally: &Tally) -> Result<Summary, QueryError> {
    // The key is all that identifies it here.
    let unknown = |what, value: i64| QueryError::unknown("rollup_entities", 0, what, &value);
    Ok(Summary {
        entity: Entity {
            kind: kind_of(key.kind).ok_or_else(|| unknown("kind", key.kind))?,
            app_key: key.app_key.clone(),
            instance: u32::try_from(key.instance).map_err(|_| unknown("instance", key.instance))?,
            name: key.name.clone(),
            topic: key.topic.clone(),
        },
        stats: stats_of(tally),
    })
}

/// Counts in one transaction, so that a concurrent rollup makes no row count twice or not at all.
fn tallies(asked: &mut Asked<'_>, window: &Window) -> Result<Tallies, QueryError> {
    let deadline = asked.deadline;
    asked.connection.transaction(|connection| {
        let mut counting = Counting {
            connection,
            deadline,
            entities: Entities::default(),
            tallies: Tallies::new(),
        };
        match window.session {
            Some(session) => counting.session(session, window)?,
            None => counting.window(window)?,
        }
        Ok(counting.tallies)
    })
}

struct Counting<'c> {
    connection: &'c mut SqliteConnection,
    deadline: Deadline,
    entities: Entities,
    tallies: Tallies,
}

impl Counting<'_> {
    fn session(&mut self, session: SessionId, window: &Window) -> Result<(), QueryError> {
        let Some((row, ids)) = session::ids_of(self.connection, session)? else {
            return Ok(());
        };
        let ends = ends_of(window);
        self.rows(&ids, &ends, Some(row))
    }

    fn window(&mut self, window: &Window) -> Result<(), QueryError> {
        let ends = ends_of(window);
        // An empty window has no edges to widen to an hour.
        if ends.is_empty() {
            return Ok(());
        }
        let up_to = rolled_up_to(self.connection)?;
        let window = self.widened(ends, up_to)?;
        let parts = parts_of(&window);
        for (span, starts) in &parts.whole {
            self.rollups(*span, starts)?;
        }
        let displacement = displacement(self.connection)?;
        for edge in &parts.edges {
            let last = edge.end.saturating_add(displacement).min(up_to);
            self.rows(&(edge.start..last), edge, None)?;
        }
        self.rows(&(up_to.saturating_add(1)..i64::MAX), &window, None)
    }

    /// Widens the window to the whole hour where rows of that hour are gone.
    fn widened(&mut self, window: Range<i64>, up_to: i64) -> QueryResult<Range<i64>> {
        let Range { mut start, mut end } = window;
        let (first, last) = (hour_of(start), hour_of(end));
        if start != i64::MIN && start != first.start && self.is_thinned(&first, up_to)? {
            start = first.start;
        }
        if end != i64::MAX && end != last.start && self.is_thinned(&last, up_to)? {
            end = last.end;
        }
        Ok(start..end)
    }

    /// Returns whether an hour has fewer rows left than were rolled up.
    fn is_thinned(&mut self, hour: &Range<i64>, up_to: i64) -> QueryResult<bool> {
        let displacement = displacement(self.connection)?;
        let last = hour.end.saturating_add(displacement).min(up_to);
        let gone: Count = diesel::sql_query(MISSING)
            .bind::<BigInt, _>(HOUR_US)
            .bind::<BigInt, _>(hour.start)
            .bind::<BigInt, _>(hour.end)
            .bind::<BigInt, _>(last)
            .get_result(self.connection)?;
        Ok(gone.count > 0)
    }

    /// Counts the rows with ids in one range whose executions ended in another; both ends belong to
    /// the range of ids.
    fn rows(
        &mut self,
        ids: &Range<i64>,
        ends: &Range<i64>,
        session: Option<i64>,
    ) -> Result<(), QueryError> {
        let mut from = ids.start;
        loop {
            self.deadline.check()?;
            let lines: Vec<Line> = diesel::sql_query(format!(
                "{LINES} WHERE e.id BETWEEN ?1 AND ?2 AND e.start_us + e.duration_us >= ?3 \
                 AND e.start_us + e.duration_us < ?4 AND (?5 IS NULL OR e.session_id = ?5) \
                 ORDER BY e.id LIMIT {SLICE}"
            ))
            .bind::<BigInt, _>(from)
            .bind::<BigInt, _>(ids.end)
            .bind::<BigInt, _>(ends.start)
            .bind::<BigInt, _>(ends.end)
            .bind::<Nullable<BigInt>, _>(session)
            .load(self.connection)?;
            for line in &lines {
                let run = line.run().ok_or_else(|| unknown(line))?;
                let key = self.entities.key_of(self.connection, line)?;
                self.tallies.entry(key).or_default().add(&run);
            }
            match lines.last() {
                Some(last) if lines.len() as i64 == SLICE && last.id < i64::MAX => {
                    from = last.id + 1;
                }
                _ => return Ok(()),
            }
        }
    }

    fn rollups(&mut self, span: i64, starts: &Range<i64>) -> QueryResult<()> {
        let rollups: Vec<Rollup> = diesel::sql_query(ROLLUPS)
            .bind::<BigInt, _>(span)
            .bind::<BigInt, _>(starts.start)
            .bind::<BigInt, _>(starts.end)
            .load(self.connection)?;
        for rollup in rollups {
            rollup.add_to(&mut self.tallies)?;
        }
        Ok(())
    }
}

/// The hour of a time.
fn hour_of(at: i64) -> Range<i64> {
    let start = at.div_euclid(HOUR_US).saturating_mul(HOUR_US);
    start..start.saturating_add(HOUR_US)
}

/// Counts the rows of an hour that were rolled up and are gone.
const MISSING: &str = "
SELECT (SELECT coalesce(sum(success + error + timed_out + cancelled + panicked + skipped + interrupted), 0)
        FROM rollups WHERE span_us = ?1 AND start_us = ?2)
     - (SELECT count(*) FROM executions WHERE id BETWEEN ?2 AND ?4
        AND start_us + duration_us >= ?2 AND start_us + duration_us < ?3) AS count";

#[derive(QueryableByName)]
struct Count {
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

fn ends_of(window: &Window) -> Range<i64> {
    let micros = |at: Timestamp| at.as_micros();
    window.from.map_or(i64::MIN, micros)..window.to.map_or(i64::MAX, micros)
}

/// A window as whole days, whole hours, and what is left at its edges.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    /// The length of a span, and the range of starts.
    whole: Vec<(i64, Range<i64>)>,
    edges: Vec<Range<i64>>,
}

fn parts_of(window: &Range<i64>) -> Parts {
    // An open end has no edge.
    let up = |at: i64, span: i64| match at {
        i64::MIN => i64::MIN,
        at => at.saturating_add(span - 1).div_euclid(span) * span,
    };
    let down = |at: i64, span: i64| match at {
        i64::MAX => i64::MAX,
        at => at.div_euclid(span) * span,
    };
    let (hours, days) = (
        up(window.start, HOUR_US)..down(window.end, HOUR_US),
        up(window.start, DAY_US)..down(window.end, DAY_US),
    );
    let mut parts = Parts::default();
    if hours.is_empty() {
        parts.edges = vec![window.clone()];
        return parts;
    }
    if days.is_empty() {
        parts.whole = vec![(HOUR_US, hours.clone())];
    } else {
        parts.whole = vec![
            (HOUR_US, hours.start..days.start),
            (DAY_US, days.clone()),
            (HOUR_US, days.end..hours.end),
        ];
    }
    parts.edges = vec![window.start..hours.start, hours.end..window.end];
    parts.whole.retain(|(_, range)| !range.is_empty());
    parts.edges.retain(|range| !range.is_empty());
    parts
}

const ROLLUPS: &str = "
SELECT n.kind, n.app_key, n.instance, n.name, n.topic, r.success, r.error, r.timed_out, r.cancelled,
       r.panicked, r.skipped, r.interrupted, r.sum_us, r.max_us, r.sketch, r.last_error_us, r.last_error
FROM rollups r JOIN rollup_entities n ON n.id = r.entity_id
WHERE r.span_us = ?1 AND r.start_us >= ?2 AND r.start_us < ?3";

#[derive(QueryableByName)]
struct Rollup {
    #[diesel(embed)]
    key: EntityKey,
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
    fn add_to(self, tallies: &mut Tallies) -> QueryResult<()> {
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
            *count += more;
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

#[cfg(test)]
mod tests;
