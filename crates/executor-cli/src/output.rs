//! Output for people and programs.

pub(crate) mod console;
pub(crate) mod plain;
pub(crate) mod progress;
