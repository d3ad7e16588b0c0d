//! Events: reads their lines and finds the configured values in them.

pub(crate) mod crontab;
pub(crate) mod events;
pub(crate) mod pointer;
pub(crate) mod source;
