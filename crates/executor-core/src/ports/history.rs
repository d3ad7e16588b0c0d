//! The port for reading the history, whichever store keeps it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::{Gap, Session, SessionStatus};
use crate::failure::Failure;
use crate::identity::{Entity, EntityKind, ExecutionId, RegistrationId, SessionId, SourceTier};
use crate::ledger::Ledger;
use crate::outcome::Status;
use crate::record::ExecutionRecord;
use crate::registration::Registration;
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
    /// A search by text or duration, which no index serves, runs only for a short while: the page may then be short
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

    /// Counts the stored executions of one session, or of all.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn count(&self, session: Option<SessionId>) -> HistoryFuture<'_, u64>;

    /// Returns a summary per listener and job, in order of kind, app, instance and name. It includes pruned
    /// executions as long as a rollup of their hour is kept, and then covers the whole hour.
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

/// Selects executions by owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All executions.
    #[default]
    All,
    /// The executions of one listener or job.
    Registration(RegistrationId),
    /// The executions of one app, including those of listeners and jobs that were deleted.
    App(String),
    /// The executions of one session.
    Session(SessionId),
}

/// Selects executions. Default: all.
///
/// ```
/// use executor_core::Status;
/// use executor_core::ports::{Filter, Scope};
///
/// let failed = Filter {
///     scope: Scope::App("lights".into()),
///     statuses: vec![Status::Error, Status::TimedOut],
///     ..Filter::default()
/// };
/// assert_eq!(failed.min_duration, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this owner.
    pub scope: Scope,
    /// Those that ended in one of these statuses. Empty for any.
    pub statuses: Vec<Status>,
    /// Those of this tier.
    pub source_tier: Option<SourceTier>,
    /// Those that ended at or after this.
    pub from: Option<Timestamp>,
    /// Those that ended before this.
    pub to: Option<Timestamp>,
    /// Those that took at least this long.
    pub min_duration: Option<Duration>,
    /// Those with this text in the type or message of their failure; the case of ASCII letters is ignored.
    pub error_text: Option<String>,
}

impl Filter {
    /// Returns `true` if an execution matches everything except the scope.
    pub fn matches(&self, record: &ExecutionRecord) -> bool {
        let ended_at = record.ended_at();
        (self.statuses.is_empty() || self.statuses.contains(&record.status))
            && self
                .source_tier
                .is_none_or(|tier| tier == record.source_tier)
            && self.from.is_none_or(|from| ended_at >= from)
            && self.to.is_none_or(|to| ended_at < to)
            && self
                .min_duration
                .is_none_or(|least| record.duration >= least)
            && self.error_text.as_deref().is_none_or(|text| {
                let failure = record.failure.as_deref();
                failure.is_some_and(|failure| {
                    contains(&failure.error_type, text) || contains(&failure.message, text)
                })
            })
    }
}

fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.to_ascii_lowercase(), part.to_ascii_lowercase());
    text.contains(&part)
}

/// The order of executions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that ended last come first.
    #[default]
    LatestFirst,
    /// Those that ended first come first.
    OldestFirst,
}

/// Selects a page. Default: the first 100, the latest first.
///
/// ```
/// use executor_core::ports::{Order, PageRequest};
///
/// let oldest = PageRequest { order: Order::OldestFirst, ..PageRequest::first(20) };
/// assert_eq!((oldest.limit, oldest.after), (20, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The maximum number of items.
    pub limit: u32,
    /// The order. Only executions can be read oldest first.
    pub order: Order,
    /// The starting point: [`PageOf::next`] of the previous page.
    pub after: Option<PageToken>,
}

impl PageRequest {
    /// Requests the first page.
    pub const fn first(limit: u32) -> Self {
        Self {
            limit,
            order: Order::LatestFirst,
            after: None,
        }
    }

    /// Requests the page that begins where another one ended.
    #[must_use]
    pub fn following(&self, next: PageToken) -> Self {
        Self {
            after: Some(next),
            ..self.clone()
        }
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::first(100)
    }
}

/// The beginning of a page. Opaque: only the history that issued it understands it. It stays valid after a restart.
///
/// ```
/// use executor_core::ports::PageToken;
///
/// let from_a_link = PageToken::from("1-42".to_owned());
/// assert_eq!(from_a_link.as_str(), "1-42");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageToken(String);

impl PageToken {
    /// Returns it as text, to be passed back later.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PageToken {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf<T> {
    /// The items, in the requested order.
    pub items: Vec<T>,
    /// The beginning of the next page; `None` if there is none.
    pub next: Option<PageToken>,
    /// The progress of an unfinished search: the time up to which it has checked executions, in the requested order.
    pub searched_to: Option<Timestamp>,
}

/// One execution as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredExecution {
    /// Its session.
    pub session: SessionId,
    /// The record. Its generation is not stored.
    pub record: ExecutionRecord,
}

/// One session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// The session, as its process described it.
    pub session: Session,
    /// The time of its last sign of life.
    pub heartbeat_at: Timestamp,
    /// The time at which it ended; `None` while it is running.
    pub stopped_at: Option<Timestamp>,
    /// Its status.
    pub status: SessionStatus,
    /// The failure, if a service died.
    pub failure: Option<Failure>,
    /// Its ledger, as of its last sign of life.
    pub ledger: Ledger,
}

/// Selects registrations.
///
/// ```
/// use executor_core::EntityKind;
/// use executor_core::ports::{RegistrationFilter, RegistrationState};
///
/// let live = RegistrationFilter {
///     app_key: Some("lights".into()),
///     state: RegistrationState::Live,
///     ..RegistrationFilter::of(EntityKind::Listener)
/// };
/// assert_eq!(live.kind, EntityKind::Listener);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationFilter {
    /// Those of this kind.
    pub kind: EntityKind,
    /// Those of this app.
    pub app_key: Option<String>,
    /// Those in this state.
    pub state: RegistrationState,
}

impl RegistrationFilter {
    /// Selects all registrations of a kind.
    pub const fn of(kind: EntityKind) -> Self {
        Self {
            kind,
            app_key: None,
            state: RegistrationState::Any,
        }
    }
}

/// Selects registrations by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationState {
    /// Any state.
    #[default]
    Any,
    /// Neither retired nor removed.
    Live,
}

/// A listener or a job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRegistration {
    /// Its row.
    pub id: RegistrationId,
    /// Its latest registration.
    pub registration: Registration,
    /// The time at which it was retired, because its app no longer registers it.
    pub retired_at: Option<Timestamp>,
    /// The time at which it was cancelled.
    pub removed_at: Option<Timestamp>,
}

/// A span of the history, by the end time of executions. Default: the whole history.
///
/// ```
/// use executor_core::{Timestamp, ports::Window};
///
/// let since = Window::since(Timestamp::from_micros(1_767_225_600_000_000));
/// assert_eq!(since.to, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Those that ended at or after this.
    pub from: Option<Timestamp>,
    /// Those that ended before this.
    pub to: Option<Timestamp>,
    /// Those of this session, without pruned executions.
    pub session: Option<SessionId>,
}

impl Window {
    /// Selects everything that ended at or after a time.
    pub fn since(from: Timestamp) -> Self {
        Self {
            from: Some(from),
            ..Self::default()
        }
    }

    /// Selects everything of one session.
    pub fn of_session(session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..Self::default()
        }
    }
}

/// Counts and durations of a set of executions.
///
/// Durations cover only executions whose handler ran to its end, not those that were skipped or interrupted. A
/// history may return percentiles that are off by up to 2 %.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// The number of executions that ended in each status, in the order of [`Status::ALL`].
    pub by_status: [u64; Status::ALL.len()],
    /// The average duration; zero without executions.
    pub average: Duration,
    /// Half of them took no longer than this.
    pub p50: Duration,
    /// 95 of 100 took no longer than this.
    pub p95: Duration,
    /// 99 of 100 took no longer than this.
    pub p99: Duration,
    /// The longest duration.
    pub max: Duration,
    /// The latest failure, as `type: message`.
    pub last_error: Option<String>,
}

impl Stats {
    /// Returns the number of executions.
    pub fn runs(&self) -> u64 {
        self.by_status.iter().sum()
    }

    /// Returns how many executions ended in this status.
    pub fn count(&self, status: Status) -> u64 {
        self.by_status[usize::from(status.code())]
    }
}

/// The statistics of one listener or job.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The listener or job.
    pub entity: Entity,
    /// Its statistics.
    pub stats: Stats,
}
