//! How the in-memory store is told to misbehave.

use std::time::Duration;

use executor_core::{ErrorClass, StoreError};

/// What happens to the next batch. Faults are used up in the order in which they were given.
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
    /// No store answers; nothing is stored.
    Lost,
    /// No store answers, and that takes this time to learn; nothing is stored.
    SlowlyLost(Duration),
    /// The batch is stored, but nobody is told.
    LostReply,
    /// The batch is stored after this time.
    Slow(Duration),
    /// Everything is stored but the record at this place of the batch, from 0, which is set aside as
    /// breaking a rule of the tables.
    SetsAside(usize),
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
            Self::Busy => (ErrorClass::Transient, true),
            Self::Lost | Self::SlowlyLost(_) | Self::LostReply => (ErrorClass::Transient, false),
            Self::Fails(class) => (class, true),
            Self::Slow(_) | Self::SetsAside(_) | Self::Hangs | Self::Panics => return None,
        };
        Some(StoreError {
            class,
            answered,
            operation: "storing a batch",
            source: format!("injected fault: {self:?}").into(),
        })
    }
}
