//! The port for keeping sessions: the runs of recording processes.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::Failure;
use crate::identity::SessionId;
use crate::ledger::Ledger;
use crate::ports::error::StoreFuture;
use crate::time::Timestamp;

/// One run of a recording process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id, created by the process itself.
    pub id: SessionId,
    /// The machine's name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// The time at which it began.
    pub started_at: Timestamp,
    /// The name of its program, if that is known.
    pub program: Option<String>,
    /// Its program's version, if that is known.
    pub version: Option<String>,
    /// A hash of its configuration, which reveals a change.
    pub config_hash: Option<String>,
}

impl Session {
    /// Creates a session of this process. The name of its program is not known yet.
    pub fn new(id: SessionId, host: impl Into<String>, started_at: Timestamp) -> Self {
        Self {
            id,
            host: host.into(),
            pid: std::process::id(),
            started_at,
            program: None,
            version: None,
            config_hash: None,
        }
    }
}

/// The status of a session: running, or the way it ended.
///
/// ```
/// assert_eq!(executor_core::ports::SessionStatus::Crashed.as_str(), "crashed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionStatus {
    /// It is still running.
    Running,
    /// It was shut down properly.
    Success,
    /// It ended because a service died.
    Failure,
    /// Its process died without closing it.
    Crashed,
}

impl SessionStatus {
    /// Returns its name in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Crashed => "crashed",
        }
    }
}

/// The end of a session.
///
/// ```
/// use executor_core::{Ledger, Timestamp, ports::{SessionEnd, SessionStatus}};
///
/// let (at, status) = (Timestamp::from_micros(0), SessionStatus::Success);
/// let end = SessionEnd { at, status, failure: None, ledger: Ledger::default() };
/// # assert!(end.ledger.is_balanced());
/// ```
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// The time at which it ended.
    pub at: Timestamp,
    /// Its final status.
    pub status: SessionStatus,
    /// The reason, if it failed.
    pub failure: Option<Failure>,
    /// Its final ledger.
    pub ledger: Ledger,
}

/// Keeps sessions.
pub trait SessionStore: Send + Sync + 'static {
    /// Writes the session's row and keeps proof that its process is alive. Idempotent; the caller
    /// retries.
    ///
    /// # Errors
    ///
    /// The row may be missing; the next batch writes it.
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()>;

    /// Records that the session's process is alive. Idempotent; nobody retries, because the next heartbeat follows.
    ///
    /// # Errors
    ///
    /// The previous heartbeat remains.
    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()>;

    /// Returns the longest time between two heartbeats, if the store takes a session for silent sooner than others do.
    /// Default: none.
    fn heartbeat_at_least_every(&self) -> Option<Duration> {
        None
    }

    /// Closes the session's row. Idempotent; the caller retries until its own deadline.
    ///
    /// # Errors
    ///
    /// The session is still open and will be found `crashed`.
    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()>;

    /// Replaces the ledger of a session that has ended, after its remaining records were taken over.
    /// A missing session is ignored. Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()>;

    /// Returns how many of a session's records are known to be stored, without those that it took over from others:
    /// its number of rows, or the count in its row's ledger if that is larger, because rows are pruned. 0 for a
    /// missing session. Changes nothing.
    ///
    /// # Errors
    ///
    /// The records could not be counted.
    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64>;

    /// Marks open sessions as `crashed` if their process is gone, with their last heartbeat as the end, and returns
    /// them. Sessions of live processes are left alone. Idempotent.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>>;
}
