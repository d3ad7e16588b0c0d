//! How do we, and the users of the executor, test against it?
//!
//! A store in memory that passes the same conformance suite as the real one and can be told to
//! fail, records and registrations to feed to it, a clock that follows tokio's paused time, and a
//! guard that checks the ledger. With the feature `sqlite` also temporary databases.
#![forbid(unsafe_code)]

mod clock;

mod samples;

mod pruning;

mod memory;

mod discard;

mod faults;

pub mod conformance;

mod guard;

#[cfg(feature = "sqlite")]
mod temp_database;

pub use clock::TestClock;
pub use discard::DiscardStore;
pub use faults::Fault;
pub use guard::LedgerGuard;
pub use memory::MemoryStore;
pub use samples::{job, listener, record, record_of_job, session};
#[cfg(feature = "sqlite")]
pub use temp_database::TempDatabase;
