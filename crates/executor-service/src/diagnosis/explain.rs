//! Decides why something ran or did not run at a time: the first reason for which there is evidence.

use std::time::Duration;

use executor_core::ports::{MissedRuns, Pause, SessionStatus, StoredExecution, StoredSession};
use executor_core::{Status, Timestamp};

use super::alive::SILENCE;
use super::explanation::{Doubt, Explanation};
use super::facts::{Facts, NEAR, Question};
use crate::schedule::Schedule;

/// Explains what happened to a listener or a job at a time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_core::ports::HistoryError> {
/// use executor_core::Timestamp;
/// use executor_service::diagnosis::{Explanation, Facts, Question, explain};
/// use executor_testkit::MemoryStore;
///
/// let question = Question::new("house", "backup", Timestamp::from_micros(1_767_225_600_000_000));
/// let facts = Facts::read(&MemoryStore::new(), &question).await?;
/// assert_eq!(explain(&question, &facts), Explanation::NeverHeardOf);
/// # Ok(())
/// # }
/// ```
pub fn explain(question: &Question, facts: &Facts) -> Explanation {
    let missed = missed(question, facts);
    if let Some((ran_off, ran)) = ran(question, facts) {
        // Of runs that are due each minute the one that was missed may be nearer than the one that ran.
        return match missed {
            Some((missed_off, missed)) if missed_off < ran_off => {
                Explanation::Missed(missed.clone())
            }
            _ => ran,
        };
    }
    if let Some(running) = running(question, facts) {
        return running;
    }
    if let Some((_, missed)) = missed {
        return Explanation::Missed(missed.clone());
    }
    if let Some(pause) = paused(question, facts) {
        return Explanation::Paused(pause.clone());
    }
    if facts.registrations.is_empty() {
        return Explanation::NeverHeardOf;
    }
    if let Some(at) = removed(question, facts) {
        return Explanation::Removed { at };
    }
    let doubts = doubts(question, facts);
    if !doubts.is_empty() {
        return Explanation::CannotTell(doubts);
    }
    if let Some(not_due) = not_due(question, facts) {
        return not_due;
    }
    if alive(question, facts).next().is_none() {
        return no_process(question, facts);
    }
    if !was_registered(question, facts) {
        return Explanation::NotRegistered;
    }
    match facts.has_listener() {
        true => Explanation::NoEvent,
        false => Explanation::CannotTell(vec![Doubt::Unexplained]),
    }
}

/// How far from the requested time a run may lie and still count as the run in question.
fn tolerance(question: &Question, facts: &Facts) -> Duration {
    let jitter = facts.schedule_at(question.at).map(|it| it.plan.jitter);
    NEAR + jitter.unwrap_or_default()
}

fn distance(one: Timestamp, other: Timestamp) -> Duration {
    Duration::from_micros(one.as_micros().abs_diff(other.as_micros()))
}

/// The last one that had begun by then and has not ended.
fn running(question: &Question, facts: &Facts) -> Option<Explanation> {
    let by = question.at.saturating_add(tolerance(question, facts));
    let all = facts.live.iter().flat_map(|live| {
        let is_alive = live.is_alive;
        live.running.iter().map(move |it| (it, is_alive))
    });
    let begun = all.filter(|(it, _)| question.is_about(&it.entity) && it.started_at <= by);
    let (execution, is_alive) = begun.max_by_key(|(it, _)| it.started_at)?;
    Some(Explanation::Running {
        execution: execution.clone(),
        is_alive,
    })
}

/// The run in question, and how far from the time it was due, or began.
fn ran(question: &Question, facts: &Facts) -> Option<(Duration, Explanation)> {
    let near = tolerance(question, facts);
    let of = |execution: &StoredExecution| {
        let record = &execution.record;
        // The one that was due then, rather than one that happened to begin then.
        let due = record.due_at.map(|due| distance(due, question.at));
        let due = due.filter(|far| *far <= near);
        let begun = Some(distance(record.started_at, question.at)).filter(|far| *far <= near);
        let rank = due.map(|far| (0, far)).or(begun.map(|far| (1, far)))?;
        let was_skipped = record.status == Status::Skipped;
        Some((was_skipped, rank))
    };
    let mut candidates: Vec<_> = facts
        .executions
        .iter()
        .filter_map(|execution| Some((of(execution)?, execution)))
        .collect();
    candidates.sort_by_key(|(rank, _)| *rank);
    let ((was_skipped, (_, off)), execution) = candidates.first()?;
    let (execution, others) = (Box::new((*execution).clone()), candidates.len() as u64 - 1);
    let explanation = match was_skipped {
        true => Explanation::Skipped { execution, others },
        false => Explanation::Ran { execution, others },
    };
    Some((*off, explanation))
}

/// The runs that were missed then, and how far from the time the nearest of them was due.
fn missed<'f>(question: &Question, facts: &'f Facts) -> Option<(Duration, &'f MissedRuns)> {
    let near = tolerance(question, facts);
    let covers = |missed: &&MissedRuns| {
        missed.first_due.saturating_sub(near) <= question.at
            && missed.last_due.saturating_add(near) >= question.at
    };
    let covering = facts.missed.iter().filter(covers);
    let off = covering.filter_map(|missed| Some((off_by(question, facts, missed)?, missed)));
    off.min_by_key(|(off, _)| *off)
}

/// How far the nearest run of an episode is from the time; `None` if that is too far. In the middle of an episode no run
/// need have been due.
fn off_by(question: &Question, facts: &Facts, missed: &MissedRuns) -> Option<Duration> {
    let near = tolerance(question, facts);
    let ends = [missed.first_due, missed.last_due].map(|end| distance(end, question.at));
    let ends = ends.into_iter().min().filter(|off| *off <= near);
    let Some(planned) = planned_near(question, facts) else {
        // Nobody knows when it was due.
        return Some(ends.unwrap_or(near));
    };
    let is_in = |at: &Timestamp| (missed.first_due..=missed.last_due).contains(at);
    let within = planned.filter(is_in).map(|at| distance(at, question.at));
    ends.into_iter().chain(within).min()
}

/// The times near the one in question for which the schedule in force then planned a run; `None` without a schedule whose
/// times are known.
fn planned_near(
    question: &Question,
    facts: &Facts,
) -> Option<impl Iterator<Item = Timestamp> + use<>> {
    let near = tolerance(question, facts);
    let in_force = facts.schedule_at(question.at)?;
    let schedule = Schedule::of_plan(&in_force.plan).filter(Schedule::goes_by_wall_clock)?;
    let (from, last) = (in_force.from, question.at.saturating_add(near));
    let mut after = question.at.saturating_sub(near);
    Some(std::iter::from_fn(move || {
        let next = schedule
            .planned_after(from, after)
            .filter(|next| *next <= last)?;
        after = next;
        Some(next)
    }))
}

fn paused<'f>(question: &Question, facts: &'f Facts) -> Option<&'f Pause> {
    let end_of = |pause: &Pause| {
        let session = facts
            .sessions
            .iter()
            .find(|it| it.session.id == pause.session);
        pause.until.or(session.and_then(last_sign))
    };
    let covers = |pause: &&Pause| {
        pause.from <= question.at && end_of(pause).is_none_or(|end| end >= question.at)
    };
    facts.pauses.iter().find(covers)
}

/// The end of a session, or of what is known of it; `None` while it is running.
fn last_sign(session: &StoredSession) -> Option<Timestamp> {
    match session.status {
        SessionStatus::Running => None,
        _ => Some(session.stopped_at.unwrap_or(session.heartbeat_at)),
    }
}

fn removed(question: &Question, facts: &Facts) -> Option<Timestamp> {
    let times = facts.registrations.iter().map(|registration| {
        let removed = registration.removed_at.into_iter();
        removed.chain(registration.retired_at).min()
    });
    // All of that name are gone.
    let all: Option<Vec<Timestamp>> = times.collect();
    let last = all?.into_iter().max()?;
    (last <= question.at).then_some(last)
}

/// Returns whether the schedule in force then planned a run near the time; `None` without a schedule whose times are
/// known.
fn due_near(question: &Question, facts: &Facts) -> Option<bool> {
    let near = tolerance(question, facts);
    let in_force = facts.schedule_at(question.at)?;
    let schedule = Schedule::of_plan(&in_force.plan).filter(Schedule::goes_by_wall_clock)?;
    let first = schedule.planned_after(in_force.from, question.at.saturating_sub(near));
    let last = question.at.saturating_add(NEAR);
    Some(first.is_some_and(|first| first <= last))
}

fn not_due(question: &Question, facts: &Facts) -> Option<Explanation> {
    if facts.has_listener() {
        return None;
    }
    let Some(in_force) = facts.schedule_at(question.at) else {
        let only_on_demand = facts.schedules.is_empty();
        return only_on_demand.then_some(Explanation::OnDemand);
    };
    let plan = in_force.plan.clone();
    let schedule = Schedule::of_plan(&plan)?;
    if !schedule.goes_by_wall_clock() {
        let is_alive = alive(question, facts).next().is_some();
        let next = facts.next_after(question.at);
        return is_alive.then_some(Explanation::NotDue { plan, next });
    }
    if due_near(question, facts)? {
        return None;
    }
    let next = schedule.planned_after(in_force.from, question.at);
    let next = next.filter(|next| in_force.until.is_none_or(|until| *next < until));
    Some(Explanation::NotDue { plan, next })
}

fn alive<'f>(question: &Question, facts: &'f Facts) -> impl Iterator<Item = &'f StoredSession> {
    let at = question.at;
    facts.sessions.iter().filter(move |session| {
        let end = match session.status {
            SessionStatus::Running => session.heartbeat_at.saturating_add(SILENCE),
            _ => session.stopped_at.unwrap_or(session.heartbeat_at),
        };
        session.session.started_at <= at && end >= at
    })
}

fn no_process(question: &Question, facts: &Facts) -> Explanation {
    let before = facts.sessions.iter();
    let before = before.filter(|it| it.session.started_at <= question.at);
    let last = before.max_by_key(|it| it.stopped_at.unwrap_or(it.heartbeat_at));
    let after = facts.sessions.iter().map(|it| it.session.started_at);
    Explanation::NoProcess {
        since: last.map(|it| it.stopped_at.unwrap_or(it.heartbeat_at)),
        how: last.map(|it| it.status),
        until: after.filter(|at| *at > question.at).min(),
    }
}

fn was_registered(question: &Question, facts: &Facts) -> bool {
    let first = facts.schedules.iter().map(|it| it.from).min();
    first.is_none_or(|first| first <= question.at)
}

/// What could be the run in question and is not there.
fn doubts(question: &Question, facts: &Facts) -> Vec<Doubt> {
    let near = tolerance(question, facts);
    let (from, to) = (
        question.at.saturating_sub(near),
        question.at.saturating_add(near),
    );
    let mut doubts = Vec::new();
    let lost = facts.gaps.iter().filter(|gap| {
        let is_its = |entity: &executor_core::Entity| {
            entity.app_key == question.app_key && entity.name == question.name
        };
        let named: u64 = gap.entities.iter().map(|(_, count)| count).sum();
        let may_be_its = gap.entities.iter().any(|(entity, _)| is_its(entity));
        // A loss that is attributed to nobody may be anybody's.
        (may_be_its || named < gap.count) && gap.first_at <= to && gap.last_at >= from
    });
    let lost: u64 = lost.map(|gap| gap.count).sum();
    if lost > 0 {
        doubts.push(Doubt::Lost { count: lost });
    }
    let pruned = facts.prunes.iter().filter(|it| it.is_of_executions());
    let pruned = pruned.filter(|prune| prune.first_at <= to && prune.last_at >= from);
    let pruned: u64 = pruned.map(|prune| prune.count).sum();
    if pruned > 0 {
        doubts.push(Doubt::Pruned { count: pruned });
    }
    let filtered: u64 = alive(question, facts).map(|it| it.ledger.filtered).sum();
    if filtered > 0 {
        doubts.push(Doubt::LeftOut { count: filtered });
    }
    let waits = facts
        .live
        .iter()
        .filter(|live| live.session.started_at <= to);
    let waiting: u64 = waits.map(|live| live.waiting).sum();
    if waiting > 0 {
        doubts.push(Doubt::Waiting { count: waiting });
    }
    if facts.live.iter().any(|live| live.unreadable.is_some()) {
        doubts.push(Doubt::Unreadable);
    }
    if facts.is_cut {
        doubts.push(Doubt::TooMany);
    }
    doubts
}
