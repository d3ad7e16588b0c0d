//! Maps the counters beside a spool to the counts of the ledger.

use executor_core::{DropReason, Durability, Ledger, Timestamp};
use record_spool::Counters;

use crate::recovery::reckoning::{Counts, Noted};

/// The counter that changes with each record.
pub(super) const OFFERED: usize = 0;
const RECOVERED: usize = 1;
const STORED: usize = 2;
const FILTERED: usize = 3;
/// The first counter of losses, in the order of [`DropReason::ALL`].
const DROPPED: usize = 4;
/// The first counter of losses that the store knows of.
const TOLD: usize = DROPPED + DropReason::ALL.len();

/// The counter after all counts, set once: 0 if the level is unknown, else its index in [`Durability::ALL`] plus
/// one.
pub(super) const DURABILITY: usize = TOLD + DropReason::ALL.len();

/// The next counter: the last heartbeat in microseconds, as earlier versions wrote it; 0 before the first.
const HEARTBEAT_US: usize = DURABILITY + 1;

/// The next counter: the last heartbeat in milliseconds.
pub(super) const HEARTBEAT_MS: usize = HEARTBEAT_US + 1;

/// Writes a ledger's counts to a page, and how many losses of each reason the store knows of. Ends go first, so a
/// process that dies in between never counts a record without its end.
pub(crate) fn note_on(page: &Counters, ledger: &Ledger, told: Counts) {
    page.set(STORED, ledger.stored);
    page.set(FILTERED, ledger.filtered);
    let counts = ledger.dropped.into_iter().chain(told);
    for (counter, count) in (DROPPED..).zip(counts) {
        page.set(counter, count);
    }
    page.set(RECOVERED, ledger.recovered);
    page.set(OFFERED, ledger.offered);
}

/// Reads the counters of a page.
pub(crate) fn noted_of(counters: &[Option<u64>]) -> Noted {
    let count = |counter: usize| counters.get(counter).copied().flatten();
    let losses = |first: usize| DropReason::ALL.map(|reason| count(first + reason as usize));
    let level = count(DURABILITY).and_then(|level| level.checked_sub(1));
    let level = level.and_then(|level| usize::try_from(level).ok());
    let in_ms = count(HEARTBEAT_MS).filter(|ms| *ms > 0);
    let micros = in_ms
        .map(|ms| ms.saturating_mul(1_000))
        .or(count(HEARTBEAT_US));
    let heartbeat = micros.and_then(|micros| i64::try_from(micros).ok());
    Noted {
        offered: count(OFFERED),
        recovered: count(RECOVERED),
        stored: count(STORED),
        filtered: count(FILTERED),
        dropped: losses(DROPPED),
        told: losses(TOLD),
        durability: level.and_then(|level| Durability::ALL.get(level).copied()),
        heartbeat: heartbeat.map(Timestamp::from_micros),
    }
}
