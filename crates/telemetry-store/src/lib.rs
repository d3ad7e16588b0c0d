//! Stores records, registrations and sessions in a SQLite database and queries them, through the
//! ports of `executor-core`.
//!
//! This crate knows nothing about queues, tasks or handlers: it executes requests, one transaction
//! at a time, and reports the fate of every row. Retrying is up to the caller.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!("telemetry-store needs a Unix: modes, links and locks of files");

// Named only to enable the bundled SQLite; diesel calls it.
use libsqlite3_sys as _;
// Named only to bundle them; diesel calls the one, and that calls the other.
#[cfg(feature = "postgres-bundled")]
use {openssl_sys as _, pq_sys as _};

mod codes;

mod copy;

mod hook;

mod liveness;

mod periods;

mod planned;

#[cfg(feature = "postgres")]
mod postgres;

mod read;

mod rollup;

mod sqlite;

mod writer;

pub use copy::ends::{Copied, CopyEnd, copy_history};
pub use copy::error::{CopyError, CopyProgress, CopyStage};
pub use hook::HookAlreadySet;
#[cfg(feature = "postgres")]
pub use postgres::address::Unaddressable as UnaddressableServer;
#[cfg(feature = "postgres")]
pub use postgres::connect::ServerError;
#[cfg(feature = "postgres")]
pub use postgres::migrator::{PostgresMigrator, bring_server_up_to_date, pending_on_server};
#[cfg(feature = "postgres")]
pub use postgres::read::history::PostgresHistory;
#[cfg(feature = "postgres")]
pub use postgres::store::{PostgresOptions, PostgresStore};
pub use rollup::sketch::RELATIVE_ERROR;
pub use sqlite::migrator as migrate;
pub use sqlite::open::error::{OpenError, SqliteError};
pub use sqlite::read::history::SqliteHistory;
pub use sqlite::store::{SqliteOptions, SqliteStore};
