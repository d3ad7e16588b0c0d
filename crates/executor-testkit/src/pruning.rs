//! The simplest implementation of the pruning rules: selects the records that a store must delete.

use std::collections::HashMap;

use executor_core::ports::{PruneRule, PruneSlice};
use executor_core::{ExecutionId, ExecutionRecord, Status, Subject, Timestamp};

/// The end and the id of an execution.
type Named = (Timestamp, ExecutionId);

pub(crate) fn let_go_by<'r>(
    slice: PruneSlice,
    records: impl Iterator<Item = &'r ExecutionRecord>,
) -> Vec<Named> {
    let went_well =
        |record: &&ExecutionRecord| matches!(record.status, Status::Success | Status::Skipped);
    match slice.rule {
        PruneRule::EndedBefore(at) => records.map(named).filter(|(end, _)| *end < at).collect(),
        PruneRule::WentWellBefore(at) => {
            let well = records.filter(went_well).map(named);
            well.filter(|(end, _)| *end < at).collect()
        }
        PruneRule::AllButNewest(count) => {
            let known = records.filter(|record| record.ended_at() <= slice.now);
            surplus(known, count as usize)
        }
        // Memory is not measured.
        PruneRule::LargerThan(_) => Vec::new(),
        // Delete something else than records.
        PruneRule::GoneBefore(_)
        | PruneRule::HistoryBefore(_)
        | PruneRule::LinesBefore(_)
        | PruneRule::LinesUntil(_) => Vec::new(),
    }
}

fn named(record: &ExecutionRecord) -> Named {
    (record.ended_at(), record.execution_id)
}

/// Returns all but the newest of each listener and job.
fn surplus<'r>(records: impl Iterator<Item = &'r ExecutionRecord>, newest: usize) -> Vec<Named> {
    let mut of_each: HashMap<&Subject, Vec<Named>> = HashMap::new();
    for record in records {
        let its = of_each.entry(&record.subject).or_default();
        its.push(named(record));
    }
    let surplus = of_each.into_values().flat_map(|mut all| {
        all.sort();
        all.truncate(all.len().saturating_sub(newest));
        all
    });
    surplus.collect()
}

/// Returns the beginning of the hour of a time.
pub(crate) fn hour_of(at: Timestamp) -> Timestamp {
    let into_hour = at.as_micros().rem_euclid(3_600_000_000);
    Timestamp::from_micros(at.as_micros() - into_hour)
}
