//! The spool of this process: the meaning of its frames and counters. `record-spool` makes them survive.

pub(crate) mod root;

pub(crate) mod codec;

mod decoder;

pub(crate) mod encoder;

pub(crate) mod counters;

pub(crate) mod session_spool;
