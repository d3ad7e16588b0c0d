//! The PostgreSQL backend. All its SQL and all its use of diesel is in this folder.

mod acknowledged;

pub(crate) mod copy;

pub(crate) mod address;

pub(crate) mod classify;

pub(crate) mod connect;

mod key;

mod memory;

mod open;

pub(crate) mod migrations;

pub(crate) mod migrator;

pub(crate) mod read;

mod schema;

mod sql;

pub(crate) mod store;

mod transaction;

mod write;

mod writer;
