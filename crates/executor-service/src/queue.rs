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
    Memory(VecDeque<ExecutionRecord>),
    Spool { unread: usize },
}

/// What was taken at once.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) records: Vec<ExecutionRecord>,
    pub(crate) slots: Slots,
}

impl Default for Queue {
    fn default() -> Self {
        Self::Memory(VecDeque::new())
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Memory(records) => records.len(),
            Self::Spool { unread, .. } => *unread,
        }
    }

    /// Takes up to `max` records that were put in memory.
    pub(crate) fn take(&mut self, max: usize, taken: &mut Taken) -> usize {
        match self {
            Self::Memory(records) => {
                let count = max.min(records.len());
                taken.records.extend(records.drain(..count));
                count
            }
            Self::Spool { .. } => 0,
        }
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
