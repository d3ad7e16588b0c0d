//! How the ledger of a dead session comes out: what its counters say, what its segments say, and what became of the
//! records that were found. A pure function of the three.
//!
//! What was appended is known twice, from the counters and from the segments, each of which tells how many records
//! lie before it. What was stored is counted by fates, and a fate is noted before its frame is marked: so a process
//! that dies in between has counted records that are found again. Where more ends are counted than records were
//! appended, that is what has happened; where fewer are, the others are damaged.

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
pub(crate) struct Found {
    /// How many records were appended at least; 0 where no segment tells.
    pub(crate) appended: u64,
    /// How many frames are known to be damaged.
    pub(crate) damaged: u64,
}

/// How a ledger came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reckoned {
    pub(crate) ledger: Ledger,
    /// Records that are lost, those of them that were counted as lost before left out.
    pub(crate) damaged: u64,
    /// Counters were damaged: it is put together from what can be counted.
    pub(crate) is_rebuilt: bool,
}

/// Reckons once everything that is in the spool has come to its end. `counted` is what [`Noted::ledger`] said, and
/// the ends that were counted since.
pub(crate) fn reckon(noted: &Noted, found: Found, counted: Ledger) -> Reckoned {
    let is_rebuilt = !noted.is_whole();
    let mut ledger = Ledger {
        spooled: 0,
        ..counted
    };
    let ends = ends_in_spool(&ledger);
    let by_counters = noted.appended();
    let appended = match (by_counters, found.appended) {
        // No segment tells: a record was appended and not counted yet when the process died.
        (Some(counted), 0) => counted.max(ends.saturating_sub(ledger.recovered)),
        (Some(counted), appended) => counted.max(appended),
        (None, 0) => ends.saturating_sub(ledger.recovered),
        (None, appended) => appended,
    };
    let is_countable = noted.stored.is_some() && noted.recovered.is_some();
    let damaged = if is_countable {
        (appended + ledger.recovered).saturating_sub(ends)
    } else {
        found
            .damaged
            .min((appended + ledger.recovered).saturating_sub(ends))
    };
    ledger.add_dropped(DropReason::Damaged, damaged);
    let beside = ends_of(&ledger) - ends_in_spool(&ledger);
    ledger.offered = appended + beside;
    balance(&mut ledger, noted.recovered.is_some());
    Reckoned {
        ledger,
        damaged,
        is_rebuilt,
    }
}

/// What was counted twice is counted once; what a damaged counter does not tell is what is left over.
fn balance(ledger: &mut Ledger, knows_recovered: bool) {
    let (ins, outs) = (ledger.offered + ledger.recovered, ends_of(ledger));
    ledger.stored += ins.saturating_sub(outs);
    let surplus = outs.saturating_sub(ins);
    let counted_twice = if knows_recovered {
        surplus.min(ledger.stored)
    } else {
        0
    };
    ledger.stored -= counted_twice;
    ledger.recovered += surplus - counted_twice;
}

#[cfg(test)]
mod tests;
