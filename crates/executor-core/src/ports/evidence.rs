//! What an audit looks at. It is read in one snapshot and decides nothing.

use std::fmt;
use std::sync::Arc;

use crate::identity::SessionId;
use crate::ports::{Gap, StoredSession};
use crate::time::Timestamp;

/// What a store has counted and what it has, for each hour of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The sessions that lived in the window, or have rows in one of its hours, the oldest first.
    pub sessions: Vec<StoredSession>,
    /// Their hours, in the order of sessions and times.
    pub hours: Vec<SessionHour>,
    /// What the rollups say about each hour, in order.
    pub rollups: Vec<RolledUpHour>,
    /// The episodes of loss in the window, the oldest first.
    pub gaps: Vec<Gap>,
}

/// What was counted for a session in one hour, by the ends of executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHour {
    /// The session.
    pub session: SessionId,
    /// The beginning of the hour (UTC).
    pub hour_at: Timestamp,
    /// The number of rows that were stored.
    pub stored: u64,
    /// The number of rows that were pruned.
    pub pruned: u64,
    /// The number of rows that are there.
    pub rows: u64,
}

/// What the rollups of all listeners and jobs count in one hour, with the rows that are not rolled up yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolledUpHour {
    /// The beginning of the hour (UTC).
    pub hour_at: Timestamp,
    /// The number of executions.
    pub count: u64,
}

/// Receives the progress of a long query: the rows looked at, and about how many there are.
///
/// ```
/// use executor_core::ports::Progress;
///
/// let progress = Progress::new(|looked_at, about| eprintln!("{looked_at} of about {about} rows"));
/// progress.tell(500, 2_000);
/// ```
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(u64, u64) + Send + Sync>);

impl Progress {
    /// Calls a function with the rows looked at and about how many there are.
    pub fn new(told: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    /// Ignores the progress.
    pub fn ignored() -> Self {
        Self::new(|_, _| {})
    }

    /// Reports how far the query has got.
    pub fn tell(&self, done: u64, of: u64) {
        (self.0)(done, of);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
