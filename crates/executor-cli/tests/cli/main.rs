//! The program as its users meet it: command lines, exit codes, tables, and the database it
//! leaves, looked at from outside.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod acting;
mod alike;
mod care;
mod copies;
mod crontabs;
mod damaged;
mod doctors;
mod fixture;
mod formats;
mod hostile;
mod logging;
mod looking;
mod metrics;
mod mistakes;
mod notifying;
mod now;
#[cfg(feature = "postgres")]
mod on_a_server;
mod orphans;
mod permissions;
mod questions;
mod reloads;
mod reports;
mod runs;
mod secrets;
mod service_manager;
mod serving;
mod shapes;
mod signals;
mod source_ends;
mod sources;
mod spools;
mod stops;
mod streams;
mod support;
mod terminals;
mod timers;
