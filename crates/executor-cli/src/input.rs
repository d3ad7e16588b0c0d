//! Events: where their lines come from, and what is found in them.

pub(crate) mod events;
pub(crate) mod pointer;
pub(crate) mod source;
