//! Where offered records lie until they are settled. The drain cannot tell which kind of queue it has.

use std::collections::VecDeque;

use executor_core::ExecutionRecord;

/// Where records lie in the queue. In memory: nowhere, what was taken is gone from it.
#[derive(Debug, Default)]
pub(crate) struct Slots;

/// The queue in memory, with a bound that its owner keeps.
#[derive(Default)]
pub(crate) struct Queue {
    records: VecDeque<ExecutionRecord>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn push(&mut self, record: ExecutionRecord) {
        self.records.push_back(record);
    }

    pub(crate) fn take(&mut self, max: usize) -> impl Iterator<Item = ExecutionRecord> {
        self.records.drain(..max.min(self.records.len()))
    }
}
