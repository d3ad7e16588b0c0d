//! A clock whose wall time moves with tokio's, so that pausing one pauses both.

use executor_core::Timestamp;
use executor_core::time::{Clock, Moment};
use tokio::time::Instant;

/// Starts at 2026-01-01T00:00:00Z and advances as tokio's time does, paused or not.
#[derive(Clone, Copy, Debug)]
pub struct TestClock {
    origin: Instant,
}

/// 2026-01-01T00:00:00Z.
const ORIGIN: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

impl TestClock {
    /// A clock that starts now. On a runtime with paused time it stands still until time is
    /// advanced.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let monotonic = Instant::now();
        Moment {
            wall: ORIGIN.saturating_add(monotonic.saturating_duration_since(self.origin)),
            monotonic,
        }
    }
}
