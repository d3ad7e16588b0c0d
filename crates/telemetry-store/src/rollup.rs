//! Counts and durations by hour and day: what every backend keeps beside its rows.

pub(crate) mod sketch;

pub(crate) mod tally;
