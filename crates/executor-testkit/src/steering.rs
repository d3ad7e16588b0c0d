//! What a test does with a store in memory: have it misbehave, and look into it.

use executor_core::ports::{Gap, SessionStatus};
use executor_core::{ExecutionRecord, Ledger, RegistrationId, SessionId, Timestamp};

use crate::faults::Fault;
use crate::memory::MemoryStore;

impl MemoryStore {
    /// Has the next batches meet these faults, one each, after those that were given before.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.add(faults);
    }

    /// What was injected and not met yet is forgotten.
    pub fn forget_faults(&self) {
        self.faults.forget();
    }

    /// From now on no store answers anything, until [`come_back`](Self::come_back).
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

    /// Opens it again after it was closed: the next life of a program finds what the one before has left.
    pub fn reopen(&self) {
        self.tables().is_closed = false;
    }

    /// The store answers again, also if it was closed: as if it were opened anew. Everything is there.
    pub fn come_back(&self) {
        let mut tables = self.tables();
        tables.is_away = false;
        tables.is_closed = false;
    }

    /// When a registration was marked as removed; `None` if it lives or is not there.
    pub fn removed_at(&self, id: RegistrationId) -> Option<Timestamp> {
        self.tables().registration(id)?.removed_at
    }

    /// Every stored record, in the order in which they were stored.
    pub fn records(&self) -> Vec<ExecutionRecord> {
        let tables = self.tables();
        tables.rows.iter().map(|row| row.record.clone()).collect()
    }

    /// The sessions under which they were stored, in the same order.
    pub fn sessions_of_records(&self) -> Vec<SessionId> {
        self.tables().rows.iter().map(|row| row.session).collect()
    }

    /// How many batches were tried, those with faults included.
    pub fn batches(&self) -> usize {
        self.tables().batches
    }

    /// Whether it was asked to say that something is stored only when that survives the loss of power.
    pub fn syncs_commits(&self) -> bool {
        self.tables().syncs_commits
    }

    /// The session's status and the ledger it was last seen with.
    pub fn session(&self, id: SessionId) -> Option<(SessionStatus, Ledger)> {
        let tables = self.tables();
        let row = &tables.sessions.get(&id)?.stored;
        Some((row.status, row.ledger))
    }

    /// Every episode of loss that was recorded.
    pub fn gaps(&self) -> Vec<Gap> {
        self.tables().gaps.clone()
    }
}
