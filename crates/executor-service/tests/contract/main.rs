//! The promises of the service, each through the real lifecycle on a store in memory. A test's
//! name begins with the clause of `docs/contract.md` that it holds to.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod support;

mod blocking;
mod cancellation;
mod completions;
mod failures;
mod lifecycle;
mod losses;
mod overlap;
mod privacy;
mod programs;
mod queue;
mod running;
mod supervision;
