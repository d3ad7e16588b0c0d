//! What people and programs are shown.

pub(crate) mod console;
pub(crate) mod plain;
pub(crate) mod progress;
