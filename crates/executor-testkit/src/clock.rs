//! A clock whose wall time moves with tokio's, so that pausing one pauses both.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::time::{Clock, Moment};
use tokio::time::Instant;

/// A clock that starts at 2026-01-01T00:00:00Z and advances with tokio's time, paused or not.
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
    start: Timestamp,
}

/// 2026-01-01T00:00:00Z.
const ORIGIN: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

impl TestClock {
    /// Creates a clock that starts now. On a runtime with paused time it stands still until time is advanced.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            start: ORIGIN,
        }
    }

    /// Moves the clock forward by `time`, to test a later run of a program.
    ///
    /// ```
    /// use std::time::Duration;
    /// use executor_core::Clock;
    /// use executor_testkit::TestClock;
    ///
    /// let day = Duration::from_secs(86_400);
    /// let (one, other) = (TestClock::new(), TestClock::new().later_by(day));
    /// assert!(one.now().wall < other.now().wall);
    /// ```
    #[must_use]
    pub fn later_by(mut self, time: Duration) -> Self {
        self.start = self.start.saturating_add(time);
        self
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
            wall: self
                .start
                .saturating_add(monotonic.saturating_duration_since(self.origin)),
            monotonic,
        }
    }

    fn may_be_set(&self) -> bool {
        false
    }
}
