//! The latest times at which a job was due, and what became of each.

use executor_core::ports::{
    Filter, History, HistoryError, MissedReason, MissedRuns, PageRequest, Scope, StoredExecution,
    StoredRegistration, Window, all_pages,
};
use executor_core::{ExecutionId, Status, Timestamp};

/// The number of executions read at once: some may have been run by hand.
const PAGE: u32 = 100;

/// The most pages that are read, if most runs are run by hand.
const PAGES_MAX: usize = 10;

/// A time at which a job was due, or several of which the history knows the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTime {
    /// The time; of several the last.
    pub at: Timestamp,
    /// What became of it.
    pub fate: DueFate,
}

/// What became of a time at which a job was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueFate {
    /// It ran, or was skipped by its guard or overlap rule.
    Ran {
        /// The execution.
        id: ExecutionId,
        /// How it ended.
        status: Status,
    },
    /// It did not run.
    Missed {
        /// Why.
        reason: MissedReason,
        /// The number of due times that were missed in a row, up to this one.
        count: u64,
    },
}

/// Returns the latest times at which a job was due, the latest first: at least `most`, as far as the history has so many,
/// and no entry more than that takes. A run that is in progress is not among them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_core::ports::HistoryError> {
/// use executor_core::EntityKind;
/// use executor_core::ports::{History, PageRequest, RegistrationFilter};
/// use executor_service::diagnosis::due_times;
/// use executor_testkit::MemoryStore;
///
/// let history = MemoryStore::new();
/// let jobs = RegistrationFilter::of(EntityKind::Job);
/// for job in history.registrations(jobs, PageRequest::first(10)).await?.items {
///     println!("{:?}", due_times(&history, &job, 30).await?);
/// }
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
pub async fn due_times(
    history: &dyn History,
    job: &StoredRegistration,
    most: usize,
) -> Result<Vec<DueTime>, HistoryError> {
    let executions = scheduled(history, job, most).await?;
    // What was missed before the earliest of enough runs is not among the latest. They come in the order in which they
    // ended.
    let latest = executions.iter().take(most);
    let earliest = latest.filter_map(|it| it.record.due_at).min();
    let window = Window {
        from: earliest.filter(|_| executions.len() >= most),
        ..Window::default()
    };
    let mut missed = all_pages(|page| history.missed_runs(window.clone(), page)).await?;
    missed.retain(|it| it.entity == job.registration.entity);
    Ok(merge(&executions, &missed, most))
}

/// The latest executions that its schedule began.
async fn scheduled(
    history: &dyn History,
    job: &StoredRegistration,
    most: usize,
) -> Result<Vec<StoredExecution>, HistoryError> {
    let filter = Filter {
        scope: Scope::Registration(job.id),
        ..Filter::default()
    };
    let (mut found, mut request) = (Vec::new(), PageRequest::first(PAGE));
    for _ in 0..PAGES_MAX {
        let page = history.executions(filter.clone(), request.clone()).await?;
        let due = page.items.into_iter();
        found.extend(due.filter(|it| it.record.due_at.is_some()));
        match page.next {
            Some(next) if found.len() < most => request = request.following(next),
            _ => break,
        }
    }
    Ok(found)
}

fn merge(executions: &[StoredExecution], missed: &[MissedRuns], most: usize) -> Vec<DueTime> {
    let ran = executions.iter().filter_map(|it| {
        let fate = DueFate::Ran {
            id: it.record.execution_id,
            status: it.record.status,
        };
        let at = it.record.due_at?;
        Some(DueTime { at, fate })
    });
    let missed = missed.iter().map(|it| DueTime {
        at: it.last_due,
        fate: DueFate::Missed {
            reason: it.reason,
            count: it.count,
        },
    });
    let mut all: Vec<DueTime> = missed.chain(ran).collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.at));
    let mut sum = 0_u64;
    let enough = all.iter().take_while(|it| {
        let is_wanted = sum < most as u64;
        sum = sum.saturating_add(it.count());
        is_wanted
    });
    let enough = enough.count();
    all.truncate(enough);
    all
}

impl DueTime {
    /// Returns the number of due times that it stands for.
    pub const fn count(&self) -> u64 {
        match self.fate {
            DueFate::Ran { .. } => 1,
            DueFate::Missed { count, .. } => count,
        }
    }
}
