//! The whole house: the service on real databases, with faults that are real.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod audit;
mod canaries;
mod crash;
mod creation;
mod cycles;
mod full_disk;
mod killed;
mod locked;
mod opening;
mod panics;
mod path;
mod paused;
mod support;
mod talk;
mod terminated;
mod torture;
