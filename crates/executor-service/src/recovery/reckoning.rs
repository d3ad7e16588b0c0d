//! Computes the final ledger of a dead session, as a pure function of its counters, its segments, and the fates of
//! the records that were found.
//!
//! The number of appended records is known twice, from the counters and from the segments, each of which says how
//! many records lie before it. Stored records are counted by fates, and a fate is noted before its frame is
//! marked, so a process that dies in between has counted records that are found again. If more fates are counted
//! than records were appended, that is the cause; if fewer, the rest is damaged. If the count itself is damaged,
//! the store is asked: no record counts as stored merely because other numbers do not add up.

use executor_core::{DropReason, Durability, Ledger, Timestamp};

/// Counts by reason, in the order of [`DropReason::ALL`].
pub(crate) type Counts = [u64; DropReason::ALL.len()];

/// The values of the counters beside a spool; a damaged one is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) offered: Option<u64>,
    pub(crate) recovered: Option<u64>,
    pub(crate) stored: Option<u64>,
    pub(crate) filtered: Option<u64>,
    pub(crate) dropped: [Option<u64>; DropReason::ALL.len()],
    /// The number of losses that the store knows of.
    pub(crate) told: [Option<u64>; DropReason::ALL.len()],
    pub(crate) durability: Option<Durability>,
    pub(crate) heartbeat: Option<Timestamp>,
}

/// Reasons for losing records that were in the spool; records lost for other reasons never entered it.
const IN_SPOOL: [DropReason; 3] = [
    DropReason::Constraint,
    DropReason::Unstorable,
    DropReason::Damaged,
];

impl Noted {
    /// Returns whether only the store knows how many records were stored.
    pub(crate) const fn needs_stored(&self) -> bool {
        self.stored.is_none() || self.recovered.is_none()
    }

    /// Fills damaged counts from the store: `own` of the session's own records are stored, besides those that it
    /// took over.
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

    /// Returns whether all counters are undamaged.
    pub(crate) fn is_whole(&self) -> bool {
        let singles = [self.offered, self.recovered, self.stored, self.filtered];
        let all = singles.iter().chain(&self.dropped).chain(&self.told);
        all.into_iter().all(Option::is_some)
    }

    /// Returns the ledger from the undamaged counters. In place of a damaged count of losses it uses the number
    /// that the store knows of.
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

    /// Returns how many losses of each reason the store knew of. A damaged count is taken as all of them:
    /// reporting a loss twice would count it twice.
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

    /// Returns how many records were appended, as far as the counters tell.
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

/// Counts the settled records that were in the spool, including those taken over from elsewhere.
fn ends_in_spool(ledger: &Ledger) -> u64 {
    let dropped = IN_SPOOL.iter().map(|reason| ledger.dropped(*reason));
    ledger.stored + dropped.sum::<u64>()
}

/// The values that the segments give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    /// The minimum number of records appended; 0 if no segment says.
    pub(crate) appended: u64,
    /// The number of frames known to be damaged. Each may have been a record, and counts as one if the counters do
    /// not tell.
    pub(crate) damaged: u64,
}

/// The final ledger of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reckoned {
    pub(crate) ledger: Ledger,
    /// Lost records, except those that were counted as lost before.
    pub(crate) damaged: u64,
}

/// Computes the final ledger, once every record in the spool is settled. `counted` is [`Noted::ledger`] plus the
/// fates counted since.
pub(crate) fn reckon(noted: &Noted, segments: Segments, counted: Ledger) -> Reckoned {
    let mut ledger = Ledger {
        spooled: 0,
        ..counted
    };
    let ends = ends_in_spool(&ledger);
    let appended = match noted.appended() {
        Some(counted) if segments.appended > 0 => counted.max(segments.appended),
        // No segment says. A record may have been appended but not counted when the process died.
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

/// Removes double counts.
fn count_once(ledger: &mut Ledger) {
    let surplus = ends_of(ledger).saturating_sub(ledger.offered + ledger.recovered);
    let counted_twice = surplus.min(ledger.stored);
    ledger.stored -= counted_twice;
    ledger.recovered += surplus - counted_twice;
}

#[cfg(test)]
mod tests;
