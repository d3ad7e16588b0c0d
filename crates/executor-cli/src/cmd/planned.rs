//! The jobs that have a schedule, with what the history knows of their last and next runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use command_executor::diagnosis::next_planned;
use command_executor::ports::{SchedulePlan, Scope, all_pages};
use command_executor::{
    Entity, EntityKind, Filter, PageRequest, SessionId, StoredExecution, StoredRegistration,
    Timestamp, Window,
};

use crate::cmd::looking::Looking;
use crate::exit::Failure;

/// The number of a job's latest runs among which one that its schedule began is looked for.
const LOOKED_AT: u32 = 20;

/// A job with a schedule.
pub(super) struct Timer {
    pub(super) entity: Arc<Entity>,
    pub(super) plan: SchedulePlan,
    pub(super) next: Option<Timestamp>,
    pub(super) is_paused: bool,
    /// Since when it has that schedule.
    since: Timestamp,
    /// When the last run that its schedule began was due.
    last_due: Option<Timestamp>,
    pub(super) last: Option<StoredExecution>,
    pub(super) missed: u64,
    /// When the last one that was missed was due.
    pub(super) last_missed: Option<Timestamp>,
}

impl Timer {
    /// How long after its time the last run began.
    pub(super) fn lateness(&self) -> Option<Duration> {
        let record = &self.last.as_ref()?.record;
        Some(record.started_at.saturating_duration_since(record.due_at?))
    }
}

/// The next one first; those of which nobody knows come last.
pub(super) async fn timers(
    looking: &Looking,
    app: Option<String>,
    now: Timestamp,
    living: &HashMap<SessionId, Timestamp>,
) -> Result<Vec<Timer>, Failure> {
    // The beginning of the process that counts elapsed time.
    let begun = living.values().max().copied();
    let missed = missed_by_job(looking).await?;
    let paused = paused(looking, now, living).await?;
    let mut timers = Vec::new();
    for registered in looking.registrations(app).await? {
        let Some(mut timer) = timer(looking, &registered, &missed).await? else {
            continue;
        };
        timer.is_paused = paused
            .iter()
            .any(|it| it.as_ref().is_none_or(|entity| *entity == timer.entity));
        let of_the_living = timer
            .last
            .as_ref()
            .filter(|it| living.contains_key(&it.session));
        let since_begun = begun.map(|begun| begun.max(timer.since));
        let last_due = of_the_living.and(timer.last_due).or(since_begun);
        let next = next_planned(&timer.plan, last_due, now);
        timer.next = next.filter(|_| !timer.is_paused);
        timers.push(timer);
    }
    timers.sort_by(|one, other| {
        let key = |timer: &Timer| (timer.next.is_none(), timer.next);
        let by_name = || one.entity.cmp(&other.entity);
        key(one).cmp(&key(other)).then_with(by_name)
    });
    Ok(timers)
}

/// What is paused now; `None` is everything.
async fn paused(
    looking: &Looking,
    now: Timestamp,
    living: &HashMap<SessionId, Timestamp>,
) -> Result<Vec<Option<Arc<Entity>>>, Failure> {
    let history = &looking.history;
    let pauses = all_pages(|page| history.pauses(Window::since(now), page)).await?;
    let open = pauses.into_iter();
    let open = open.filter(|it| it.until.is_none() && living.contains_key(&it.session));
    Ok(open.map(|it| it.entity).collect())
}

async fn timer(
    looking: &Looking,
    registered: &StoredRegistration,
    missed: &HashMap<Arc<Entity>, Missed>,
) -> Result<Option<Timer>, Failure> {
    let entity = &registered.registration.entity;
    if entity.kind != EntityKind::Job {
        return Ok(None);
    }
    let schedules = looking.history.schedules(registered.id).await?;
    let Some(current) = schedules.into_iter().find(|it| it.until.is_none()) else {
        return Ok(None);
    };
    let filter = Filter {
        scope: Scope::Registration(registered.id),
        ..Filter::default()
    };
    // Some may have been run by hand.
    let page = PageRequest::first(LOOKED_AT);
    let latest = looking.history.executions(filter, page).await?.items;
    Ok(Some(Timer {
        next: None,
        is_paused: false,
        entity: Arc::clone(entity),
        since: current.from,
        plan: current.plan,
        missed: missed.get(entity).map_or(0, |it| it.count),
        last_missed: missed.get(entity).map(|it| it.last_due),
        last_due: latest.iter().find_map(|it| it.record.due_at),
        last: latest.into_iter().next(),
    }))
}

/// The runs of a job that were missed.
struct Missed {
    count: u64,
    last_due: Timestamp,
}

async fn missed_by_job(looking: &Looking) -> Result<HashMap<Arc<Entity>, Missed>, Failure> {
    let history = &looking.history;
    let missed = all_pages(|page| history.missed_runs(Window::default(), page)).await?;
    let mut by_job: HashMap<Arc<Entity>, Missed> = HashMap::new();
    for missed in missed {
        let all = by_job.entry(missed.entity).or_insert(Missed {
            count: 0,
            last_due: missed.last_due,
        });
        all.count += missed.count;
        all.last_due = all.last_due.max(missed.last_due);
    }
    Ok(by_job)
}
