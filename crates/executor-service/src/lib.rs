//! Carries records from executions to the store, whatever happens.
//!
//! [`CommandExecutor`] runs commands and offers their records to an intake that never waits; a
//! drain takes them in batches, hands them to a store, and handles the answers. This crate knows
//! nothing about databases: a store is anything that implements the ports of `executor-core`.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod recording;

mod retention;

pub mod config;

mod running;

mod spool;

mod intake;

mod drain;

pub mod completions;

mod error_handlers;

pub mod registration;

mod recovery;

#[cfg(feature = "metrics")]
pub mod metering;

pub mod schedule;

mod lifecycle;

pub mod executor;

pub mod submitted;

mod sources;

pub mod diagnosis;

pub use completions::{Completion, CompletionEvent, Completions};
pub use config::{Config, SpoolPlace};
pub use executor::{CommandExecutor, NotDrained, NotSynced, Published, Source};
pub use executor_core::Durability;
pub use lifecycle::builder::{Builder, StartError};
pub use lifecycle::health::{Degradation, Health};
pub use lifecycle::report::ShutdownReport;
pub use record_spool::{SpoolError, survive_file_size_limit};
pub use recording::Recording;
pub use recovery::inspect;
pub use recovery::orphans::Orphans;
pub use registration::builders::RegisterError;
pub use registration::handle::{JobHandle, ListenerHandle};
pub use registration::wrapped::Wrapped;
pub use retention::Retention;
pub use schedule::{Missed, Schedule, ScheduleError, ScheduleState};
pub use submitted::Submitted;
