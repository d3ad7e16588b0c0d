//! The promises of the service, each through the real lifecycle on a store in memory. A test's
//! name begins with the clause of `docs/contract.md` that it holds to.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod support;

mod acting;
mod adapter;
mod backtraces;
mod blocking;
mod cancellation;
mod clock_trust;
mod completions;
mod cron;
mod destructors;
mod explaining;
mod failures;
mod followed;
mod handles;
mod lifecycle;
mod lines;
mod live_state;
mod logged;
mod losses;
#[cfg(feature = "metrics")]
mod metering;
mod missed_runs;
mod outages;
mod overlap;
mod privacy;
mod programs;
mod publishing;
mod queue;
mod records;
mod running;
mod schedule_clock;
mod schedule_year;
mod schedules;
#[cfg(feature = "serde")]
mod settings;
mod sources;
mod spool;
mod spool_damage;
mod spool_rest;
mod starving;
mod submitted;
mod supervision;
mod world;
mod wrapped;
