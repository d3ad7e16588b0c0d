//! Says what an answer of the history lacks, from what the history itself has noted.

use executor_core::Timestamp;
use executor_core::ports::{
    Gap, History, HistoryError, LiveSession, SessionStatus, StoredSession, Window, all_pages,
};

use super::alive::{SILENCE, is_alive};

/// What is known to be missing from a window. It goes with an answer, so it costs little: nothing is counted, unlike
/// in an [`audit`](super::audit()).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completeness {
    /// The episodes in which records were lost, the latest first.
    pub gaps: Vec<Gap>,
    /// The number of executions that were pruned.
    pub pruned: u64,
    /// The number of planned runs that were missed.
    pub missed: u64,
    /// The number of processes that died and whose last records have not been stored yet, or never will be.
    pub unsettled: u64,
}

impl Completeness {
    /// The number of records that were lost.
    pub fn lost(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.count).sum()
    }

    /// Returns `true` if every execution of the window is there, as far as the history knows. Missed runs never became
    /// executions.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty() && self.pruned == 0 && self.unsettled == 0
    }
}

/// Reads what is missing from a window, as of `now`. `live`, the live state of this machine if it was read, knows which
/// of its processes are dead; any other that has given no sign of life for a minute may be.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use executor_core::{Timestamp, ports::Window};
/// use executor_service::diagnosis::completeness;
/// use executor_testkit::MemoryStore;
///
/// let history = MemoryStore::new();
/// let now = Timestamp::from_micros(1);
/// assert!(completeness(&history, &Window::default(), &[], now).await?.is_complete());
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
pub async fn completeness(
    history: &dyn History,
    window: &Window,
    live: &[LiveSession],
    now: Timestamp,
) -> Result<Completeness, HistoryError> {
    let gaps = all_pages(|page| history.gaps(window.clone(), page)).await?;
    let prunes = all_pages(|page| history.prunes(window.clone(), page)).await?;
    let missed = all_pages(|page| history.missed_runs(window.clone(), page)).await?;
    let sessions = all_pages(|page| history.sessions(page)).await?;
    let unsettled = sessions
        .iter()
        .filter(|it| may_hide_records(it, window, live, now));
    Ok(Completeness {
        gaps,
        pruned: prunes
            .iter()
            .filter(|prune| prune.is_of_executions())
            .map(|prune| prune.count)
            .sum(),
        missed: missed.iter().map(|missed| missed.count).sum(),
        unsettled: unsettled.count() as u64,
    })
}

/// A process that died may have left records from the time up to its death, which is at or after its last sign of life.
fn may_hide_records(
    stored: &StoredSession,
    window: &Window,
    live: &[LiveSession],
    now: Timestamp,
) -> bool {
    // A record may be as late as the next sign of life would have been.
    let last = stored.heartbeat_at.saturating_add(SILENCE);
    let is_dead = match stored.status {
        // Nobody has noticed yet.
        SessionStatus::Running => !is_alive(stored, live, now),
        SessionStatus::Crashed => true,
        SessionStatus::Success | SessionStatus::Failure => false,
    };
    is_dead
        && stored.counts.is_counted
        && !stored.counts.is_final
        && window.session.is_none_or(|id| id == stored.session.id)
        && window.to.is_none_or(|to| stored.session.started_at < to)
        && window.from.is_none_or(|from| last >= from)
}

#[cfg(test)]
mod tests;
