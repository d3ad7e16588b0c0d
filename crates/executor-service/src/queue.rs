//! Where offered records lie until they are settled: in memory, or in the spool. The drain cannot tell
//! which of the two it has.

use std::collections::VecDeque;

use executor_core::ExecutionRecord;
use record_spool::Position;

use crate::codec;
use crate::spooling::Spooling;

/// Where records lie in the queue. In memory: nowhere, what was taken is gone from it.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<Position>);

/// The queue. Its owner keeps its counts, and the bound of the one in memory.
pub(crate) enum Queue {
    Memory(Batches),
    Spool { unread: usize },
}

/// Records in the batches in which they will be taken: taking moves none of them, so whoever offers one
/// never waits for that.
pub(crate) struct Batches {
    /// Of `batch_max` records each, the oldest first.
    full: VecDeque<Vec<ExecutionRecord>>,
    /// The newest ones.
    last: Vec<ExecutionRecord>,
    batch_max: usize,
}

/// What was taken at once.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) records: Vec<ExecutionRecord>,
    pub(crate) slots: Slots,
}

impl Default for Queue {
    fn default() -> Self {
        Self::Spool { unread: 0 }
    }
}

impl Queue {
    /// An empty one in memory.
    pub(crate) const fn in_memory(batch_max: usize) -> Self {
        Self::Memory(Batches {
            full: VecDeque::new(),
            last: Vec::new(),
            batch_max,
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(batches) => batches.full.len() * batches.batch_max + batches.last.len(),
            Self::Spool { unread, .. } => *unread,
        }
    }

    /// Takes the oldest batch that was put in memory. Empty if there is none.
    pub(crate) fn take(&mut self) -> Vec<ExecutionRecord> {
        match self {
            Self::Memory(batches) => {
                let oldest = batches.full.pop_front();
                oldest.unwrap_or_else(|| batches.take_last())
            }
            Self::Spool { .. } => Vec::new(),
        }
    }
}

impl Batches {
    /// The next one will be about as long: it need not grow step by step, moving what it has.
    fn take_last(&mut self) -> Vec<ExecutionRecord> {
        let next = Vec::with_capacity(self.last.len());
        std::mem::replace(&mut self.last, next)
    }

    /// Inlined: a record is too large to be moved more often than it must.
    #[inline]
    pub(crate) fn push(&mut self, record: ExecutionRecord) {
        if self.last.len() == self.batch_max {
            let next = Vec::with_capacity(self.batch_max);
            self.full.push_back(std::mem::replace(&mut self.last, next));
        }
        self.last.push(record);
    }
}

impl Taken {
    /// Takes up to `max` records out of the spool. Returns how many could not be read.
    pub(crate) fn read(&mut self, spooling: &Spooling, max: usize) -> usize {
        let mut unreadable = Vec::new();
        for (position, payload) in spooling.read(max) {
            match codec::read_record(&payload) {
                Ok(record) => {
                    self.records.push(record);
                    self.slots.0.push(position);
                }
                Err(error) => {
                    tracing::error!(%error, "REGRESSION: a spooled record cannot be read");
                    unreadable.push(position);
                }
            }
        }
        spooling.settle(&unreadable);
        unreadable.len()
    }
}

impl Slots {
    pub(crate) fn settle(&self, spooling: &Spooling) {
        spooling.settle(&self.0);
    }
}
