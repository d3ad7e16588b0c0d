//! The port for reading the history, whichever store keeps it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::query::{Filter, PageOf, PageRequest, RegistrationFilter, Scope, Window};
use super::stored::{
    Stats, StoredExecution, StoredPrune, StoredRegistration, StoredSession, Summary,
};
use crate::identity::{ExecutionId, RegistrationId};
use crate::ports::{
    Evidence, Gap, InForce, MissedRuns, Pause, Progress, RecordedAction, SourceCounts,
};
use crate::time::Timestamp;

/// The future of a query.
pub type HistoryFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, HistoryError>> + Send + 'a>>;

/// Answers queries about the recorded history. A query changes nothing, and dropping its future abandons it.
///
/// Executions, sessions, gaps and registrations are returned page by page. The pages of one query contain each row
/// once, even if many rows have the same time or other rows are written meanwhile.
pub trait History: Send + Sync + 'static {
    /// Returns a page of executions.
    ///
    /// A search by text, kind or duration, which no index serves, runs only for a short while: the page may then be short
    /// or empty, and [`PageOf::searched_to`] says how far the search got. The next page continues there.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn executions(
        &self,
        filter: Filter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredExecution>>;

    /// Returns one execution; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn execution(&self, id: ExecutionId) -> HistoryFuture<'_, Option<StoredExecution>>;

    /// Returns the executions whose id a text may mean: a whole one, or a short one or its beginning; see
    /// [`IdRanges`](crate::identity::IdRanges). At most `limit`, without their lines, the latest first; none if the
    /// text is not an id.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn find(&self, text: String, limit: u32) -> HistoryFuture<'_, Vec<StoredExecution>>;

    /// Counts the stored executions of a window: the rows that are there, without pruned ones.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn count(&self, window: Window) -> HistoryFuture<'_, u64>;

    /// Returns a summary per listener and job, in order of kind, app, instance and name. It includes pruned
    /// executions as long as a rollup of their hour is kept, and then covers the whole hour, unless what is gone ended
    /// before the window.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn summaries(&self, window: Window) -> HistoryFuture<'_, Vec<Summary>>;

    /// Returns the statistics of all listeners and jobs together.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn overall(&self, window: Window) -> HistoryFuture<'_, Stats>;

    /// Returns the statistics of each period between two neighbouring bounds: its first bound belongs to it, its last
    /// one to the next. Bounds must ascend; there may be 1,001 at most. Pruned executions count as in
    /// [`summaries`](Self::summaries): an hour of which some are gone belongs as a whole to the period in which it
    /// begins.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn series(&self, scope: Scope, bounds: Vec<Timestamp>) -> HistoryFuture<'_, Vec<Stats>>;

    /// Returns a page of sessions, the latest first, each with its ledger.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn sessions(&self, page: PageRequest) -> HistoryFuture<'_, PageOf<StoredSession>>;

    /// Returns a page of episodes of loss, the latest first: those that ended at or after the beginning of the
    /// window and began before its end.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn gaps(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<Gap>>;

    /// Returns a page of prunes, the latest first: those of executions that ended within the window.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn prunes(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<StoredPrune>>;

    /// Returns a page of missed runs, the latest recorded first: those that were due within the window. Their session
    /// is the one that noticed them.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn missed_runs(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<MissedRuns>>;

    /// Returns a page of pauses, the latest recorded first: those that overlap the window. One without an end lasts
    /// until its session ended.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn pauses(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<Pause>>;

    /// Returns a page of what people asked executors to do within the window, the latest recorded first. A store that
    /// keeps no actions need not implement this method.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn actions(
        &self,
        _window: Window,
        _page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<RecordedAction>> {
        let none = PageOf {
            items: Vec::new(),
            next: None,
            searched_to: None,
        };
        Box::pin(std::future::ready(Ok(none)))
    }

    /// Returns a page of sources of events, the latest first: those of sessions that overlap the window, with the
    /// topics of the hours within it. The counts are those of the whole session.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn sources(&self, window: Window, page: PageRequest)
    -> HistoryFuture<'_, PageOf<SourceCounts>>;

    /// Returns the schedules that a job had, the latest first, at most a thousand.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn schedules(&self, job: RegistrationId) -> HistoryFuture<'_, Vec<InForce>>;

    /// Returns what an audit of these hours looks at, in one snapshot. The window is widened to whole hours; its
    /// session is ignored. Counts every row in it, so it takes seconds on millions of rows and reports its progress; no
    /// time limit applies.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn evidence(&self, window: Window, progress: Progress) -> HistoryFuture<'_, Evidence>;

    /// Returns what is damaged in the store itself, in its own words; nothing if it is whole. Reads all of it, so it takes
    /// seconds on gigabytes; no time limit applies. A store that cannot tell need not implement this method.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`]: damage may also keep it from being read at all.
    fn integrity(&self) -> HistoryFuture<'_, Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Returns what the answers of this history have left out so far because it is damaged, in the store's own words,
    /// each case once: rows of executions, sessions and other lists that cannot be read. Whoever shows answers should
    /// show this beside them. A store without such damage need not implement this method.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns a page of listeners or jobs, the latest registered first.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn registrations(
        &self,
        filter: RegistrationFilter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredRegistration>>;
}

/// The number of items in a page of [`all_pages`].
const PAGE: u32 = 1_000;

/// Returns everything that a query finds, page by page.
///
/// ```no_run
/// # async fn example(history: &dyn executor_core::ports::History)
/// # -> Result<(), executor_core::ports::HistoryError> {
/// use executor_core::ports::{Window, all_pages};
///
/// let lost = all_pages(|page| history.gaps(Window::default(), page)).await?;
/// println!("{} records", lost.iter().map(|gap| gap.count).sum::<u64>());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// A page cannot be read.
///
/// # Cancel safety
///
/// Dropping the future abandons the query.
pub async fn all_pages<'h, T>(
    ask: impl Fn(PageRequest) -> HistoryFuture<'h, PageOf<T>>,
) -> Result<Vec<T>, HistoryError> {
    let (mut all, mut request) = (Vec::new(), PageRequest::first(PAGE));
    loop {
        let page = ask(request.clone()).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => request = request.following(next),
            None => return Ok(all),
        }
    }
}

/// The ways in which a query can fail.
///
/// ```
/// let may_pass = |class| matches!(class, executor_core::ports::HistoryErrorClass::Unavailable);
/// assert!(!may_pass(executor_core::ports::HistoryErrorClass::Absent));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HistoryErrorClass {
    /// There is no history in the given place.
    Absent,
    /// It cannot be reached or read now; trying again may help.
    Unavailable,
    /// It belongs to another program, or has a version that this program cannot read.
    Unsupported,
    /// It holds data that no version up to this one writes.
    Damaged,
    /// The time limit of the query passed.
    TimedOut,
    /// The query is invalid, for example because of a page token from another history.
    Invalid,
}

/// The error of a query that was not answered.
///
/// ```
/// use executor_core::ports::{HistoryError, HistoryErrorClass};
///
/// let error = HistoryError::new(HistoryErrorClass::Absent, "reading sessions", "no file");
/// assert_eq!(error.to_string(), "reading sessions failed");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct HistoryError {
    /// The kind of failure.
    pub class: HistoryErrorClass,
    /// The operation that failed, as a fragment such as `reading sessions`.
    pub operation: &'static str,
    /// The error underneath.
    pub source: Box<dyn Error + Send + Sync>,
}

impl HistoryError {
    /// Creates an error with its cause.
    pub fn new(
        class: HistoryErrorClass,
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            class,
            operation,
            source: source.into(),
        }
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.operation)
    }
}

impl Error for HistoryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
