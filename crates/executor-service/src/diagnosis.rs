//! Decides what the history says: whether it is complete, and where not, what is missing. Pure functions of what was
//! read; nothing here asks a store.

mod audit;

pub use audit::{Audit, Cause, Hole, NotKnown, NotLookedAt, Verdict, audit};
