//! The spool of this process: what its frames and its counters mean. That they survive is `record-spool`'s.

pub(crate) mod codec;

pub(crate) mod encoder;

pub(crate) mod counters;

pub(crate) mod session_spool;
