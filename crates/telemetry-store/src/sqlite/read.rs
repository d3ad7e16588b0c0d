//! Queries of the history.

pub(crate) mod actions;
pub(crate) mod asked;

pub(crate) mod counting;

pub(crate) mod stored;

pub(crate) mod executions;

pub(crate) mod sessions;

pub(crate) mod prunes;

pub(crate) mod schedules;

pub(crate) mod sources;

pub(crate) mod evidence;

pub(crate) mod integrity;

pub(crate) mod registrations;

pub(crate) mod history;
