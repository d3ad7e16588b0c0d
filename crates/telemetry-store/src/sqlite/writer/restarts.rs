//! How often a writer's thread that died is started again: a budget of starts within a time. Pure;
//! the time is its caller's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Starts within [`WITHIN`], as many as the service grants its other parts.
const MOST: usize = 3;
const WITHIN: Duration = Duration::from_secs(120);

/// The starts that still count.
#[derive(Default)]
pub(crate) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Whether the thread may be started now, which then counts. Whoever is refused asks again later, and
    /// is granted it when enough time has passed: giving up for good would cost every record.
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
