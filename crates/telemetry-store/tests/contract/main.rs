//! The promises of the store, on real databases that are also looked at from outside. A test's
//! name begins with the clause of `docs/contract.md` that it holds to.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod answers;
mod conformance;
mod copies;
mod damage;
mod damaged_reading;
mod dying;
mod everything;
mod faults;
mod history;
mod kinds;
mod listing;
mod migrations;
mod mutations;
mod opening;
mod pruning;
mod queries;
mod records;
mod registrations;
mod rollups;
mod schedules;
mod sessions;
mod slices;
mod support;
