//! Reading: what the history can be asked, whoever keeps it.

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

/// The answer to a question.
pub type HistoryFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, HistoryError>> + Send + 'a>>;

/// Answers questions about what was recorded. Nothing is changed by a question, and dropping its future gives up the
/// answer.
///
/// Executions, sessions, gaps and registrations come page by page. The pages of one question hold each row once,
/// however many rows have the same time, also if other rows are written meanwhile.
pub trait History: Send + Sync + 'static {
    /// Returns a page of executions.
    ///
    /// What no index serves, a text or a duration, is searched for a short while: then the page may be short or
    /// empty, and [`PageOf::searched_to`] says how far the search has come. The next page goes on there.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn executions(
        &self,
        filter: Filter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredExecution>>;

    /// Returns one execution; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn execution(&self, id: ExecutionId) -> HistoryFuture<'_, Option<StoredExecution>>;

    /// Counts the executions that are stored, of one session or of all.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn count(&self, session: Option<SessionId>) -> HistoryFuture<'_, u64>;

    /// Returns a summary per listener and job, in order of kind, app, instance and name. Executions that were pruned
    /// are in it as long as a summary of their hour is kept, and then with their whole hour.
    ///
    /// # Errors
    ///
    /// See [`HistoryErrorClass`].
    fn summaries(&self, window: Window) -> HistoryFuture<'_, Vec<Summary>>;

    /// Returns the same over all listeners and jobs together.
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

/// How a question can fail.
///
/// ```
/// let may_pass = |class| matches!(class, executor_core::ports::HistoryErrorClass::Unavailable);
/// assert!(!may_pass(executor_core::ports::HistoryErrorClass::Absent));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HistoryErrorClass {
    /// There is no history where it was looked for.
    Absent,
    /// It cannot be reached or read now: asking again may help.
    Unavailable,
    /// It is not this program's, or of a version that it cannot read.
    Unsupported,
    /// It holds what no version up to this one writes.
    Damaged,
    /// The time limit for one question passed.
    TimedOut,
    /// The question makes no sense to it, such as a page token that it did not give out.
    Invalid,
}

/// Why a question was not answered.
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
    /// Which kind of failure.
    pub class: HistoryErrorClass,
    /// What was being done, as a fragment such as `reading sessions`.
    pub operation: &'static str,
    /// The error underneath.
    pub source: Box<dyn Error + Send + Sync>,
}

impl HistoryError {
    /// An error with its cause.
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

/// Whose executions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    #[default]
    All,
    /// One listener's or job's.
    Registration(RegistrationId),
    /// One app's, also of listeners and jobs that are gone.
    App(String),
    /// One session's.
    Session(SessionId),
}

/// Which executions. Default: all.
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
    /// Whose they are.
    pub scope: Scope,
    /// How they ended: in one of these. Empty for any.
    pub statuses: Vec<Status>,
    /// Who wrote what ran.
    pub source_tier: Option<SourceTier>,
    /// Those that ended at or after this.
    pub from: Option<Timestamp>,
    /// Those that ended before this.
    pub to: Option<Timestamp>,
    /// Those that took at least so long.
    pub min_duration: Option<Duration>,
    /// Those whose failure has this text in its type or message, whatever the case of its ASCII letters.
    pub error_text: Option<String>,
}

impl Filter {
    /// Whether an execution, apart from whose it is, is one of those.
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

/// Which of them come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those that ended last.
    #[default]
    LatestFirst,
    /// Those that ended first.
    OldestFirst,
}

/// Which page. Default: the first, of 100, the latest first.
///
/// ```
/// use executor_core::ports::{Order, PageRequest};
///
/// let oldest = PageRequest { order: Order::OldestFirst, ..PageRequest::first(20) };
/// assert_eq!((oldest.limit, oldest.after), (20, None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many at most.
    pub limit: u32,
    /// In which order. Only executions can be had with the oldest first.
    pub order: Order,
    /// Those after this: [`PageOf::next`] of the page before.
    pub after: Option<PageToken>,
}

impl PageRequest {
    /// The first page.
    pub const fn first(limit: u32) -> Self {
        Self {
            limit,
            order: Order::LatestFirst,
            after: None,
        }
    }

    /// The page that begins where another one ended.
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

/// Where a page begins. Opaque: whoever gave it out understands it, also after a restart.
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
    /// As text, to be given back later.
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

/// A page of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf<T> {
    /// In the order that was asked for.
    pub items: Vec<T>,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<PageToken>,
    /// How far a search has come that was not finished: everything that ended on this side of it was looked at.
    pub searched_to: Option<Timestamp>,
}

/// One execution as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredExecution {
    /// Its session.
    pub session: SessionId,
    /// What was recorded. Its generation is not kept.
    pub record: ExecutionRecord,
}

/// One session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// What its process said of itself.
    pub session: Session,
    /// When it gave its last sign of life.
    pub heartbeat_at: Timestamp,
    /// When it ended; `None` while it goes on.
    pub stopped_at: Option<Timestamp>,
    /// How it stands.
    pub status: SessionStatus,
    /// Why it ended, where a service died.
    pub failure: Option<Failure>,
    /// Where its records went, as of its last sign of life.
    pub ledger: Ledger,
}

/// Which registrations.
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
    /// Those that stand like this.
    pub state: RegistrationState,
}

impl RegistrationFilter {
    /// All of a kind.
    pub const fn of(kind: EntityKind) -> Self {
        Self {
            kind,
            app_key: None,
            state: RegistrationState::Any,
        }
    }
}

/// How a registration stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationState {
    /// Whichever way.
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
    /// What was registered last.
    pub registration: Registration,
    /// Since when its app does not register it any more.
    pub retired_at: Option<Timestamp>,
    /// Since when it is cancelled.
    pub removed_at: Option<Timestamp>,
}

/// A stretch of the history, by when executions ended. Default: all of it.
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
    /// Those of this session. Of what was pruned nothing is in it.
    pub session: Option<SessionId>,
}

impl Window {
    /// All that ended at or after a time.
    pub fn since(from: Timestamp) -> Self {
        Self {
            from: Some(from),
            ..Self::default()
        }
    }

    /// All of one session.
    pub fn of_session(session: SessionId) -> Self {
        Self {
            session: Some(session),
            ..Self::default()
        }
    }
}

/// Counts and durations of some executions.
///
/// Durations are those of executions whose handler ran to its end: what was skipped or interrupted is not
/// among them. A history may give percentiles that are up to 2 % beside the true ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// How many executions ended in each status, in the order of [`Status::ALL`].
    pub by_status: [u64; Status::ALL.len()],
    /// The average duration; zero without executions.
    pub average: Duration,
    /// Half of them took no longer than this.
    pub p50: Duration,
    /// 95 of 100 took no longer than this.
    pub p95: Duration,
    /// 99 of 100 took no longer than this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
    /// What went wrong last, `type: message`.
    pub last_error: Option<String>,
}

impl Stats {
    /// How many executions there were.
    pub fn runs(&self) -> u64 {
        self.by_status.iter().sum()
    }

    /// How many ended in this status.
    pub fn count(&self, status: Status) -> u64 {
        self.by_status[usize::from(status.code())]
    }
}

/// How one listener or job fared.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The listener or job.
    pub entity: Entity,
    /// How it fared.
    pub stats: Stats,
}
