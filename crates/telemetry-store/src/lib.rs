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

mod rollup;

mod sqlite;

pub use rollup::sketch::RELATIVE_ERROR;
pub use sqlite::migrator as migrate;
pub use sqlite::open::error::{OpenError, SqliteError};
pub use sqlite::read::history::SqliteHistory;
pub use sqlite::store::{HookAlreadySet, SqliteOptions, SqliteStore};
