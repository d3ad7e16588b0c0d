//! Faults that a test injects into a store.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{Batch, Fate};
use executor_core::{DropReason, ErrorClass, StoreError};

/// A fault that happens to the next batch. Faults happen in the order in which they were injected.
///
/// ```
/// use executor_testkit::{Fault, MemoryStore};
///
/// let store = MemoryStore::new();
/// store.inject([Fault::Busy, Fault::Lost]); // the first two batches; the third is stored
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store answers that it is busy; nothing is stored.
    Busy,
    /// The store answers that its disk is full; nothing is stored.
    Full,
    /// The store answers that its disk cannot be read or written; nothing is stored.
    Io,
    /// No store answers; nothing is stored.
    Lost,
    /// No store answers, and the caller learns this only after this time; nothing is stored.
    SlowlyLost(Duration),
    /// The batch is stored, but the reply is lost.
    LostReply,
    /// The batch is stored after this time.
    Slow(Duration),
    /// Everything is stored except the record at this place in the batch, from 0, which is set aside
    /// because it breaks a rule of the tables.
    SetsAside(usize),
    /// The same, but the record is set aside because the tables cannot hold it.
    CannotStore(usize),
    /// The request is never answered.
    Hangs,
    /// The store panics.
    Panics,
    /// The store fails with this class; nothing is stored.
    Fails(ErrorClass),
}

impl Fault {
    pub(crate) fn error(self) -> Option<StoreError> {
        let (class, answered) = match self {
            Self::Busy | Self::Full | Self::Io => (ErrorClass::Transient, true),
            Self::Lost | Self::SlowlyLost(_) | Self::LostReply => (ErrorClass::Transient, false),
            Self::Fails(class) => (class, true),
            Self::Slow(_)
            | Self::SetsAside(_)
            | Self::CannotStore(_)
            | Self::Hangs
            | Self::Panics => return None,
        };
        Some(StoreError {
            class,
            answered,
            fault: executor_core::StoreFault::Other,
            operation: "storing a batch",
            source: format!("injected fault: {self:?}").into(),
        })
    }
}

/// Injected faults that have not happened yet.
#[derive(Default)]
pub(crate) struct Faults {
    next: Mutex<VecDeque<Fault>>,
}

impl Faults {
    fn next(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn forget(&self) {
        self.next().clear();
    }

    pub(crate) fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.next().extend(faults);
    }

    /// Stores a batch, or applies the next fault to it.
    pub(crate) async fn around<F>(
        &self,
        batch: Arc<Batch>,
        persist: impl FnOnce(Arc<Batch>) -> F,
    ) -> Result<Vec<Fate>, StoreError>
    where
        F: Future<Output = Result<Vec<Fate>, StoreError>>,
    {
        let fault = self.next().pop_front();
        match fault {
            Some(Fault::Hangs) => pending().await,
            Some(Fault::Panics) => panic!("injected fault: the store panics"),
            Some(Fault::Slow(time) | Fault::SlowlyLost(time)) => tokio::time::sleep(time).await,
            Some(Fault::SetsAside(place)) => {
                return persist_but(&batch, place, DropReason::Constraint, persist).await;
            }
            Some(Fault::CannotStore(place)) => {
                return persist_but(&batch, place, DropReason::Unstorable, persist).await;
            }
            // The batch is stored, but the reply is lost.
            Some(Fault::LostReply) => {
                persist(batch).await?;
                return Err(Fault::LostReply.error().expect("a lost reply is an error"));
            }
            Some(Fault::Busy | Fault::Full | Fault::Io | Fault::Lost | Fault::Fails(_)) | None => {}
        }
        match fault.and_then(Fault::error) {
            Some(error) => Err(error),
            None => persist(batch).await,
        }
    }
}

/// Stores all records except the one at this place.
async fn persist_but<F>(
    batch: &Batch,
    place: usize,
    reason: DropReason,
    persist: impl FnOnce(Arc<Batch>) -> F,
) -> Result<Vec<Fate>, StoreError>
where
    F: Future<Output = Result<Vec<Fate>, StoreError>>,
{
    let mut others = batch.clone();
    if place < others.records.len() {
        others.records.remove(place);
    }
    let mut fates = persist(Arc::new(others)).await?;
    let set_aside = Fate::SetAside {
        reason,
        detail: "injected fault".into(),
    };
    fates.insert(place.min(fates.len()), set_aside);
    Ok(fates)
}
