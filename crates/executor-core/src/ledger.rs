//! The ledger: counts that account for every record. The service counts records as it moves them, and the store keeps
//! the ledger in each session's row. This module holds only the types that both share.

use std::fmt;

/// The reason why a record was given up.
///
/// ```
/// assert_eq!(executor_core::DropReason::Overflow.as_str(), "overflow");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The queue was full.
    Overflow,
    /// The record was retried as often, or kept as long, as the bounds allow.
    Exhausted,
    /// The row breaks a rule of the tables.
    Constraint,
    /// The row cannot be written by this code into this schema.
    Unstorable,
    /// It was damaged in the spool.
    Damaged,
    /// The service ended before the store took it.
    Shutdown,
}

impl DropReason {
    /// Every reason, in the order of the ledger.
    pub const ALL: [Self; 6] = [
        Self::Overflow,
        Self::Exhausted,
        Self::Constraint,
        Self::Unstorable,
        Self::Damaged,
        Self::Shutdown,
    ];

    /// Returns its name in logs, tables and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Exhausted => "exhausted",
            Self::Constraint => "constraint",
            Self::Unstorable => "unstorable",
            Self::Damaged => "damaged",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The failures that a record survives once its execution has returned.
///
/// ```
/// assert_eq!(executor_core::Durability::Power.as_str(), "power");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process, at any instant. Costs no system call. The default.
    #[default]
    Process,
    /// The death of the machine too, once the record is synced: at most 50 ms later, plus the time the disk takes.
    /// The store also commits with full synchronisation, so records that have left the spool survive as well.
    Power,
}

impl Durability {
    /// Every level, the weakest first.
    pub const ALL: [Self; 2] = [Self::Process, Self::Power];

    /// Returns its name in configuration, tables and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// Counts of records by where they are now. It balances whenever it is read.
///
/// ```
/// use executor_core::{DropReason, Ledger};
///
/// let mut ledger = Ledger { offered: 5, stored: 3, ..Ledger::default() };
/// ledger.add_dropped(DropReason::Overflow, 2);
/// assert!(ledger.is_balanced());
/// assert_eq!(ledger.to_string(), "offered 5, stored 3, dropped[overflow] 2");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Given to the service by executions of this process.
    pub offered: u64,
    /// Taken over from an earlier process.
    pub recovered: u64,
    /// Rows in the store, including those that were already there.
    pub stored: u64,
    /// In the queue, in the current batch, or waiting for a retry.
    pub waiting: u64,
    /// On disk, for a later process.
    pub spooled: u64,
    /// Left out by the recording policy.
    pub filtered: u64,
    /// Given up, by reason, in the order of [`DropReason::ALL`].
    pub dropped: [u64; 6],
    /// The durability of waiting records, fixed when the spool was made; `None` if they wait in memory and die with
    /// the process, and in a session's row until it is known.
    pub durability: Option<Durability>,
    /// True if its counters were damaged, so that it was rebuilt from what can be counted.
    pub is_rebuilt: bool,
}

impl Ledger {
    /// Counts `count` records as given up.
    pub const fn add_dropped(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason as usize] += count;
    }

    /// Counts records that were taken over from an earlier process and are now stored or given up.
    pub fn add_recovered(&mut self, stored: u64, dropped: &[(DropReason, u64)]) {
        self.stored += stored;
        self.recovered += stored;
        for (reason, count) in dropped {
            self.add_dropped(*reason, *count);
            self.recovered += count;
        }
    }

    /// Returns how many records were given up for this reason.
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Returns how many records were given up for any reason.
    pub fn total_dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Returns `true` if every record that came in is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.offered + self.recovered
            == self.stored + self.waiting + self.spooled + self.filtered + self.total_dropped()
    }
}

impl fmt::Display for Ledger {
    /// One line, all zeros left out except `offered` and `stored`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offered {}, stored {}", self.offered, self.stored)?;
        let others = [
            ("recovered", self.recovered),
            ("waiting", self.waiting),
            ("spooled", self.spooled),
            ("filtered", self.filtered),
        ];
        let dropped = DropReason::ALL.map(|reason| (reason.as_str(), self.dropped(reason)));
        for (name, count) in others.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, ", {name} {count}")?;
        }
        for (reason, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, ", dropped[{reason}] {count}")?;
        }
        if let Some(durability) = self.durability {
            write!(f, ", durability {}", durability.as_str())?;
        }
        if self.is_rebuilt {
            write!(f, ", rebuilt after damage")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
