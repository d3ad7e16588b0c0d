//! Output for people and programs.

pub(crate) mod colors;
pub(crate) mod columns;
pub(crate) mod console;
pub(crate) mod drawn;
pub(crate) mod lanes;
pub(crate) mod log;
pub(crate) mod marks;
pub(crate) mod pager;
pub(crate) mod periods;
pub(crate) mod plain;
pub(crate) mod progress;
pub(crate) mod shown;
