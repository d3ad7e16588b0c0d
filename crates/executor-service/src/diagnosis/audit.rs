//! Decides whether every record of a window is accounted for.

use std::collections::{BTreeMap, HashMap, HashSet};

use executor_core::ports::{
    Evidence, GapReason, LiveSession, Session, SessionHour, SessionStatus, StoredSession, Window,
};
use executor_core::{DropReason, Ledger, SessionId, Timestamp};

use super::alive::SILENCE;
use super::findings::{Audit, Cause, Hole, NotKnown, NotLookedAt, Verdict};

const HOUR_US: i64 = 3_600_000_000;

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
/// `live` is the live state of this machine, read before the evidence; otherwise records that were stored in between
/// would count as missing.
pub fn audit(evidence: &Evidence, live: &[LiveSession], window: &Window) -> Audit {
    let mut looking = Looking::at(evidence, live, window);
    for session in &evidence.sessions {
        looking.at_session(session);
    }
    let stored: HashSet<SessionId> = evidence.sessions.iter().map(|it| it.session.id).collect();
    for live in live
        .iter()
        .filter(|live| !stored.contains(&live.session.id))
    {
        looking.at_unstored(live);
    }
    looking.at_rollups();
    looking.audit.conclude()
}

/// An audit in progress, with what it looks at sorted by session.
struct Looking<'e> {
    evidence: &'e Evidence,
    window: &'e Window,
    hours: HashMap<SessionId, Vec<&'e SessionHour>>,
    /// The losses that episodes report.
    told: HashMap<(SessionId, GapReason), u64>,
    live: HashMap<SessionId, &'e LiveSession>,
    audit: Audit,
}

impl<'e> Looking<'e> {
    fn at(evidence: &'e Evidence, live: &'e [LiveSession], window: &'e Window) -> Self {
        let mut hours: HashMap<SessionId, Vec<&SessionHour>> = HashMap::new();
        for hour in &evidence.hours {
            hours.entry(hour.session).or_default().push(hour);
        }
        let mut told = HashMap::new();
        for gap in &evidence.gaps {
            *told.entry((gap.session, gap.reason)).or_default() += gap.count;
        }
        let holes = evidence.gaps.iter().map(|gap| Hole {
            session: Some(gap.session),
            from: gap.first_at,
            to: gap.last_at,
            count: gap.count,
            cause: match gap.reason {
                GapReason::Dropped(reason) => Cause::Dropped(reason),
                _ => Cause::RolledBack,
            },
        });
        let audit = Audit {
            verdict: Verdict::Complete,
            holes: holes.collect(),
            not_known: Vec::new(),
            idle: idle(&evidence.sessions, window),
            stored: evidence.hours.iter().map(|hour| hour.stored).sum(),
            pruned: evidence.hours.iter().map(|hour| hour.pruned).sum(),
            dropped: evidence.gaps.iter().map(|gap| gap.count).sum(),
            waiting: 0,
        };
        Self {
            evidence,
            window,
            hours,
            told,
            live: live.iter().map(|it| (it.session.id, it)).collect(),
            audit,
        }
    }

    fn at_session(&mut self, session: &StoredSession) {
        let (begun, end) = (session.session.started_at, last_sign(session));
        if !session.counts.is_counted {
            return self.does_not_know(session.session.id, (begun, end), NotLookedAt::Older);
        }
        if session.ledger.is_rebuilt {
            self.does_not_know(session.session.id, (begun, end), NotLookedAt::Rebuilt);
        }
        let hours = self.hours.get(&session.session.id).into_iter().flatten();
        self.audit
            .holes
            .extend(hours.filter_map(|hour| hole_of_hour(hour)));
        self.at_ledger(session);
        if session.counts.is_final && is_whole(session, self.window) {
            self.at_losses(session);
        }
        self.at_what_is_elsewhere(session);
    }

    fn at_ledger(&mut self, session: &StoredSession) {
        let ledger = &session.ledger;
        if session.counts.is_final && !ledger.is_balanced() {
            let (came_in, ends) = (ledger.offered + ledger.recovered, ends_of(ledger));
            self.is_missing(session, came_in.abs_diff(ends), Cause::Unaccounted);
        }
        let live = self.live.get(&session.session.id);
        let of_process = live.and_then(|live| live.ledger.as_ref());
        let told = [Some(ledger), of_process].into_iter().flatten();
        // Records of other sessions that it took over are rows of those sessions.
        let own = told.map(|ledger| ledger.stored.saturating_sub(ledger.recovered));
        let lost = own.max().unwrap_or(0).saturating_sub(session.counts.stored);
        let taken_back = self.told.get(&(session.session.id, GapReason::RolledBack));
        let lost = lost.saturating_sub(taken_back.copied().unwrap_or(0));
        if lost > 0 {
            self.is_missing(session, lost, Cause::NeverStored);
        }
    }

    /// Looks for losses of an ended session that no episode reports.
    fn at_losses(&mut self, session: &StoredSession) {
        for reason in DropReason::ALL {
            let told = self.told.get(&(session.session.id, reason.into()));
            let told = told.copied().unwrap_or(0) + self.told_of_others(session, reason);
            let lost = session.ledger.dropped(reason).saturating_sub(told);
            if lost > 0 {
                self.audit.dropped += lost;
                self.is_missing(session, lost, Cause::Dropped(reason));
            }
        }
    }

    /// Returns the losses of other sessions that were found while this one lived. Those that it took over are in its
    /// ledger too.
    fn told_of_others(&self, session: &StoredSession, reason: DropReason) -> u64 {
        let life = session.session.started_at..=last_sign(session);
        let gaps = self.evidence.gaps.iter();
        let of_others = gaps.filter(|gap| {
            gap.session != session.session.id
                && gap.reason == reason.into()
                && life.contains(&gap.first_at)
        });
        let count: u64 = of_others.map(|gap| gap.count).sum();
        count.min(session.ledger.recovered)
    }

    /// Looks for records of a session that have not reached the store.
    fn at_what_is_elsewhere(&mut self, session: &StoredSession) {
        let live = self.live.get(&session.session.id).copied();
        let (id, ledger) = (session.session.id, &session.ledger);
        let stretch = (session.heartbeat_at, self.end_of(session));
        if session.counts.is_final {
            if ledger.spooled > 0 {
                let waiting = live.and_then(seen_waiting).or(Some(ledger.spooled));
                self.does_not_know(id, stretch, spool_of(&session.session, waiting));
            }
            return;
        }
        let is_dead = session.status == SessionStatus::Crashed;
        match live {
            Some(live) if is_dead || !live.is_alive || live.unreadable.is_some() => {
                self.does_not_know(id, stretch, spool_of(&live.session, seen_waiting(live)));
            }
            Some(live) => self.audit.waiting += live.waiting,
            None if is_dead && ledger.durability.is_some() => {
                self.does_not_know(id, stretch, spool_of(&session.session, None));
            }
            None if is_dead => self.does_not_know(id, stretch, NotLookedAt::Memory),
            // Nobody here can see whether it lives.
            None if session.by_server.is_some_and(|seen| seen.ago > SILENCE) => {
                self.does_not_know(id, stretch, spool_of(&session.session, None));
            }
            None => {}
        }
    }

    /// Looks at a session that the store has not heard of.
    fn at_unstored(&mut self, live: &LiveSession) {
        let holds_some = live.waiting > 0 || !live.is_alive || live.unreadable.is_some();
        let is_in = self.window.to.is_none_or(|to| live.session.started_at < to);
        // A session that lived before the window, if it is in the store, is not in the evidence either.
        let may_be_in = live.waiting > 0 || self.window.from.is_none();
        if holds_some && is_in && may_be_in {
            let stretch = (live.session.started_at, Timestamp::MAX);
            let spool = spool_of(&live.session, seen_waiting(live));
            self.does_not_know(live.session.id, stretch, spool);
        }
    }

    fn at_rollups(&mut self) {
        let mut stored: BTreeMap<Timestamp, u64> = BTreeMap::new();
        for hour in &self.evidence.hours {
            *stored.entry(hour.hour_at).or_default() += hour.stored;
        }
        let rolled_up = self.evidence.rollups.iter();
        let rolled_up: BTreeMap<Timestamp, u64> =
            rolled_up.map(|hour| (hour.hour_at, hour.count)).collect();
        let older = Uncounted::of(self.evidence);
        let mut hours: Vec<Timestamp> = stored.keys().chain(rolled_up.keys()).copied().collect();
        hours.sort_unstable();
        hours.dedup();
        for hour in hours.into_iter().filter(|hour| !older.may_be_in(*hour)) {
            let count = |counts: &BTreeMap<_, u64>| counts.get(&hour).copied().unwrap_or(0);
            let differ = count(&stored).abs_diff(count(&rolled_up));
            if differ > 0 {
                self.audit.holes.push(Hole {
                    session: None,
                    from: hour,
                    to: end_of(hour),
                    count: differ,
                    cause: Cause::RollupsDiffer,
                });
            }
        }
    }

    /// Returns the end of the stretch in which an unfinished session may have lived: the next start on its machine.
    fn end_of(&self, session: &StoredSession) -> Timestamp {
        if session.counts.is_final {
            return last_sign(session);
        }
        let of_host = self.evidence.sessions.iter().map(|it| &it.session);
        let of_host = of_host.filter(|it| it.host == session.session.host);
        let later = of_host.map(|it| it.started_at);
        let later = later.filter(|at| *at > session.heartbeat_at);
        later.min().unwrap_or(Timestamp::MAX)
    }

    fn is_missing(&mut self, session: &StoredSession, count: u64, cause: Cause) {
        self.audit.holes.push(Hole {
            session: Some(session.session.id),
            from: session.session.started_at,
            to: last_sign(session),
            count,
            cause,
        });
    }

    /// Notes a stretch, if it meets the window.
    fn does_not_know(
        &mut self,
        session: SessionId,
        (from, to): (Timestamp, Timestamp),
        what: NotLookedAt,
    ) {
        let is_before = self.window.from.is_some_and(|begin| to < begin);
        let is_after = self.window.to.is_some_and(|end| from >= end);
        if !is_before && !is_after {
            self.audit.not_known.push(NotKnown {
                session,
                from,
                to,
                what,
            });
        }
    }
}

/// Returns how many records wait in a spool, if it can be read.
fn seen_waiting(live: &LiveSession) -> Option<u64> {
    live.unreadable.is_none().then_some(live.waiting)
}

fn spool_of(session: &Session, waiting: Option<u64>) -> NotLookedAt {
    NotLookedAt::Spool {
        host: session.host.clone(),
        waiting,
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

/// Returns whether a session lived only within the window.
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
    let first = lives.first().map(|(from, _)| *from);
    let Some(mut until) = window.from.or(first) else {
        return Vec::new();
    };
    let end = window.to.unwrap_or(Timestamp::MAX);
    let mut idle = Vec::new();
    // The end of the window ends the last stretch, if it has one.
    let ends = window.to.map(|to| (to, to));
    for (from, to) in lives.into_iter().chain(ends) {
        let from = from.min(end);
        if from.saturating_duration_since(until) > SILENCE {
            idle.push((until, from));
        }
        until = until.max(to);
    }
    idle
}

#[cfg(test)]
mod tests;
