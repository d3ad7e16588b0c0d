//! Works out what was planned before a process had a job: which runs it makes up for, and which were missed. Pure
//! functions of times and of what the history knows.

use executor_core::Timestamp;
use executor_core::ports::{Earlier, MissedReason};

use super::Schedule;
use super::missed_log::Span;

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
    let keep = persistent.map_or(0, |schedule| schedule.missed.at_most());
    let series = then.begin(from);
    // One more, of which the time is told.
    let mut planned = series.planned(from, until, keep + 1);
    let Some(first) = series.first_between(from, until) else {
        return nothing;
    };
    planned.keep_newest(keep);
    let count = planned.count - planned.newest.len() as u64;
    let reason = if planned.newest.is_empty() {
        MissedReason::NoProcess
    } else {
        MissedReason::Superseded
    };
    CatchUp {
        runs: planned.newest.into(),
        missed: planned
            .left_out
            .map(|last| (reason, Span { count, first, last })),
    }
}

#[cfg(test)]
mod tests;
