//! A test kit for the executor and for programs that use it.
//!
//! It has an in-memory store that passes the same conformance suite as the real one, faults for that store or any
//! other, sample records and registrations, a clock that follows tokio's paused time, a guard that checks the ledger,
//! and [`assert_recorded!`]. The feature `sqlite` adds temporary databases, copied from one that was migrated once.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;

mod samples;

mod planned;
mod pruning;

mod memory;
mod steering;

mod discard;

mod faults;

mod faulty;

mod failing_part;

mod recorded;

pub mod conformance;

mod guard;

#[cfg(feature = "sqlite")]
mod temp_database;

#[cfg(feature = "postgres")]
mod temp_postgres;

pub use clock::TestClock;
pub use discard::DiscardStore;
pub use failing_part::FailingPart;
pub use faults::Fault;
pub use faulty::FaultyStore;
pub use guard::LedgerGuard;
pub use memory::MemoryStore;
pub use recorded::check_recorded;
pub use samples::{job, listener, record, session};
#[cfg(feature = "sqlite")]
pub use temp_database::TempDatabase;
#[cfg(feature = "postgres")]
pub use temp_postgres::TempPostgres;
