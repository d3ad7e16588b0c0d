//! The jobs that have a schedule, with what the history knows of their last and next runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    Filter, History, HistoryError, PageRequest, RegistrationFilter, SchedulePlan, Scope,
    StoredExecution, StoredRegistration, StoredSession, Window, all_pages,
};
use executor_core::{Entity, EntityKind, SessionId, Timestamp};

use super::planned::next_planned;

/// The number of a job's latest runs among which one that its schedule began is looked for.
const LOOKED_AT: u32 = 20;

/// A job with a schedule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Timer {
    /// The job.
    pub entity: Arc<Entity>,
    /// Its schedule.
    pub plan: SchedulePlan,
    /// When it is due next; `None` if it is paused, or nobody knows.
    pub next: Option<Timestamp>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Since when it has that schedule.
    since: Timestamp,
    /// When the last run that its schedule began was due.
    last_due: Option<Timestamp>,
    /// Its last run.
    pub last: Option<StoredExecution>,
    /// How many of its runs were missed, ever.
    pub missed: u64,
    /// When the last one that was missed was due.
    pub last_missed: Option<Timestamp>,
}

impl Timer {
    /// How long after its time the last run began.
    pub fn lateness(&self) -> Option<Duration> {
        let record = &self.last.as_ref()?.record;
        Some(record.started_at.saturating_duration_since(record.due_at?))
    }
}

/// Returns the jobs that have a schedule, of one app or of all, as of `now`: the next one first; those of which nobody
/// knows come last. `living` are the sessions whose processes are alive, which decides from when elapsed time counts.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_core::ports::HistoryError> {
/// use executor_core::Timestamp;
/// use executor_service::diagnosis::timers;
/// use executor_testkit::MemoryStore;
///
/// let now = Timestamp::from_micros(1);
/// assert!(timers(&MemoryStore::new(), None, &[], now).await?.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The history cannot be read.
///
/// # Cancel safety
///
/// Dropping the future abandons the query.
pub async fn timers(
    history: &dyn History,
    app: Option<String>,
    living: &[StoredSession],
    now: Timestamp,
) -> Result<Vec<Timer>, HistoryError> {
    // The beginning of the process that counts elapsed time.
    let begun = living.iter().map(|it| it.session.started_at).max();
    let missed = missed_by_job(history).await?;
    let paused = paused(history, now, living).await?;
    let filter = RegistrationFilter {
        app_key: app,
        ..RegistrationFilter::of(EntityKind::Job)
    };
    let jobs = all_pages(|page| history.registrations(filter.clone(), page)).await?;
    let mut timers = Vec::new();
    for registered in jobs {
        let Some(mut timer) = timer(history, &registered, &missed).await? else {
            continue;
        };
        timer.is_paused = paused
            .iter()
            .any(|it| it.as_ref().is_none_or(|entity| *entity == timer.entity));
        let of_the_living = timer
            .last
            .as_ref()
            .filter(|it| is_one_of(living, it.session));
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

fn is_one_of(living: &[StoredSession], session: SessionId) -> bool {
    living.iter().any(|it| it.session.id == session)
}

/// What is paused now; `None` is everything.
async fn paused(
    history: &dyn History,
    now: Timestamp,
    living: &[StoredSession],
) -> Result<Vec<Option<Arc<Entity>>>, HistoryError> {
    let pauses = all_pages(|page| history.pauses(Window::since(now), page)).await?;
    let open = pauses.into_iter();
    let open = open.filter(|it| it.until.is_none() && is_one_of(living, it.session));
    Ok(open.map(|it| it.entity).collect())
}

async fn timer(
    history: &dyn History,
    registered: &StoredRegistration,
    missed: &HashMap<Arc<Entity>, Missed>,
) -> Result<Option<Timer>, HistoryError> {
    let entity = &registered.registration.entity;
    let schedules = history.schedules(registered.id).await?;
    let Some(current) = schedules.into_iter().find(|it| it.until.is_none()) else {
        return Ok(None);
    };
    let filter = Filter {
        scope: Scope::Registration(registered.id),
        ..Filter::default()
    };
    // Some may have been run by hand.
    let page = PageRequest::first(LOOKED_AT);
    let latest = history.executions(filter, page).await?.items;
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

async fn missed_by_job(
    history: &dyn History,
) -> Result<HashMap<Arc<Entity>, Missed>, HistoryError> {
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
