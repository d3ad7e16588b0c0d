//! A clock whose wall time moves with tokio's, so that pausing one pauses both.

use executor_core::Timestamp;
use executor_core::time::{Clock, Moment};
use tokio::time::Instant;

/// Starts at 2026-01-01T00:00:00Z and advances as tokio's time does, paused or not.
///
/// ```
/// use std::time::Duration;
/// use executor_core::Clock;
/// use executor_testkit::TestClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let clock = TestClock::new();
/// let begun = clock.now();
/// tokio::time::sleep(Duration::from_millis(1)).await; // at once where tokio's time is paused
/// assert!(clock.now().wall.as_micros() - begun.wall.as_micros() >= 1_000);
/// # }
/// ```
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
