//! Decides which lines are too many.

use std::collections::HashMap;

use crate::identity::RegistrationId;
use crate::ports::maintenance::LinesBound;
use crate::time::Timestamp;

/// Adds up what executions said, from the latest backwards, until it is too much.
///
/// ```
/// use executor_core::ports::{LinesBound, LinesBudget};
/// use executor_core::{RegistrationId, RowId, Timestamp};
///
/// let [talkative, quiet] = [1, 2].map(|row| Some(RegistrationId::listener(RowId::new(row))));
/// let at = Timestamp::from_micros;
/// let mut budget = LinesBudget::new(100, 40);
/// budget.add(at(4), talkative, 30);
/// budget.add(at(3), quiet, 30);
/// budget.add(at(2), talkative, 30); // 60 bytes of one
/// budget.add(at(1), quiet, 30); // 60 bytes of the other; 120 of all, but 30 of them go anyway
/// let until = |of, micros| LinesBound { of, until: at(micros) };
/// assert_eq!(budget.bounds(), [until(talkative, 2), until(quiet, 1)]);
/// ```
#[derive(Debug)]
pub struct LinesBudget {
    all: u64,
    of_one: u64,
    /// The bytes that stay, so far.
    sum: u64,
    /// The bytes of each, those that go included.
    sums: HashMap<RegistrationId, u64>,
    bounds: Vec<LinesBound>,
}

impl LinesBudget {
    /// Begins with nothing: `all` bytes may stay, and `of_one` bytes of each listener or job.
    pub fn new(all: u64, of_one: u64) -> Self {
        Self {
            all,
            of_one,
            sum: 0,
            sums: HashMap::new(),
            bounds: Vec::new(),
        }
    }

    /// Adds what the next earlier execution said. Returns whether it is worth going on: once all is too much, what is
    /// older goes, whosever it is.
    pub fn add(&mut self, at: Timestamp, of: Option<RegistrationId>, bytes: u64) -> bool {
        if of.is_some_and(|of| self.is_too_much_of(of, at, bytes)) {
            return true;
        }
        self.sum += bytes;
        let is_within = self.sum <= self.all;
        if !is_within {
            self.bounds.push(LinesBound {
                of: None,
                until: at,
            });
        }
        is_within
    }

    fn is_too_much_of(&mut self, of: RegistrationId, at: Timestamp, bytes: u64) -> bool {
        let sum = self.sums.entry(of).or_default();
        let was_within = *sum <= self.of_one;
        *sum += bytes;
        let is_within = *sum <= self.of_one;
        if was_within && !is_within {
            self.bounds.push(LinesBound {
                of: Some(of),
                until: at,
            });
        }
        !is_within
    }

    /// Returns what is too much.
    pub fn bounds(self) -> Vec<LinesBound> {
        self.bounds
    }
}

#[cfg(test)]
mod tests;
