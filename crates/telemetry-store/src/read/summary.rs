//! Counts, durations and last errors of listeners and jobs over any window, from the rollups for whole
//! hours and days, and from the rows for the rest.

pub(crate) mod counting;

mod parts;

use std::time::Duration;

use executor_core::ports::{Scope, Stats, Summary, Window};
use executor_core::{Entity, Timestamp};

use self::counting::{Counted, Tallies, count};
use crate::codes::kind_of;
use crate::read::question::{Deadline, QueryError};
use crate::read::window::bounds;
use crate::rollup::entity::EntityKey;
use crate::rollup::tally::Tally;

/// The number of periods of a series.
const PERIODS_MAX: usize = 1_000;

/// The percentiles are within [`RELATIVE_ERROR`](crate::RELATIVE_ERROR) of the true ones.
fn stats_of(tally: &Tally) -> Stats {
    let ran = tally.sketch.total();
    let micros = |us: u64| Duration::from_micros(us);
    // A bucket's middle may exceed the longest duration seen.
    let longest = tally.max_us.unsigned_abs();
    let percentile = |per_mille| micros(tally.sketch.per_mille(per_mille, longest));
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

/// A summary per listener and job.
pub(crate) fn summaries(
    counted: &mut impl Counted,
    deadline: Deadline,
    window: &Window,
) -> Result<Vec<Summary>, QueryError> {
    let tallies = of_window(counted, deadline, window)?;
    tallies
        .iter()
        .map(|(key, tally)| summary_of(key, tally))
        .collect()
}

/// Returns the statistics of all executions together.
pub(crate) fn overall(
    counted: &mut impl Counted,
    deadline: Deadline,
    window: &Window,
) -> Result<Stats, QueryError> {
    Ok(together(of_window(counted, deadline, window)?))
}

/// Returns the statistics of each period between two neighbouring bounds.
pub(crate) fn series(
    counted: &mut impl Counted,
    deadline: Deadline,
    scope: &Scope,
    bounds: &[Timestamp],
) -> Result<Vec<Stats>, QueryError> {
    if !bounds.is_sorted_by(|one, next| one < next) {
        return Err(QueryError::Periods("they do not ascend"));
    }
    if bounds.len() > PERIODS_MAX + 1 {
        return Err(QueryError::Periods("there are more than 1,000"));
    }
    let bounds = bounds.iter().map(|at| at.as_micros()).collect();
    let periods = count(counted, deadline, scope, bounds)?;
    Ok(periods.into_iter().map(together).collect())
}

fn of_window(
    counted: &mut impl Counted,
    deadline: Deadline,
    window: &Window,
) -> Result<Tallies, QueryError> {
    let (_, from, to) = bounds(window);
    let scope = window.session.map_or(Scope::All, Scope::Session);
    let periods = count(counted, deadline, &scope, vec![from, to])?;
    Ok(periods.into_iter().next().unwrap_or_default())
}

fn together(tallies: Tallies) -> Stats {
    let mut all = Tally::default();
    for tally in tallies.into_values() {
        all.merge(&tally);
    }
    stats_of(&all)
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
