//! What others ask of the place in which records wait. Only in this folder is it known whether that is memory or a
//! spool; the drain gets its answers in its own words.

use executor_core::ports::SessionEnd;
use executor_core::{DropReason, ErrorClass, StoreError, StoreFault, Timestamp};
use record_spool::{Pin, Usage};

use super::Intake;

/// Word of the session's end, left in the spool for as long as the store does not know of it.
pub(crate) struct EndNote(Option<Pin>);

impl Intake {
    /// Whether records survive the process.
    pub(crate) const fn outlives_process(&self) -> bool {
        self.spool.is_some()
    }

    /// Whether a batch may be taken while so many records wait for another try. In a spool they are safe where they
    /// are: so they wait there for what an earlier process left, and for room in memory.
    pub(crate) fn may_take(&self, deferred: usize, is_recovering: bool) -> bool {
        // One batch is always taken, however large it is: else nothing ever would be.
        let is_crowded =
            deferred > 0 && deferred + self.limits.batch_max > self.limits.retry_max_records;
        !self.outlives_process() || !(is_recovering || is_crowded)
    }

    /// How many records may wait for another try. With a spool, [`may_take`](Self::may_take) bounds them.
    pub(crate) const fn retry_limit(&self) -> usize {
        if self.outlives_process() {
            usize::MAX
        } else {
            self.limits.retry_max_records
        }
    }

    /// What becomes of a batch that the store did not take, of which it refused so many retries: `None` if it waits
    /// for another try. While stopping, the deadline is the only bound on tries; with a spool there is none.
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

    /// A store whose disk is full gets the space of the spool's spares, until it answers again.
    pub(crate) fn mind_space(&self, failed: Option<&StoreError>) {
        let Some(spool) = &self.spool else { return };
        match failed.map(|error| error.fault) {
            None => spool.keep_spares(),
            Some(StoreFault::NoSpace) => spool.release_spares(),
            Some(StoreFault::Other | StoreFault::Damaged) => {}
        }
    }

    /// Leaves a sign of life where it survives the process. Returns whether records lie in files that somebody has
    /// deleted; `None` without files.
    pub(crate) fn sign_of_life(&self, at: Timestamp) -> Option<bool> {
        let spool = self.spool.as_ref()?;
        spool.beat(at);
        Some(spool.deleted() > 0)
    }

    /// How full the spool is, if there is one.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.spool.as_ref().map(|spool| spool.usage())
    }

    /// Waits until everything that was offered before survives the machine. `false` if it is not known to.
    pub(crate) async fn synced(&self) -> bool {
        match &self.spool {
            Some(spool) => spool.synced().await.is_ok(),
            None => false,
        }
    }

    /// Leaves word of the session's end before the store is asked: it may be away, and this process may die meanwhile.
    pub(crate) fn note_end(&self, end: &SessionEnd) -> EndNote {
        EndNote(self.spool.as_ref().and_then(|spool| spool.end(end)))
    }

    /// Lets go of the files, after [`close`](Self::close). What the store `knows` needs no word any more.
    pub(crate) fn leave(&self, note: EndNote, knows: bool) {
        let Some(spool) = &self.spool else { return };
        if knows {
            spool.ended(note.0);
        }
        spool.close();
    }
}
