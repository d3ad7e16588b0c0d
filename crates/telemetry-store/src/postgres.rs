//! The PostgreSQL backend. All its SQL and all its use of diesel is in this folder.
//!
//! It stores executions with what they said, sessions, registrations and losses, and prunes rows. It has no rollups, no
//! schedules, no sources of events and no history yet, so no other crate offers it.

pub(crate) mod address;

pub(crate) mod classify;

pub(crate) mod connect;

mod memory;

pub(crate) mod migrations;

pub(crate) mod store;

mod transaction;

mod write;

mod writer;
