//! How do records get from executions to the store, whatever happens?
//!
//! [`CommandExecutor`] runs commands and offers their records to an intake that never waits; a
//! drain takes them in batches, hands them to a store, and deals with what the store says. This
//! crate knows no database: a store is anything that implements the ports of `executor-core`.
#![forbid(unsafe_code)]

pub mod recording;

mod clock_trust;

mod retention;

pub mod config;

mod running;

mod losses;

mod codec;

mod spooling;

mod queue;

mod intake;

mod offering;

mod taking;

mod lease;

mod retry;

mod plan;

mod health;

mod supervise;

mod guarded;

mod drain;

pub mod completions;

mod loss_reporter;

mod error_handlers;

mod registrar;

pub mod handle;

pub mod registration;

mod session;

mod reckoning;

mod abandoned;

mod recovery;

pub mod inspect;

#[cfg(feature = "metrics")]
pub mod metering;

mod tasks;

pub mod schedule;

pub mod lifecycle;

mod builder;

pub mod service;

pub mod submitted;

pub use builder::Builder;
pub use completions::{Completion, CompletionEvent, Completions};
pub use config::{Config, SpoolPlace};
pub use executor_core::Durability;
pub use handle::{JobHandle, ListenerHandle};
pub use health::{Degradation, Health};
pub use lifecycle::{ShutdownReport, StartError};
pub use record_spool::{SpoolError, survive_file_size_limit};
pub use recording::Recording;
pub use registration::RegisterError;
pub use retention::Retention;
pub use schedule::{Missed, Schedule, ScheduleError, ScheduleState};
pub use service::{CommandExecutor, NotDrained, NotSynced};
pub use submitted::Submitted;
