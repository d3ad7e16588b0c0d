//! Whether every record of a window is accounted for.

use std::collections::{BTreeMap, HashMap, HashSet};

use executor_core::ports::{
    Evidence, LiveSession, SessionHour, SessionStatus, StoredSession, Window,
};
use executor_core::{DropReason, Ledger, SessionId, Timestamp};

const HOUR_US: i64 = 3_600_000_000;

/// A session that gives no sign of life for this long may have ended: two heartbeats.
const SILENCE_US: i64 = 60_000_000;

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The answer in one word.
    pub verdict: Verdict,
    /// What is missing, or does not add up, in the order of time.
    pub holes: Vec<Hole>,
    /// What could not be looked at, in the order of time.
    pub not_known: Vec<NotKnown>,
    /// The times in which no session lived. They are told and are no holes.
    pub idle: Vec<(Timestamp, Timestamp)>,
    /// The number of rows that were stored in the window's hours, pruned ones included.
    pub stored: u64,
    /// The number of those that were pruned.
    pub pruned: u64,
    /// The number of records that were given up, as episodes of loss tell.
    pub dropped: u64,
}

/// The answer of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is stored, pruned by a rule, or left out by the recording policy.
    Complete,
    /// Records are missing; the holes say which.
    Incomplete,
    /// Nothing is known to be missing, but not everything could be looked at.
    CannotTell,
}

impl Verdict {
    /// Returns it in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// A hole in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The session whose records are missing; `None` for rollups, which belong to all.
    pub session: Option<SessionId>,
    /// The beginning of the stretch in which they are missing.
    pub from: Timestamp,
    /// The end of that stretch.
    pub to: Timestamp,
    /// The number of missing or surplus records.
    pub count: u64,
    /// What is known of the cause.
    pub cause: Cause,
}

/// The cause of a hole, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// They were given up, for this reason.
    Dropped(DropReason),
    /// Rows were stored and not pruned, and are not there: somebody else deleted them, or the file was damaged.
    RowsGone,
    /// Rows are there that this store has not stored.
    RowsAppeared,
    /// The session's process was told that more were stored than the store has counted: the database was replaced, or
    /// set back to an earlier state.
    NeverStored,
    /// The ledger of an ended session does not balance.
    Unaccounted,
    /// The rollups count other executions than were stored.
    RollupsDiffer,
}

impl Cause {
    /// Returns it in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped(reason) => reason.as_str(),
            Self::RowsGone => "rows deleted",
            Self::RowsAppeared => "rows of unknown origin",
            Self::NeverStored => "database replaced or set back",
            Self::Unaccounted => "ledger does not balance",
            Self::RollupsDiffer => "rollups differ",
        }
    }
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotKnown {
    /// The session.
    pub session: SessionId,
    /// The beginning of the stretch of which nothing is known.
    pub from: Timestamp,
    /// The end of that stretch.
    pub to: Timestamp,
    /// What was not looked at.
    pub what: NotLookedAt,
}

/// What could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotLookedAt {
    /// The session is older than the counting of rows.
    Older,
    /// It died with its records in memory; what it had offered since its last heartbeat is not known.
    Memory,
    /// Its records wait in a spool.
    Spool {
        /// The machine with the spool.
        host: String,
        /// Their number, if that is known.
        waiting: Option<u64>,
    },
}

/// Audits a window.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use executor_core::ports::{History, LiveState, Progress, Window};
/// use executor_service::{CommandExecutor, diagnosis::{Verdict, audit}};
/// use executor_testkit::MemoryStore;
///
/// let history = MemoryStore::new();
/// let executor = CommandExecutor::builder(history.clone()).start().await?;
/// let window = Window::default();
/// let live = executor.sessions().await?; // before the evidence
/// let evidence = history.evidence(window.clone(), Progress::ignored()).await?;
/// assert_eq!(audit(&evidence, &live, &window).verdict, Verdict::Complete);
/// # Ok(())
/// # }
/// ```
///
/// `live` is the live state of this machine, read before the evidence; else records that were stored
/// in between would count as missing.
pub fn audit(evidence: &Evidence, live: &[LiveSession], window: &Window) -> Audit {
    let mut audit = Audit {
        verdict: Verdict::Complete,
        holes: Vec::new(),
        not_known: Vec::new(),
        idle: idle(&evidence.sessions, window),
        stored: evidence.hours.iter().map(|hour| hour.stored).sum(),
        pruned: evidence.hours.iter().map(|hour| hour.pruned).sum(),
        dropped: evidence.gaps.iter().map(|gap| gap.count).sum(),
    };
    audit.holes.extend(evidence.gaps.iter().map(|gap| Hole {
        session: Some(gap.session),
        from: gap.first_at,
        to: gap.last_at,
        count: gap.count,
        cause: Cause::Dropped(gap.reason),
    }));
    let live: HashMap<SessionId, &LiveSession> =
        live.iter().map(|it| (it.session.id, it)).collect();
    for session in &evidence.sessions {
        let live = live.get(&session.session.id).copied();
        audit.look_at(session, live, evidence, window);
    }
    audit.look_at_rollups(evidence);
    audit.conclude()
}

impl Audit {
    fn look_at(
        &mut self,
        session: &StoredSession,
        live: Option<&LiveSession>,
        evidence: &Evidence,
        window: &Window,
    ) {
        if !session.counts.is_counted {
            return self.does_not_know(session, session.session.started_at, NotLookedAt::Older);
        }
        let id = session.session.id;
        let hours = evidence.hours.iter().filter(|hour| hour.session == id);
        self.holes.extend(hours.filter_map(hole_of_hour));
        self.look_at_ledger(session, live);
        if is_whole(session, window) {
            self.look_at_losses(session, evidence);
        }
        self.look_for_leftovers(session, live);
    }

    fn look_at_ledger(&mut self, session: &StoredSession, live: Option<&LiveSession>) {
        let ledger = &session.ledger;
        let ended = session.counts.is_final;
        if ended && !ledger.is_balanced() {
            let (came_in, ends) = (ledger.offered + ledger.recovered, ends_of(ledger));
            self.is_missing(session, came_in.abs_diff(ends), Cause::Unaccounted);
        }
        let of_process = live.and_then(|live| live.ledger.as_ref());
        let told = [Some(ledger), of_process].into_iter().flatten();
        // Records of others that it took over are rows of theirs.
        let own = told.map(|ledger| ledger.stored.saturating_sub(ledger.recovered));
        let lost = own.max().unwrap_or(0).saturating_sub(session.counts.stored);
        if lost > 0 {
            self.is_missing(session, lost, Cause::NeverStored);
        }
    }

    /// Looks for losses of an ended session that no episode tells.
    fn look_at_losses(&mut self, session: &StoredSession, evidence: &Evidence) {
        if !session.counts.is_final {
            return;
        }
        for reason in DropReason::ALL {
            let is_its = |gap: &&executor_core::ports::Gap| {
                gap.session == session.session.id && gap.reason == reason
            };
            let told: u64 = evidence
                .gaps
                .iter()
                .filter(is_its)
                .map(|gap| gap.count)
                .sum();
            let untold = session.ledger.dropped(reason).saturating_sub(told);
            if untold > 0 {
                self.dropped += untold;
                self.is_missing(session, untold, Cause::Dropped(reason));
            }
        }
    }

    /// Looks for records that an ended session left elsewhere.
    fn look_for_leftovers(&mut self, session: &StoredSession, live: Option<&LiveSession>) {
        let spool = |waiting| NotLookedAt::Spool {
            host: session.session.host.clone(),
            waiting,
        };
        let seen = live.filter(|live| live.unreadable.is_none());
        let seen = seen.map(|live| live.waiting);
        let (from, ledger) = (session.heartbeat_at, &session.ledger);
        if session.status == SessionStatus::Crashed && !session.counts.is_final {
            let what = match ledger.durability {
                Some(_) => spool(seen),
                None => NotLookedAt::Memory,
            };
            self.does_not_know(session, from, what);
        } else if session.counts.is_final && ledger.spooled > 0 {
            self.does_not_know(session, from, spool(seen.or(Some(ledger.spooled))));
        }
    }

    fn look_at_rollups(&mut self, evidence: &Evidence) {
        let mut stored: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for hour in &evidence.hours {
            *stored.entry(hour.hour_at).or_default() += hour.stored;
        }
        let rolled_up = evidence
            .rollups
            .iter()
            .map(|hour| (hour.hour_at, hour.count));
        let rolled_up: BTreeMap<Timestamp, u64> = rolled_up.collect();
        let older = Uncounted::of(evidence);
        let mut hours: Vec<Timestamp> = stored.keys().chain(rolled_up.keys()).copied().collect();
        hours.sort_unstable();
        hours.dedup();
        for hour in hours.into_iter().filter(|hour| !older.may_be_in(*hour)) {
            let count = |counts: &BTreeMap<_, u64>| counts.get(&hour).copied().unwrap_or(0);
            let differ = count(&stored).abs_diff(count(&rolled_up));
            if differ > 0 {
                self.holes.push(Hole {
                    session: None,
                    from: hour,
                    to: end_of(hour),
                    count: differ,
                    cause: Cause::RollupsDiffer,
                });
            }
        }
    }

    fn is_missing(&mut self, session: &StoredSession, count: u64, cause: Cause) {
        self.holes.push(Hole {
            session: Some(session.session.id),
            from: session.session.started_at,
            to: last_sign(session),
            count,
            cause,
        });
    }

    fn does_not_know(&mut self, session: &StoredSession, from: Timestamp, what: NotLookedAt) {
        self.not_known.push(NotKnown {
            session: session.session.id,
            from,
            to: last_sign(session),
            what,
        });
    }

    fn conclude(mut self) -> Self {
        self.holes.sort_by_key(|hole| (hole.from, hole.to));
        self.not_known.sort_by_key(|it| (it.from, it.to));
        self.verdict = match (self.holes.is_empty(), self.not_known.is_empty()) {
            (false, _) => Verdict::Incomplete,
            (true, false) => Verdict::CannotTell,
            (true, true) => Verdict::Complete,
        };
        self
    }
}

fn hole_of_hour(hour: &SessionHour) -> Option<Hole> {
    let there = hour.rows + hour.pruned;
    let cause = match there.cmp(&hour.stored) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => Cause::RowsGone,
        std::cmp::Ordering::Greater => Cause::RowsAppeared,
    };
    Some(Hole {
        session: Some(hour.session),
        from: hour.hour_at,
        to: end_of(hour.hour_at),
        count: there.abs_diff(hour.stored),
        cause,
    })
}

fn end_of(hour: Timestamp) -> Timestamp {
    Timestamp::from_micros(hour.as_micros().saturating_add(HOUR_US))
}

fn ends_of(ledger: &Ledger) -> u64 {
    ledger.stored + ledger.waiting + ledger.spooled + ledger.filtered + ledger.total_dropped()
}

fn last_sign(session: &StoredSession) -> Timestamp {
    let stopped = session.stopped_at.unwrap_or(session.heartbeat_at);
    stopped.max(session.heartbeat_at)
}

/// Returns whether a session lived within the window only.
fn is_whole(session: &StoredSession, window: &Window) -> bool {
    let (from, to) = (session.session.started_at, last_sign(session));
    window.from.is_none_or(|begin| begin <= from) && window.to.is_none_or(|end| to < end)
}

/// Sessions that are older than the counting: rollups may hold executions of theirs.
struct Uncounted {
    lives: Vec<(Timestamp, Timestamp)>,
    hours: HashSet<Timestamp>,
}

impl Uncounted {
    fn of(evidence: &Evidence) -> Self {
        let older = evidence.sessions.iter();
        let older: Vec<_> = older.filter(|it| !it.counts.is_counted).collect();
        let names: HashSet<SessionId> = older.iter().map(|it| it.session.id).collect();
        let hours = evidence.hours.iter();
        let hours = hours.filter(|hour| names.contains(&hour.session));
        Self {
            lives: older
                .iter()
                .map(|it| (it.session.started_at, last_sign(it)))
                .collect(),
            hours: hours.map(|hour| hour.hour_at).collect(),
        }
    }

    fn may_be_in(&self, hour: Timestamp) -> bool {
        // An execution may end a while after the last heartbeat of a process that was killed.
        let lived =
            |(from, to): &(Timestamp, Timestamp)| *from < end_of(hour) && end_of(*to) >= hour;
        self.hours.contains(&hour) || self.lives.iter().any(lived)
    }
}

/// Returns the times of a window in which no session lived.
fn idle(sessions: &[StoredSession], window: &Window) -> Vec<(Timestamp, Timestamp)> {
    let mut lives: Vec<(Timestamp, Timestamp)> = sessions
        .iter()
        .map(|session| (session.session.started_at, last_sign(session)))
        .collect();
    lives.sort_unstable();
    let Some((first, _)) = lives.first().copied() else {
        return Vec::new();
    };
    let mut idle = Vec::new();
    let mut until = window.from.unwrap_or(first);
    for (from, to) in lives {
        if from.as_micros().saturating_sub(until.as_micros()) > SILENCE_US {
            idle.push((until, from));
        }
        until = until.max(to);
    }
    idle
}

#[cfg(test)]
mod tests;
