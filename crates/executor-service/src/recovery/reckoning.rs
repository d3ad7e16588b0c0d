//! How the ledger of a dead session comes out: what its counters say, what its segments say, and what became of the
//! records that were found. A pure function of the three.
//!
//! What was appended is known twice, from the counters and from the segments, each of which tells how many records
//! lie before it. What was stored is counted by fates, and a fate is noted before its frame is marked: so a process
//! that dies in between has counted records that are found again. Where more ends are counted than records were
//! appended, that is what has happened; where fewer are, the others are damaged. Where the count itself is damaged
//! the store is asked: nothing is stored because something else does not add up.

use executor_core::{DropReason, Durability, Ledger, Timestamp};

/// So many of each reason, in the order of [`DropReason::ALL`].
pub(crate) type Counts = [u64; DropReason::ALL.len()];

/// What the counters beside a spool say; `None` those that are damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) offered: Option<u64>,
    pub(crate) recovered: Option<u64>,
    pub(crate) stored: Option<u64>,
    pub(crate) filtered: Option<u64>,
    pub(crate) dropped: [Option<u64>; DropReason::ALL.len()],
    /// How many losses the store knows of.
    pub(crate) told: [Option<u64>; DropReason::ALL.len()],
    pub(crate) durability: Option<Durability>,
    pub(crate) heartbeat: Option<Timestamp>,
}

/// Losses of records that were in the spool; the others never came to be in it.
const IN_SPOOL: [DropReason; 3] = [
    DropReason::Constraint,
    DropReason::Unstorable,
    DropReason::Damaged,
];

impl Noted {
    /// Whether how many records were stored is known only to the store.
    pub(crate) const fn needs_stored(&self) -> bool {
        self.stored.is_none() || self.recovered.is_none()
    }

    /// With what the store knows: so many of the session's own records are stored, besides those that it took over.
    pub(crate) fn with_stored(self, own: u64) -> Self {
        let recovered = match (self.stored, self.recovered) {
            (_, Some(recovered)) => recovered,
            (Some(stored), None) => stored.saturating_sub(own),
            (None, None) => 0,
        };
        Self {
            recovered: Some(recovered),
            stored: self.stored.or(Some(own + recovered)),
            ..self
        }
    }

    /// Whether all counters are whole.
    pub(crate) fn is_whole(&self) -> bool {
        let singles = [self.offered, self.recovered, self.stored, self.filtered];
        let all = singles.iter().chain(&self.dropped).chain(&self.told);
        all.into_iter().all(Option::is_some)
    }

    /// The ledger as far as it is whole. What is known of a damaged count of losses is how many the store knows of.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger = Ledger {
            offered: self.offered.unwrap_or(0),
            recovered: self.recovered.unwrap_or(0),
            stored: self.stored.unwrap_or(0),
            filtered: self.filtered.unwrap_or(0),
            durability: self.durability,
            ..Ledger::default()
        };
        for (reason, (dropped, told)) in DropReason::ALL.into_iter().zip(self.losses()) {
            ledger.add_dropped(reason, dropped.or(told).unwrap_or(0));
        }
        ledger.spooled = (ledger.offered + ledger.recovered).saturating_sub(ends_of(&ledger));
        ledger
    }

    /// How many losses of each reason the store knew of. Where that is damaged, all: telling of them twice would
    /// make two of one.
    pub(crate) fn told(&self) -> Counts {
        let mut counts = [0; DropReason::ALL.len()];
        for (count, (dropped, told)) in counts.iter_mut().zip(self.losses()) {
            *count = told.or(dropped).unwrap_or(0);
        }
        counts
    }

    fn losses(&self) -> impl Iterator<Item = (Option<u64>, Option<u64>)> {
        self.dropped.into_iter().zip(self.told)
    }

    /// What was appended, as far as the counters tell.
    fn appended(&self) -> Option<u64> {
        let mut beside = self.filtered?;
        for reason in DropReason::ALL
            .into_iter()
            .filter(|reason| !IN_SPOOL.contains(reason))
        {
            beside += self.dropped[reason as usize]?;
        }
        Some(self.offered?.saturating_sub(beside))
    }
}

fn ends_of(ledger: &Ledger) -> u64 {
    ledger.stored + ledger.filtered + ledger.total_dropped()
}

/// The ends of records that were in the spool, those taken over from elsewhere included.
fn ends_in_spool(ledger: &Ledger) -> u64 {
    let dropped = IN_SPOOL.iter().map(|reason| ledger.dropped(*reason));
    ledger.stored + dropped.sum::<u64>()
}

/// What the segments say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    /// How many records were appended at least; 0 where no segment tells.
    pub(crate) appended: u64,
    /// How many frames are known to be damaged. Each may have been a record, and where the counters do not tell it is
    /// taken for one.
    pub(crate) damaged: u64,
}

/// How a ledger came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reckoned {
    pub(crate) ledger: Ledger,
    /// Records that are lost, those of them that were counted as lost before left out.
    pub(crate) damaged: u64,
}

/// Reckons once everything that is in the spool has come to its end. `counted` is what [`Noted::ledger`] said, and
/// the ends that were counted since.
pub(crate) fn reckon(noted: &Noted, segments: Segments, counted: Ledger) -> Reckoned {
    let mut ledger = Ledger {
        spooled: 0,
        ..counted
    };
    let ends = ends_in_spool(&ledger);
    let appended = match noted.appended() {
        Some(counted) if segments.appended > 0 => counted.max(segments.appended),
        // No segment tells: a record was appended and not counted yet when the process died.
        Some(counted) => counted.max(ends.saturating_sub(ledger.recovered)),
        None => {
            let seen = ends.saturating_sub(ledger.recovered);
            seen.max(segments.appended + segments.damaged)
        }
    };
    let damaged = (appended + ledger.recovered).saturating_sub(ends);
    ledger.add_dropped(DropReason::Damaged, damaged);
    let beside = ends_of(&ledger) - ends_in_spool(&ledger);
    ledger.offered = appended + beside;
    count_once(&mut ledger);
    Reckoned { ledger, damaged }
}

/// What was counted twice is counted once.
fn count_once(ledger: &mut Ledger) {
    let surplus = ends_of(ledger).saturating_sub(ledger.offered + ledger.recovered);
    let counted_twice = surplus.min(ledger.stored);
    ledger.stored -= counted_twice;
    ledger.recovered += surplus - counted_twice;
}

#[cfg(test)]
mod tests;
