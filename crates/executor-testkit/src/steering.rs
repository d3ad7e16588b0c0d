//! Lets a test make an in-memory store misbehave, and inspect it.

use executor_core::ports::{Gap, SessionStatus};
use executor_core::{ExecutionRecord, Ledger, RegistrationId, SessionId, Timestamp};

use crate::faults::Fault;
use crate::memory::MemoryStore;

impl MemoryStore {
    /// Injects these faults into the next batches, one each, after those injected before.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.add(faults);
    }

    /// Forgets injected faults that have not happened yet.
    pub fn forget_faults(&self) {
        self.faults.forget();
    }

    /// Makes the store unreachable, until [`come_back`](Self::come_back).
    ///
    /// ```
    /// use executor_core::SessionStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store = executor_testkit::MemoryStore::new();
    /// store.go_away();
    /// assert!(!store.mark_crashed().await.unwrap_err().answered);
    /// store.come_back();
    /// assert!(store.mark_crashed().await.is_ok());
    /// # }
    /// ```
    pub fn go_away(&self) {
        self.tables().is_away = true;
    }

    /// Makes the processes of all running sessions count as dead: the next [`mark_crashed`] finds them crashed.
    ///
    /// [`mark_crashed`]: executor_core::SessionStore::mark_crashed
    pub fn lose_processes(&self) {
        for row in self.tables().sessions.values_mut() {
            row.was_opened = false;
        }
    }

    /// Loses the rows of all sessions, as if somebody had put an older database in its place.
    pub fn forget_sessions(&self) {
        self.tables().sessions.clear();
    }

    /// Reopens the store after it was closed, so that the next run of a program finds everything that the previous
    /// one left.
    pub fn reopen(&self) {
        self.tables().is_closed = false;
    }

    /// Makes the store answer again, even if it was closed, as if it were reopened. Everything is still there.
    pub fn come_back(&self) {
        let mut tables = self.tables();
        tables.is_away = false;
        tables.is_closed = false;
    }

    /// Returns the time at which a registration was marked as removed; `None` if it is live or missing.
    pub fn removed_at(&self, id: RegistrationId) -> Option<Timestamp> {
        self.tables().registration(id)?.removed_at
    }

    /// Returns all stored records, in the order in which they were stored.
    pub fn records(&self) -> Vec<ExecutionRecord> {
        let tables = self.tables();
        tables.rows.iter().map(|row| row.record.clone()).collect()
    }

    /// Returns the session of each stored record, in the same order.
    pub fn sessions_of_records(&self) -> Vec<SessionId> {
        self.tables().rows.iter().map(|row| row.session).collect()
    }

    /// Returns how many batches were tried, including those with faults.
    pub fn batches(&self) -> usize {
        self.tables().batches
    }

    /// Returns `true` if it was asked to report rows as stored only once they survive a power failure.
    pub fn syncs_commits(&self) -> bool {
        self.tables().syncs_commits
    }

    /// Returns the session's status and its latest ledger.
    pub fn session(&self, id: SessionId) -> Option<(SessionStatus, Ledger)> {
        let tables = self.tables();
        let row = &tables.sessions.get(&id)?.stored;
        Some((row.status, row.ledger))
    }

    /// Returns every recorded episode of loss.
    pub fn gaps(&self) -> Vec<Gap> {
        self.tables().gaps.clone()
    }
}
