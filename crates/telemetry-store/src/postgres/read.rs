//! Queries of the history.

pub(crate) mod asked;

mod counting;

mod evidence;

mod executions;

pub(crate) mod history;

mod lists;

mod places;

mod search;

mod sessions;

mod size;

pub(crate) mod spans;

pub(crate) mod stored;
