//! How do records get from executions to the store, whatever happens?
//!
//! [`CommandExecutor`] runs commands and offers their records to an intake that never waits; a
//! drain takes them in batches, hands them to a store, and deals with what the store says. This
//! crate knows no database: a store is anything that implements the ports of `executor-core`.
#![forbid(unsafe_code)]

pub mod recording;

pub mod retention;

pub mod config;

mod running;

mod losses;

mod queue;

mod intake;

mod parcel;

mod retry;

mod plan;

mod vitals;

mod supervise;

mod guarded;

mod drain;

pub mod completions;

mod watchman;

mod error_handlers;

mod registrar;

pub mod registration;

mod session;

mod tasks;

pub mod lifecycle;

mod builder;

pub mod service;

pub use builder::Builder;
pub use completions::{Completion, Completions, Told};
pub use config::Config;
pub use lifecycle::{ShutdownReport, StartError};
pub use recording::Recording;
pub use registration::{JobHandle, ListenerHandle, RegisterError};
pub use retention::Retention;
pub use service::CommandExecutor;
pub use vitals::{Degradation, Health};
