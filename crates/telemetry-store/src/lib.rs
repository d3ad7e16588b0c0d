//! How are records, registrations and sessions kept and asked for? In a SQLite database, through
//! the ports of `executor-core`.
//!
//! This crate knows no queue, no task and no handler: it does what it is asked, one transaction
//! at a time, and says what became of every row. Retrying is its caller's business.
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!("telemetry-store needs a Unix: modes, links and locks of files");

// Named so that SQLite is bundled; diesel is what calls it.
use libsqlite3_sys as _;

mod schema;

mod upsert;

mod rows;

mod classify;

mod address;

mod create;

mod probe;

mod open;

mod file_identity;

pub mod migrate;

mod transaction;

mod insert;

mod parents;

mod row_ids;

mod persist;

mod session;

mod alive;

mod registration;

mod housekeeping;

mod sketch;

mod rollup;

mod summary;

mod history;

mod listing;

mod registered;

mod paging;

mod query;

mod prune;

mod inbox;

mod restarts;

mod writer;

mod shared_writer;

mod store;

pub use open::{OpenError, SqliteError};
pub use query::SqliteHistory;
pub use sketch::RELATIVE_ERROR;
pub use store::{HookAlreadySet, SqliteOptions, SqliteStore};
