//! Hourly and daily counts and durations, which every backend keeps beside its rows.

pub(crate) mod entity;

pub(crate) mod sketch;

pub(crate) mod tally;
