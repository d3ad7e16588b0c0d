//! Keeping sessions: the runs of recording processes.

use std::sync::Arc;

use crate::failure::Failure;
use crate::identity::SessionId;
use crate::ledger::Ledger;
use crate::ports::error::StoreFuture;
use crate::time::Timestamp;

/// One run of a recording process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Made by the process itself.
    pub id: SessionId,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it began.
    pub started_at: Timestamp,
}

/// How a session ended, or that it has not.
///
/// ```
/// assert_eq!(executor_core::ports::SessionStatus::Crashed.as_str(), "crashed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionStatus {
    /// Goes on.
    Running,
    /// Stopped in order.
    Success,
    /// A service died and took it along.
    Failure,
    /// Its process is gone and never said goodbye.
    Crashed,
}

impl SessionStatus {
    /// The word for it in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Crashed => "crashed",
        }
    }
}

/// The last words of a session.
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
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub status: SessionStatus,
    /// Why, where it failed.
    pub failure: Option<Failure>,
    /// Where its records went.
    pub ledger: Ledger,
}

/// Keeps sessions.
pub trait SessionStore: Send + Sync + 'static {
    /// Writes the session's row and holds whatever proves that its process lives. Idempotent; the
    /// caller retries.
    ///
    /// # Errors
    ///
    /// The row may be missing; the next batch brings it along.
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()>;

    /// Says that the session's process is alive. Idempotent; nobody retries, the next one comes.
    ///
    /// # Errors
    ///
    /// The last heartbeat stands.
    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()>;

    /// Ends the session's row. Idempotent; the caller retries until its own deadline.
    ///
    /// # Errors
    ///
    /// The session is still open and will be found `crashed`.
    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()>;

    /// Replaces the ledger of a session that has ended: what it left behind was taken over since.
    /// One that is not there is left alone. Idempotent; the caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()>;

    /// How many records a session is known to have had stored, those that it took over from others left out: as many
    /// as it has rows, or as its row's ledger says if that is more, since rows are let go. 0 for one that is not
    /// there. Changes nothing.
    ///
    /// # Errors
    ///
    /// They could not be counted.
    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64>;

    /// Ends open sessions whose process is gone, with their last heartbeat as the end, and
    /// returns them. Sessions of living processes are left alone. Idempotent.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>>;
}
