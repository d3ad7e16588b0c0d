//! Divides a time into whole days, whole hours and what is left at its edges.

use std::ops::Range;

use crate::periods::{DAY_US, HOUR_US};

/// The hour of a time.
pub(super) fn hour_of(at: i64) -> Range<i64> {
    let start = at.div_euclid(HOUR_US).saturating_mul(HOUR_US);
    start..start.saturating_add(HOUR_US)
}

/// A window as whole days, whole hours, and what is left at its edges.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// The length of a span, and the range of starts.
    pub(super) whole: Vec<(i64, Range<i64>)>,
    pub(super) edges: Vec<Range<i64>>,
}

pub(super) fn parts_of(window: &Range<i64>) -> Parts {
    // An open end has no edge.
    let up = |at: i64, span: i64| match at {
        i64::MIN => i64::MIN,
        at => at.saturating_add(span - 1).div_euclid(span) * span,
    };
    let down = |at: i64, span: i64| match at {
        i64::MAX => i64::MAX,
        at => at.div_euclid(span) * span,
    };
    let (hours, days) = (
        up(window.start, HOUR_US)..down(window.end, HOUR_US),
        up(window.start, DAY_US)..down(window.end, DAY_US),
    );
    let mut parts = Parts::default();
    if hours.is_empty() {
        parts.edges = vec![window.clone()];
        return parts;
    }
    if days.is_empty() {
        parts.whole = vec![(HOUR_US, hours.clone())];
    } else {
        parts.whole = vec![
            (HOUR_US, hours.start..days.start),
            (DAY_US, days.clone()),
            (HOUR_US, days.end..hours.end),
        ];
    }
    parts.edges = vec![window.start..hours.start, hours.end..window.end];
    parts.whole.retain(|(_, range)| !range.is_empty());
    parts.edges.retain(|range| !range.is_empty());
    parts
}

/// The number of spans of several periods that one statement reads, which bounds its answer.
const SPANS_MAX: i64 = 128;

/// Adds whole spans to those that are read already, so that a series needs one statement for many periods instead of
/// one for each.
pub(super) fn join(whole: &mut Vec<(i64, Range<i64>)>, span: i64, starts: Range<i64>) {
    let last = whole.iter_mut().rev().find(|(it, _)| *it == span);
    let touching = last.filter(|(_, last)| {
        let together = starts.end.saturating_sub(last.start);
        last.end == starts.start && together <= SPANS_MAX * span
    });
    match touching {
        Some((_, last)) => last.end = starts.end,
        None => whole.push((span, starts)),
    }
}

#[cfg(test)]
mod tests;
