//! Points in time: the wall clock, in microseconds, and the monotonic clock, taken together.
//!
//! A time displays itself in UTC; code that shows it to a person in another zone must handle that.

mod display;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A wall-clock time: microseconds since 1970-01-01T00:00:00Z. Negative before that.
///
/// ```
/// use std::time::Duration;
/// use executor_core::Timestamp;
///
/// let began = Timestamp::from_micros(1_767_225_600_000_000); // 2026-01-01T00:00:00Z
/// let ended = began.saturating_add(Duration::from_millis(5));
/// assert_eq!(ended.as_micros() - began.as_micros(), 5_000);
/// assert_eq!(ended.to_string(), "2026-01-01T00:00:00.005000Z"); // RFC 3339
/// assert_eq!(format!("{ended:.0}"), "2026-01-01T00:00:00Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last representable time.
    pub const MAX: Self = Self(i64::MAX);

    /// Creates the time `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the time `duration` later, or the last representable one.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// Returns the time `duration` earlier, or the first representable one.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// Returns the time since `earlier`; zero if `earlier` is later.
    ///
    /// ```
    /// use std::time::Duration;
    /// use executor_core::Timestamp;
    ///
    /// let (begun, ended) = (Timestamp::from_micros(1_000), Timestamp::from_micros(1_200));
    /// assert_eq!(ended.saturating_duration_since(begun), Duration::from_micros(200));
    /// assert_eq!(begun.saturating_duration_since(ended), Duration::ZERO);
    /// ```
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock set before the epoch gives a negative time; nothing here can fail.
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(micros(since)),
            Err(before) => Self(-micros(before.duration())),
        }
    }
}

/// Returns the whole microseconds of a duration, at most `i64::MAX` (292,000 years).
///
/// ```
/// use std::time::Duration;
/// use executor_core::time::micros;
///
/// assert_eq!(micros(Duration::from_millis(2)), 2_000);
/// assert_eq!(micros(Duration::MAX), i64::MAX);
/// ```
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Both clocks, read at the same moment.
///
/// ```
/// use executor_core::{Clock, SystemClock};
///
/// let begun = SystemClock.now();
/// let took = SystemClock.monotonic() - begun.monotonic;
/// println!("began at {} us, took {took:?}", begun.wall.as_micros());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The wall-clock time.
    pub wall: Timestamp,
    /// The monotonic time. Durations are differences of these, so none is negative.
    pub monotonic: Instant,
}

/// Tells the time. Read it only on the runtime's side, never in threads of a store: tokio's paused time
/// is not visible there.
///
/// The monotonic half must be tokio's, because code waits for its times with tokio's timers.
///
/// ```
/// use executor_core::time::{Clock, Moment, Timestamp};
/// use tokio::time::Instant;
///
/// /// Its wall clock stands still.
/// struct Midnight;
/// impl Clock for Midnight {
///     fn now(&self) -> Moment {
///         Moment { wall: Timestamp::from_micros(0), monotonic: Instant::now() }
///     }
/// }
/// assert_eq!(Midnight.now().wall.as_micros(), 0);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Reads both clocks. Never blocks.
    fn now(&self) -> Moment;

    /// Reads the monotonic clock alone, for the end of a duration.
    fn monotonic(&self) -> Instant {
        self.now().monotonic
    }

    /// Returns `true` if the machine's own clock may replace the monotonic half for an execution that
    /// never waited. Default: `false`.
    fn is_machine_time(&self) -> bool {
        false
    }

    /// Returns how long the machine has been running, including the time in which it slept; `None` if that is not
    /// known. If the wall clock deviates from this clock, somebody has set it. Default: `None`.
    fn since_boot(&self) -> Option<Duration> {
        None
    }

    /// Returns `true` if the wall clock may be set and so deviate from the monotonic one: code that waits for one of
    /// its times must check it repeatedly. Default: `true`.
    fn may_be_set(&self) -> bool {
        true
    }
}

/// Keeps tokio's paused time from running ahead of a thread that works for a test, until this is dropped:
/// the runtime is idle meanwhile, and would otherwise jump to the next timer.
///
/// It does nothing without the feature `test-util`, or on a multi-threaded runtime, where time cannot be
/// paused.
///
/// ```
/// use executor_core::time::HeldTime;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (reply, answer) = tokio::sync::oneshot::channel();
/// let held = HeldTime::new();
/// std::thread::spawn(move || reply.send(42));
/// assert_eq!(answer.await, Ok(42));
/// drop(held);
/// # }
/// ```
#[derive(Debug)]
pub struct HeldTime {
    /// Tokio holds its time while a blocking task runs. That task ends when this sender is dropped.
    #[cfg(feature = "test-util")]
    _work: Option<std::sync::mpsc::Sender<()>>,
}

impl HeldTime {
    /// Holds the time of the runtime on which this is called, if it can be paused.
    #[must_use = "time goes on when it is dropped"]
    pub fn new() -> Self {
        Self {
            #[cfg(feature = "test-util")]
            _work: hold(),
        }
    }
}

impl Default for HeldTime {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "test-util")]
fn hold() -> Option<std::sync::mpsc::Sender<()>> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let handle = Handle::try_current().ok()?;
    if handle.runtime_flavor() != RuntimeFlavor::CurrentThread {
        return None;
    }
    let (work, is_over) = std::sync::mpsc::channel();
    // The error of `recv` ends the task.
    drop(handle.spawn_blocking(move || is_over.recv()));
    Some(work)
}

/// The machine's clocks. The monotonic one is tokio's and stands still while tokio's is paused; the wall clock
/// continues. Tests that need both paused use the test kit's clock.
///
/// ```
/// use executor_core::{Clock, SystemClock};
///
/// assert!(SystemClock.now().wall.as_micros() > 0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            wall: SystemTime::now().into(),
            monotonic: Instant::now(),
        }
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    fn is_machine_time(&self) -> bool {
        true
    }

    #[cfg(target_os = "linux")]
    fn since_boot(&self) -> Option<Duration> {
        use rustix::time::{ClockId, clock_gettime};
        Duration::try_from(clock_gettime(ClockId::Boottime)).ok()
    }
}

#[cfg(test)]
mod tests;
