//! Works out what was planned before a process had a job: which runs it makes up for, and which were missed. Pure
//! functions of times and of what the history knows.

use std::time::Duration;

use executor_core::Timestamp;
use executor_core::ports::{Earlier, MissedReason};

use super::Schedule;
use super::missed_log::Span;

/// What was planned while no process had the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CatchUp {
    /// The planned times of the runs to make up for now, in their order.
    pub(super) runs: Vec<Timestamp>,
    /// The others, the latest first, and why they were missed.
    pub(super) missed: Vec<(MissedReason, Span)>,
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
    // A run that jitter had delayed beyond the last sign of life had not begun, nor need one that was due in the same
    // microsecond. If it had, the history has it.
    let from = alive_until.saturating_sub(then.jitter + Duration::from_micros(1));
    let until = earlier.until.map_or(at, |until| until.min(at));
    let persistent = schedule.filter(|schedule| schedule.is_persistent);
    let mut keep = persistent.map_or(0, |schedule| schedule.missed.at_most());
    let series = then.begin(from);
    let (mut runs, mut spans) = (Vec::new(), Vec::new());
    for (from, until) in holes(&earlier.dealt_with, from, until).into_iter().rev() {
        // One more, whose time is reported.
        let mut planned = series.planned(from, until, keep + 1);
        let Some(first) = series.first_between(from, until) else {
            continue;
        };
        planned.keep_newest(keep);
        let count = planned.count - planned.newest.len() as u64;
        keep -= planned.newest.len();
        runs.extend(planned.newest.iter().rev());
        spans.extend(planned.left_out.map(|last| Span { count, first, last }));
    }
    runs.reverse();
    let reason = match runs.is_empty() {
        true => MissedReason::NoProcess,
        false => MissedReason::Superseded,
    };
    CatchUp {
        runs,
        missed: spans.into_iter().map(|span| (reason, span)).collect(),
    }
}

/// Returns what lies after `from` and until `until` and in no range, in order, each without its beginning.
fn holes(
    ranges: &[(Timestamp, Timestamp)],
    from: Timestamp,
    until: Timestamp,
) -> Vec<(Timestamp, Timestamp)> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let (mut holes, mut from) = (Vec::new(), from);
    for (first, last) in ranges {
        let end = first.saturating_sub(Duration::from_micros(1)).min(until);
        if end > from {
            holes.push((from, end));
        }
        from = from.max(last);
    }
    if until > from {
        holes.push((from, until));
    }
    holes
}

#[cfg(test)]
mod tests;
