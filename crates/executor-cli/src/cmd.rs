//! The verbs, one file each.

pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod spool;
