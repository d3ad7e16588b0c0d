//! Whether a process that the history has as running may still be alive.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::ports::{SessionStatus, StoredSession};

/// A session that gives no sign of life for this long may have ended: two heartbeats.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// Returns whether a session that has not been closed gave a sign of life within the last minute. One that did not may
/// be dead, and nobody has noticed; or its store is away. [`LiveSession`](executor_core::ports::LiveSession) knows it of
/// this machine.
///
/// ```
/// use executor_core::{Ledger, SessionId, Timestamp};
/// use executor_core::ports::{Session, SessionCounts, SessionStatus, StoredSession};
/// use executor_service::diagnosis::seems_alive;
///
/// let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
/// let stored = StoredSession {
///     session: Session::new(SessionId::new(at(0)), "attic", at(0)),
///     heartbeat_at: at(30),
///     stopped_at: None,
///     status: SessionStatus::Running,
///     failure: None,
///     ledger: Ledger::default(),
///     counts: SessionCounts::default(),
/// };
/// assert!(seems_alive(&stored, at(90)));
/// assert!(!seems_alive(&stored, at(91)));
/// ```
pub fn seems_alive(stored: &StoredSession, now: Timestamp) -> bool {
    stored.status == SessionStatus::Running && stored.heartbeat_at.saturating_add(SILENCE) >= now
}
