//! Works out what was planned before a process had a job: which runs it makes up for, and which were missed. Pure
//! functions of times and of what the history knows.

use executor_core::Timestamp;
use executor_core::ports::{Earlier, MissedReason};

use super::missed_log::Span;
use super::{Missed, Schedule};

/// What was planned while no process had the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CatchUp {
    /// The planned times of the runs to make up for now, in their order.
    pub(super) runs: Vec<Timestamp>,
    /// The others, and why they were missed.
    pub(super) missed: Option<(MissedReason, Span)>,
}

/// `schedule` is the one that the job has now, from `at` on.
pub(super) fn catch_up(earlier: &Earlier, schedule: Option<&Schedule>, at: Timestamp) -> CatchUp {
    let nothing = CatchUp::default();
    let then = earlier.plan.as_ref().and_then(Schedule::of_plan);
    let (Some(then), Some(alive_until)) = (then, earlier.alive_until) else {
        return nothing;
    };
    // What goes by elapsed time begins anew with each process: nothing was planned in between.
    if !then.goes_by_wall_clock() || earlier.elsewhere.is_some() {
        return nothing;
    }
    // A run that jitter had delayed beyond the last sign of life had not begun.
    let from = alive_until.saturating_sub(then.jitter);
    let from = earlier
        .dealt_with
        .map_or(from, |dealt_with| from.max(dealt_with));
    let until = earlier.until.map_or(at, |until| until.min(at));
    let persistent = schedule.filter(|schedule| schedule.is_persistent);
    let rule = persistent.map_or(Missed::Skip, |schedule| schedule.missed);
    let keep = match rule {
        Missed::Skip => 0,
        Missed::RunOnce => 1,
        Missed::RunAll { at_most } => at_most.max(1) as usize,
    };
    let series = then.begin(from);
    let planned = series.planned_between(from, until, keep + 1);
    let Some(first) = series.first_between(from, until) else {
        return nothing;
    };
    let mut newest = planned.newest;
    let mut last = None;
    while newest.len() > keep {
        last = newest.pop_front();
    }
    let count = planned.count - newest.len() as u64;
    let reason = if newest.is_empty() {
        MissedReason::NoProcess
    } else {
        MissedReason::Superseded
    };
    CatchUp {
        runs: newest.into(),
        missed: last.map(|last| (reason, Span { count, first, last })),
    }
}

#[cfg(test)]
mod tests;
