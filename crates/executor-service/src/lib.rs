//! How do records get from executions to the store, whatever happens?
//!
//! [`CommandExecutor`] runs commands and offers their records to an intake that never waits; a
//! drain takes them in batches, hands them to a store, and deals with what the store says. This
//! crate knows no database: a store is anything that implements the ports of `executor-core`.
#![forbid(unsafe_code)]

pub mod retention;

pub mod config;

mod running;

mod intake;

mod retry;

mod plan;

mod drain;

mod error_handlers;

mod guarded;

mod registrar;

pub mod registration;

mod session;

pub mod lifecycle;

pub mod service;

pub use config::Config;
pub use lifecycle::{ShutdownReport, StartError};
pub use registration::{JobHandle, ListenerHandle, RegisterError};
pub use retention::Retention;
pub use service::{Builder, CommandExecutor};
