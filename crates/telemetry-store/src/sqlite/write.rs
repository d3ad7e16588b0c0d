//! The operations that the writer runs, each in one transaction.

pub(crate) mod actions;
pub(crate) mod upsert;

pub(crate) mod rows;

pub(crate) mod insert;

pub(crate) mod row_ids;

pub(crate) mod rollup;

pub(crate) mod session;

pub(crate) mod schedules;

pub(crate) mod sources;

pub(crate) mod registration;

pub(crate) mod references;

pub(crate) mod topics;

pub(crate) mod hours;

pub(crate) mod persist;

pub(crate) mod gaps;

pub(crate) mod prune;

pub(crate) mod prunes;

pub(crate) mod old_history;

pub(crate) mod old_lines;
