//! Counts the executions of some periods, separately for each listener and job.

use std::collections::BTreeMap;
use std::ops::Range;

use executor_core::ports::Scope;
use executor_core::{RegistrationId, SessionId};

use super::parts::{hour_of, join, parts_of};
use crate::read::question::{Deadline, QueryError};
use crate::read::rows::rollup::RollupRow;
use crate::rollup::entity::EntityKey;
use crate::rollup::tally::{Run, Tally};

/// The executions of a period.
pub(crate) type Tallies = BTreeMap<EntityKey, Tally>;

/// Whose executions count.
pub(crate) enum Of {
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
}

/// Receives what a row adds, and whose it is.
pub(crate) type Add<'a> = dyn FnMut(EntityKey, &Run<'_>) + 'a;

/// Rows and rollups of one snapshot, so that a concurrent rollup makes no row count twice or not at all. What is of
/// nobody who counts may be among the answers.
pub(crate) trait Counted {
    fn entity_of(&mut self, id: RegistrationId) -> Result<Option<EntityKey>, QueryError>;

    /// The rows that are rolled up whose executions ended in a time.
    fn rolled_up(
        &mut self,
        of: &Of,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError>;

    /// Those that are not rolled up yet.
    fn not_rolled_up(
        &mut self,
        of: &Of,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError>;

    /// All rows of a session.
    fn of_session(
        &mut self,
        session: SessionId,
        ends: &Range<i64>,
        add: &mut Add<'_>,
    ) -> Result<(), QueryError>;

    /// The rollups of spans that start in a time.
    fn rollups(
        &mut self,
        of: &Of,
        span: i64,
        starts: &Range<i64>,
    ) -> Result<Vec<RollupRow>, QueryError>;

    /// Whether an hour has fewer rows left than were rolled up.
    fn is_thinned(&mut self, hour: &Range<i64>) -> Result<bool, QueryError>;

    /// Whether executions were pruned that may have ended in a time.
    fn is_pruned(&mut self, window: &Range<i64>) -> Result<bool, QueryError>;
}

/// The periods lie between neighbouring bounds, which ascend; two bounds are one window.
pub(super) fn count(
    counted: &mut impl Counted,
    deadline: Deadline,
    scope: &Scope,
    bounds: Vec<i64>,
) -> Result<Vec<Tallies>, QueryError> {
    let periods = Periods::new(bounds);
    let of = match scope {
        Scope::Registration(id) => match counted.entity_of(*id)? {
            Some(key) => Of::Entity(*id, key),
            None => return Ok(periods.tallies),
        },
        Scope::App(app_key) => Of::App(app_key.clone()),
        Scope::All | Scope::Session(_) => Of::All,
    };
    let mut counting = Counting {
        counted,
        deadline,
        of,
        periods,
    };
    match scope {
        Scope::Session(session) => counting.session(*session)?,
        _ => counting.periods()?,
    }
    Ok(counting.periods.tallies)
}

/// The bounds of periods, and what was counted between them.
struct Periods {
    bounds: Vec<i64>,
    tallies: Vec<Tallies>,
}

impl Periods {
    fn new(bounds: Vec<i64>) -> Self {
        Self {
            tallies: vec![Tallies::new(); bounds.len().saturating_sub(1)],
            bounds,
        }
    }

    fn whole(&self) -> Range<i64> {
        let (first, last) = (self.bounds.first(), self.bounds.last());
        first.zip(last).map_or(0..0, |(first, last)| *first..*last)
    }

    /// The period of a time that lies within the bounds; of periods that begin together only the last one has a
    /// length.
    fn of(&mut self, at: i64) -> Option<&mut Tallies> {
        let after = self.bounds.partition_point(|bound| *bound <= at);
        self.tallies.get_mut(after.checked_sub(1)?)
    }

    fn add(&mut self, of: &Of, key: EntityKey, run: &Run<'_>) {
        if !of.is(&key) {
            return;
        }
        if let Some(period) = self.of(run.ended_us) {
            period.entry(key).or_default().add(run);
        }
    }
}

struct Counting<'c, C> {
    counted: &'c mut C,
    deadline: Deadline,
    of: Of,
    periods: Periods,
}

impl<C: Counted> Counting<'_, C> {
    fn session(&mut self, session: SessionId) -> Result<(), QueryError> {
        let ends = self.periods.whole();
        let (of, periods) = (&self.of, &mut self.periods);
        let mut add = |key: EntityKey, run: &Run<'_>| periods.add(of, key, run);
        self.counted.of_session(session, &ends, &mut add)
    }

    fn periods(&mut self) -> Result<(), QueryError> {
        // An empty window has no edges to widen to an hour.
        if self.periods.whole().is_empty() {
            return Ok(());
        }
        self.move_bounds()?;
        let (mut whole, mut edges): (Vec<_>, Vec<Range<i64>>) = Default::default();
        for bounds in self.periods.bounds.windows(2) {
            let parts = parts_of(&(bounds[0]..bounds[1]));
            for (span, starts) in parts.whole {
                join(&mut whole, span, starts);
            }
            for edge in parts.edges {
                match edges.last_mut() {
                    // Periods within one hour touch: their rows are read once.
                    Some(last) if last.end == edge.start => last.end = edge.end,
                    _ => edges.push(edge),
                }
            }
        }
        for (span, starts) in &whole {
            self.rollups(*span, starts)?;
        }
        let ends = self.periods.whole();
        let (of, periods) = (&self.of, &mut self.periods);
        let mut add = |key: EntityKey, run: &Run<'_>| periods.add(of, key, run);
        for edge in &edges {
            self.counted.rolled_up(of, edge, &mut add)?;
        }
        self.counted.not_rolled_up(of, &ends, &mut add)
    }

    /// Moves each bound within an hour of which rows are gone to the end of that hour, and the first bound to its
    /// beginning: such an hour is counted whole, and once. If what is gone ended before the first bound, all that is
    /// asked for is there, and nothing moves.
    fn move_bounds(&mut self) -> Result<(), QueryError> {
        let Some(begin) = self.periods.bounds.first().copied() else {
            return Ok(());
        };
        // Many bounds may lie within one hour.
        let mut looked_at: Option<(Range<i64>, bool)> = None;
        for (place, bound) in self.periods.bounds.iter_mut().enumerate() {
            let hour = hour_of(*bound);
            if [i64::MIN, i64::MAX, hour.start].contains(bound) {
                continue;
            }
            let known = looked_at.filter(|(it, _)| *it == hour);
            let is_thinned = match known {
                Some((_, is_thinned)) => is_thinned,
                None => {
                    self.counted.is_thinned(&hour)? && self.counted.is_pruned(&(begin..hour.end))?
                }
            };
            if is_thinned {
                let is_first = place == 0;
                *bound = if is_first { hour.start } else { hour.end };
            }
            looked_at = Some((hour, is_thinned));
        }
        Ok(())
    }

    fn rollups(&mut self, span: i64, starts: &Range<i64>) -> Result<(), QueryError> {
        self.deadline.check()?;
        for rollup in self.counted.rollups(&self.of, span, starts)? {
            if !self.of.is(&rollup.key) {
                continue;
            }
            // A whole span lies within one period.
            if let Some(period) = self.periods.of(rollup.totals.start_us) {
                rollup
                    .totals
                    .add_to(period.entry(rollup.key).or_default())?;
            }
        }
        Ok(())
    }
}
