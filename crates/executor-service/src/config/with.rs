//! One method per setting. New versions may add settings, so `Config` cannot be built as a struct literal.

use std::time::Duration;

use executor_core::Durability;

use super::{Config, SpoolPlace};
use crate::recording::Recording;
use crate::recovery::orphans::Orphans;
use crate::retention::Retention;

macro_rules! with {
    ($($field:ident $with:ident: $type:ty,)*) => {
        impl Config {
            $(
                #[doc = concat!("Replaces [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $with(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

with! {
    queue_max with_queue_max: usize,
    batch_max with_batch_max: usize,
    flush_interval with_flush_interval: Duration,
    retry_max_records with_retry_max_records: usize,
    retry_max_attempts with_retry_max_attempts: u32,
    startup_timeout with_startup_timeout: Duration,
    heartbeat_interval with_heartbeat_interval: Duration,
    error_handler_timeout with_error_handler_timeout: Duration,
    slow_poll with_slow_poll: Option<Duration>,
    cancel_grace with_cancel_grace: Duration,
    record_backtraces with_record_backtraces: bool,
    submitted_max with_submitted_max: usize,
    blocking_threads with_blocking_threads: usize,
    retention with_retention: Retention,
    record_app with_record_app: Recording,
    record_framework with_record_framework: Recording,
    orphans with_orphans: Orphans,
    spool with_spool: SpoolPlace,
    spool_max_bytes with_spool_max_bytes: u64,
    file_mode with_file_mode: u32,
    durability with_durability: Durability,
    wait_for_store with_wait_for_store: bool,
    topic_separator with_topic_separator: char,
    completions_max with_completions_max: usize,
}
