//! Answers questions about where records wait. Only this folder knows whether that is memory or a spool; the drain
//! sees only the answers.

use std::path::PathBuf;

use executor_core::ports::SessionEnd;
use executor_core::{DropReason, ErrorClass, StoreError, StoreFault, Timestamp};
use record_spool::{Pin, Usage};

use super::Intake;

/// A note of the session's end that stays in the spool until the store knows of the end.
pub(crate) struct EndNote(Option<Pin>);

impl Intake {
    /// Returns whether records survive the process.
    pub(crate) const fn outlives_process(&self) -> bool {
        self.spool.is_some()
    }

    /// Returns whether a batch may be taken while `deferred` records wait for a retry. Records in a spool are
    /// safe, so they stay there until recovery has finished and memory has room.
    pub(crate) fn may_take(&self, deferred: usize, is_recovering: bool) -> bool {
        // One batch may always be taken, however large: otherwise nothing ever would be.
        let is_crowded =
            deferred > 0 && deferred + self.limits.batch_max > self.limits.retry_max_records;
        !self.outlives_process() || !(is_recovering || is_crowded)
    }

    /// Returns how many records may wait for a retry. With a spool, [`may_take`](Self::may_take) bounds them.
    pub(crate) const fn retry_limit(&self) -> usize {
        if self.outlives_process() {
            usize::MAX
        } else {
            self.limits.retry_max_records
        }
    }

    /// Returns the reason to give up a batch that the store did not take after `refusals` refused retries; `None`
    /// to retry. While stopping, the deadline is the only limit on tries; with a spool there is none.
    pub(crate) fn on_failure(
        &self,
        error: &StoreError,
        refusals: u32,
        is_stopping: bool,
    ) -> Option<DropReason> {
        let survives = self.outlives_process();
        match error.class {
            ErrorClass::Transient if is_stopping || !error.answered || survives => None,
            ErrorClass::Transient => {
                (refusals >= self.limits.retry_max_attempts).then_some(DropReason::Exhausted)
            }
            ErrorClass::Closed => (!survives).then_some(DropReason::Shutdown),
            ErrorClass::Dangling | ErrorClass::Constraint => Some(DropReason::Constraint),
            ErrorClass::Unstorable => Some(DropReason::Unstorable),
        }
    }

    /// Releases the spool's spare segments while the store reports a full disk, and keeps them again once it
    /// answers.
    pub(crate) fn mind_space(&self, failed: Option<&StoreError>) {
        let Some(spool) = &self.spool else { return };
        match failed.map(|error| error.fault) {
            None => spool.keep_spares(),
            Some(StoreFault::NoSpace) => spool.release_spares(),
            Some(StoreFault::Other | StoreFault::Damaged) => {}
        }
    }

    /// Writes a heartbeat to the spool. Returns whether any of its records lie in deleted files; `None` without a
    /// spool.
    pub(crate) fn sign_of_life(&self, at: Timestamp) -> Option<bool> {
        let spool = self.spool.as_ref()?;
        spool.beat(at);
        Some(spool.deleted() > 0)
    }

    /// Returns the usage of the spool, if there is one.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.spool.as_ref().map(|spool| spool.usage())
    }

    /// Waits until all records offered so far survive a crash of the machine. Returns `false` if that is
    /// uncertain.
    pub(crate) async fn synced(&self) -> bool {
        match &self.spool {
            Some(spool) => spool.synced().await.is_ok(),
            None => false,
        }
    }

    /// Notes the session's end in the spool before the store is asked: the store may be unavailable, and this
    /// process may die meanwhile.
    pub(crate) fn note_end(&self, end: &SessionEnd) -> EndNote {
        EndNote(self.spool.as_ref().and_then(|spool| spool.end(end)))
    }

    /// Releases the files, after [`close`](Self::close). If the store `knows` of the session's end, the note is no
    /// longer needed.
    pub(crate) fn leave(&self, note: EndNote, knows: bool) {
        let Some(spool) = &self.spool else { return };
        if knows {
            spool.ended(note.0);
        }
        spool.close();
    }

    /// Returns where its files are, if it has any.
    pub(crate) fn spool_dir(&self) -> Option<PathBuf> {
        self.spool.as_ref().map(|spool| spool.dir())
    }
}
