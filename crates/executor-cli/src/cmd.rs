//! The verbs, one file each.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod database;
pub(crate) mod doctor;
pub(crate) mod errors;
pub(crate) mod explain;
pub(crate) mod export;
mod following;
pub(crate) mod import_crontab;
pub(crate) mod logs;
pub(crate) mod looking;
pub(crate) mod ls;
pub(crate) mod manual;
pub(crate) mod migrate;
pub(crate) mod prune;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod show;
pub(crate) mod sources;
pub(crate) mod spool;
pub(crate) mod status;
pub(crate) mod timeline;
pub(crate) mod timers;
