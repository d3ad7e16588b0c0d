//! What a connection knows of the days that have partitions.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

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
