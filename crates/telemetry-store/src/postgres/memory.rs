//! What a connection knows of the days that have partitions.

use std::collections::{HashMap, HashSet};

/// The number of batches for which a day that could not be made is left alone.
const PATIENCE: u32 = 256;

/// The days that have partitions, as far as this connection knows, and those that are left alone, for how long.
#[derive(Default)]
pub(crate) struct Days {
    made: HashSet<i64>,
    left_alone: HashMap<i64, u32>,
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

    pub(crate) fn is_made(&mut self, day: i64) {
        self.made.insert(day);
    }

    pub(crate) fn leave_alone(&mut self, day: i64) {
        self.left_alone.insert(day, PATIENCE);
    }
}
