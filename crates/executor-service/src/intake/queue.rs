//! Holds offered records until they are settled, in memory or in the spool.

use std::collections::VecDeque;
use std::sync::Arc;

use executor_core::{Batch, ExecutionRecord};
use record_spool::Position;

use crate::spool::codec;
use crate::spool::session_spool::SessionSpool;

/// The positions of records in the spool. Empty for the queue in memory, which drops what was taken.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<Position>);

/// The queue. Its owner keeps its counts and enforces the bound of the one in memory.
pub(crate) enum Queue {
    Memory(Batches),
    Spool { unread: usize },
}

/// Records grouped into the batches in which they will be taken: taking moves no record, so a thread that offers
/// one never waits for that.
pub(crate) struct Batches {
    /// Full batches of `batch_max` records each, the oldest first.
    full: VecDeque<Vec<ExecutionRecord>>,
    /// The newest records.
    last: Vec<ExecutionRecord>,
    batch_max: usize,
}

/// The records of one take.
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
    /// Creates an empty queue in memory.
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

    /// Takes the oldest batch in memory. Returns an empty one if there is none.
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
    /// Takes the newest records. The next batch will be about as long, so it is allocated at once instead of
    /// growing step by step.
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
    /// Reads up to `max` records from the spool. Returns how many could not be read.
    pub(super) fn read(&mut self, spool: &SessionSpool, max: usize) -> u64 {
        let batch = spool.read(max);
        let mut malformed = Vec::new();
        for frame in batch.frames {
            match codec::read_record(&frame.payload) {
                Ok(record) => {
                    self.records.push(record);
                    self.slots.0.push(frame.position);
                }
                Err(error) => {
                    tracing::error!(%error, "REGRESSION: a spooled record cannot be read");
                    malformed.push(frame.position);
                }
            }
        }
        spool.settle(&malformed);
        batch.missing + malformed.len() as u64
    }
}

impl Slots {
    pub(crate) fn settle(&self, spool: &SessionSpool) {
        spool.settle(&self.0);
    }
}

/// The count to which a lease belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// Taken from the queue: it counts against the queue's bound.
    InHand,
    /// Waits for a retry, or is being retried: it has its own bound.
    Deferred,
}

/// The contents of a lease.
pub(crate) struct LeasedBatch {
    pub(crate) batch: Arc<Batch>,
    /// The number of its first record.
    pub(crate) first: u64,
    /// The records' positions in the spool until they are settled.
    pub(crate) slots: Slots,
    pub(crate) state: LeaseState,
    /// The number of failed tries.
    pub(crate) failures: u32,
    /// The number of retries that the store itself refused.
    pub(crate) refusals: u32,
}

impl LeasedBatch {
    pub(crate) fn len(&self) -> usize {
        self.batch.records.len()
    }

    pub(crate) fn records(&self) -> &[ExecutionRecord] {
        &self.batch.records
    }
}
