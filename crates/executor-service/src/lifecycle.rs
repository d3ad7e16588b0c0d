//! The lifecycle of a service: start, supervision, health and shutdown.

pub(crate) mod health;

pub(crate) mod flushing;

pub(crate) mod supervise;

pub(crate) mod tasks;

pub(crate) mod report;

pub(crate) mod shared;

pub(crate) mod heartbeat;

pub(crate) mod assembly;

pub(crate) mod builder;

pub(crate) mod shutdown;
