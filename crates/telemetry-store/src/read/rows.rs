//! Rows as every backend selects them: numbers are `i64`, names of executions and sessions bytes.

pub(crate) mod action;
pub(crate) mod execution;

pub(crate) mod gap;

pub(crate) mod prune;

pub(crate) mod registration;

pub(crate) mod rollup;

pub(crate) mod schedule;

pub(crate) mod session;

pub(crate) mod source;
