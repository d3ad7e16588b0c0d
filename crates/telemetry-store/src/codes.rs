//! What columns hold instead of words, in every backend: codes of kinds, bits of flags, states.

use executor_core::record::ExecutionRecord;
use executor_core::{EntityKind, Ledger, SourceTier, TimeoutOrigin};

/// Returns the code of a kind in `executions.kind` and other columns.
pub(crate) const fn code_of(kind: EntityKind) -> i64 {
    match kind {
        EntityKind::Listener => 0,
        EntityKind::Job => 1,
    }
}

/// The kind that a column's value stands for.
pub(crate) fn kind_of(code: i64) -> Option<EntityKind> {
    EntityKind::ALL
        .into_iter()
        .find(|kind| code_of(*kind) == code)
}

/// Returns the table of registrations of a kind.
pub(crate) const fn table_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Listener => "listeners",
        EntityKind::Job => "scheduled_jobs",
    }
}

/// The bits of `executions.flags`, as the migration documents them.
pub(crate) mod flag {
    pub(crate) const DI_FAILURE: i64 = 1;
    pub(crate) const THREAD_LEAKED: i64 = 2;
    pub(crate) const OVERRAN: i64 = 4;
    pub(crate) const FRAMEWORK: i64 = 8;
    pub(crate) const TIMEOUT_DEADLINE: i64 = 16;
    pub(crate) const TIMEOUT_HANDLER: i64 = 32;
    pub(crate) const TIMEOUT_QUEUE: i64 = 64;
}

/// The origins of a timeout, and their bits.
pub(crate) const TIMEOUT_ORIGINS: [(TimeoutOrigin, i64); 3] = [
    (TimeoutOrigin::Deadline, flag::TIMEOUT_DEADLINE),
    (TimeoutOrigin::Handler, flag::TIMEOUT_HANDLER),
    (TimeoutOrigin::Queue, flag::TIMEOUT_QUEUE),
];

/// Returns the bits of a record.
pub(crate) fn flags(record: &ExecutionRecord) -> i64 {
    let flags = &record.flags;
    let set = [
        (flags.is_di_failure, flag::DI_FAILURE),
        (flags.thread_leaked, flag::THREAD_LEAKED),
        (flags.overran, flag::OVERRAN),
        (record.source_tier == SourceTier::Framework, flag::FRAMEWORK),
    ];
    let origins = TIMEOUT_ORIGINS.map(|(origin, bit)| (flags.timeout_origin == Some(origin), bit));
    let all = set.into_iter().chain(origins);
    all.filter(|(on, _)| *on).map(|(_, bit)| bit).sum()
}

/// The bits of `execution_lines.flags`.
pub(crate) const BINARY: i64 = 1;

/// The state of the final ledger that was rebuilt after damage.
pub(crate) const REBUILT: &str = "rebuilt";

/// Returns the state of a ledger that will not change any more.
pub(crate) const fn final_state(ledger: &Ledger) -> &'static str {
    if ledger.is_rebuilt { REBUILT } else { "final" }
}
