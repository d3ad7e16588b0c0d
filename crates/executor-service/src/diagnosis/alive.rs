//! Whether a process that the history shows as running may still be alive.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::ports::{LiveSession, SessionStatus, StoredSession};

/// A session that gives no sign of life for this long may have ended: two heartbeats.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// Returns whether a session that has not been closed gave a sign of life within the last minute. One that did not may
/// be dead without anybody having noticed, or its store may be unavailable. A store on a server measures that time itself. For this machine [`LiveSession`] knows.
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
///     by_server: None,
/// };
/// assert!(seems_alive(&stored, at(90)));
/// assert!(!seems_alive(&stored, at(91)));
/// ```
pub fn seems_alive(stored: &StoredSession, now: Timestamp) -> bool {
    let is_silent = match stored.by_server {
        // The clocks of the two hosts do not matter then.
        Some(seen) => seen.ago > SILENCE,
        None => stored.heartbeat_at.saturating_add(SILENCE) < now,
    };
    stored.status == SessionStatus::Running && !is_silent
}

/// Returns whether a session's process is alive, as far as can be told: `live`, the live state of this machine, knows
/// about its own sessions; the others go by [`seems_alive`].
///
/// ```
/// use executor_core::{Ledger, SessionId, Timestamp};
/// use executor_core::ports::{LiveSession, Session, SessionCounts, SessionStatus, StoredSession};
/// use executor_service::diagnosis::is_alive;
///
/// let now = Timestamp::from_micros(1);
/// let session = Session::new(SessionId::new(now), "attic", now);
/// let died = LiveSession::new(session.clone(), false);
/// let stored = StoredSession {
///     session,
///     heartbeat_at: now,
///     stopped_at: None,
///     status: SessionStatus::Running,
///     failure: None,
///     ledger: Ledger::default(),
///     counts: SessionCounts::default(),
///     by_server: None,
/// };
/// assert!(is_alive(&stored, &[], now));
/// assert!(!is_alive(&stored, &[died], now));
/// ```
pub fn is_alive(stored: &StoredSession, live: &[LiveSession], now: Timestamp) -> bool {
    let here = live.iter().find(|it| it.session.id == stored.session.id);
    stored.status == SessionStatus::Running
        && here.map_or_else(|| seems_alive(stored, now), |it| it.is_alive)
}
