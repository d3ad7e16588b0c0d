//! Limits how often a dead writer thread is restarted: a budget of starts within a period. Pure; the
//! caller supplies the time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Starts within [`WITHIN`], as many as the service grants its other parts.
const MOST: usize = 3;
const WITHIN: Duration = Duration::from_secs(120);

/// The starts that still count.
#[derive(Default)]
pub(crate) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Returns whether the thread may be started now, and if so counts the start. A refused caller asks again
    /// and is granted a start once enough time has passed: giving up for good would cost every record.
    pub(crate) fn grant(&mut self, now: Instant) -> bool {
        self.0
            .retain(|start| now.saturating_duration_since(*start) < WITHIN);
        let granted = self.0.len() < MOST;
        if granted {
            self.0.push_back(now);
        }
        granted
    }
}

#[cfg(test)]
mod tests;
