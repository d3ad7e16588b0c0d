//! What a connection knows of the days that have partitions, and of the rollups that it has written.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::rollup::tally::Tally;

/// The number of batches for which a day that could not be made is left alone.
const PATIENCE: u32 = 256;

const LOOK_AHEAD: Duration = Duration::from_secs(600);

/// The days that have partitions, as far as this connection knows, and those that are left alone, for how long.
#[derive(Default)]
pub(crate) struct Days {
    made: HashSet<i64>,
    left_alone: HashMap<i64, u32>,
    looked_ahead: Option<Instant>,
}

impl Days {
    /// Returns whether a day should be made now.
    pub(crate) fn lacks(&mut self, day: i64) -> bool {
        if self.made.contains(&day) {
            return false;
        }
        match self.left_alone.get_mut(&day) {
            Some(0) | None => true,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// Returns whether it is time to look for the days to come: every ten minutes.
    pub(crate) fn looks_ahead(&mut self) -> bool {
        let is_time = self
            .looked_ahead
            .is_none_or(|at| at.elapsed() >= LOOK_AHEAD);
        if is_time {
            self.looked_ahead = Some(Instant::now());
        }
        is_time
    }

    /// A day that was dropped is made again if somebody comes with a row of it.
    pub(crate) fn forget(&mut self, day: i64) {
        self.made.remove(&day);
    }

    pub(crate) fn is_made(&mut self, day: i64) {
        self.made.insert(day);
    }

    pub(crate) fn leave_alone(&mut self, day: i64) {
        self.left_alone.insert(day, PATIENCE);
    }
}

/// Length and beginning of a span, and the entity.
pub(crate) type Place = (i64, i64, i64);

/// The rollups to remember: most are of hours that have passed.
const ROLLUPS_MAX: usize = 10_000;

/// The totals of sessions as this connection has last written them, and how often they were written. Whoever writes them
/// says which version he has seen, so memory that is wrong is noticed, and costs only time.
#[derive(Default)]
pub(crate) struct Rollups(HashMap<(i64, Place), (i64, Tally)>);

impl Rollups {
    /// Adds to what is known, and returns the version and the total.
    pub(crate) fn add(&mut self, session: i64, place: Place, more: &Tally) -> (i64, &Tally) {
        let (version, total) = self.0.entry((session, place)).or_default();
        *version += 1;
        total.merge(more);
        (*version, total)
    }

    /// Notes what stands.
    pub(crate) fn stands(&mut self, session: i64, place: Place, version: i64, total: Tally) {
        self.0.insert((session, place), (version, total));
    }

    /// Forgets all of it: nobody knows whether what was written last is committed.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// Forgets one of them: it will be read again.
    pub(crate) fn forget_one(&mut self, session: i64, place: Place) {
        self.0.remove(&(session, place));
    }

    /// Keeps its size within bounds: what has passed is seldom written again.
    pub(crate) fn bound(&mut self) {
        if self.0.len() <= ROLLUPS_MAX {
            return;
        }
        let latest = self.0.keys().map(|(_, (_, start, _))| *start).max();
        let latest = latest.unwrap_or(i64::MAX);
        let goes_on = |(span, start, _): Place| start.saturating_add(span) > latest;
        self.0.retain(|(_, place), _| goes_on(*place));
        if self.0.len() > ROLLUPS_MAX {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests;
