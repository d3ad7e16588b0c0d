//! Decides what the history says: whether it is complete, and where not, what is missing. Pure functions of what was
//! read; nothing here asks a store.

mod findings;

mod audit;

pub use audit::audit;
pub use findings::{Audit, Cause, Hole, NotKnown, NotLookedAt, Verdict};
