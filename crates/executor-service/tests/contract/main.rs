//! The promises of the service, each through the real lifecycle on a store in memory. A test's
//! name begins with the clause of `docs/contract.md` that it holds to.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod failures;
mod lifecycle;
mod queue;
mod running;
mod support;
