//! The SQLite backend. All SQL and all use of diesel is in this folder.

pub(crate) mod schema;

pub(crate) mod classify;

pub(crate) mod copy;

pub(crate) mod transaction;

pub(crate) mod migrations;

pub(crate) mod open;

pub mod migrator;

pub(crate) mod write;

pub(crate) mod read;

pub(crate) mod writer;

pub(crate) mod store;
