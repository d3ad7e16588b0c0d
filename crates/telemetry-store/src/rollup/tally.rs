//! Counts and durations of a set of executions, and the time spans that they are kept for.

use executor_core::Status;

use crate::periods::{DAY_US, HOUR_US};
use crate::rollup::sketch::Sketch;

pub(crate) const SPANS_US: [i64; 2] = [HOUR_US, DAY_US];

/// What one execution adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'r> {
    pub(crate) status: Status,
    pub(crate) ended_us: i64,
    pub(crate) duration_us: i64,
    /// As type and message, if it failed.
    pub(crate) error: Option<&'r str>,
}

/// The totals over a set of executions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) by_status: [i64; Status::ALL.len()],
    pub(crate) sum_us: i64,
    pub(crate) max_us: i64,
    pub(crate) sketch: Sketch,
    pub(crate) last_error: Option<(i64, String)>,
}

impl Tally {
    /// Counts one execution.
    pub(crate) fn add(&mut self, run: &Run<'_>) {
        let Run {
            status,
            duration_us,
            ..
        } = *run;
        let count = &mut self.by_status[usize::from(status.code())];
        *count = count.saturating_add(1);
        // Skipped executions did not run, and nobody knows how long interrupted ones ran.
        if !matches!(status, Status::Skipped | Status::Interrupted) {
            self.sum_us = self.sum_us.saturating_add(duration_us);
            self.max_us = self.max_us.max(duration_us);
            self.sketch.add(duration_us.unsigned_abs());
        }
        if let Some(text) = run.error {
            self.note_error(run.ended_us, || text.to_owned());
        }
    }

    /// Adds the totals of other executions.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.by_status.iter_mut().zip(other.by_status) {
            *count = count.saturating_add(more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
        self.sketch.merge(&other.sketch);
        if let Some((at, text)) = &other.last_error {
            self.note_error(*at, || text.clone());
        }
    }

    pub(crate) fn note_error(&mut self, at: i64, text: impl FnOnce() -> String) {
        if self.last_error.as_ref().is_none_or(|(last, _)| *last <= at) {
            self.last_error = Some((at, text()));
        }
    }
}
