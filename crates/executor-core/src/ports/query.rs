//! What a query of the history asks for: filters, windows and pages.

use std::fmt;
use std::time::Duration;

use crate::identity::{EntityKind, RegistrationId, SessionId, SourceTier};
use crate::lines::Lines;
use crate::outcome::Status;
use crate::record::ExecutionRecord;
use crate::time::Timestamp;

/// Selects executions by owner.
///
/// ```
/// use executor_core::ports::Scope;
///
/// let lights = Scope::App("lights".into());
/// assert_ne!(lights, Scope::default()); // which is everything
/// ```
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
    /// Those of listeners, or those of jobs.
    pub kind: Option<EntityKind>,
    /// Those of this session; combines with any scope.
    pub session: Option<SessionId>,
    /// Those of this tier.
    pub source_tier: Option<SourceTier>,
    /// Those that ended at or after this.
    pub from: Option<Timestamp>,
    /// Those that ended before this.
    pub to: Option<Timestamp>,
    /// Those that began before this: with `from`, those that overlap the time from there to here.
    pub started_before: Option<Timestamp>,
    /// Those that took at least this long.
    pub min_duration: Option<Duration>,
    /// Those with this text in the type or message of their failure; the case of ASCII letters is ignored.
    pub error_text: Option<String>,
    /// Those that said this as part of one line; the case of ASCII letters is ignored.
    pub line_text: Option<String>,
}

impl Filter {
    /// Returns `true` if an execution matches everything except the scope.
    pub fn matches(&self, session: SessionId, record: &ExecutionRecord) -> bool {
        let (ended_at, kind) = (record.ended_at(), record.subject.entity.kind);
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.session.is_none_or(|wanted| wanted == session)
            && (self.statuses.is_empty() || self.statuses.contains(&record.status))
            && self
                .source_tier
                .is_none_or(|tier| tier == record.source_tier)
            && self.from.is_none_or(|from| ended_at >= from)
            && self.to.is_none_or(|to| ended_at < to)
            && self
                .started_before
                .is_none_or(|before| record.started_at < before)
            && self
                .min_duration
                .is_none_or(|least| record.duration >= least)
            && self.error_text.as_deref().is_none_or(|text| {
                let failure = record.failure.as_deref();
                failure.is_some_and(|failure| {
                    contains(&failure.error_type, text) || contains(&failure.message, text)
                })
            })
            && self.line_text.as_deref().is_none_or(|text| {
                let lines = record.lines.as_deref();
                lines.is_some_and(|lines| says(lines, text))
            })
    }
}

/// Returns whether one of the lines contains this text, whatever the case of ASCII letters.
pub fn says(lines: &Lines, text: &str) -> bool {
    lines.iter().any(|line| contains(line.text, text))
}

fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.to_ascii_lowercase(), part.to_ascii_lowercase());
    text.contains(&part)
}

/// The order of executions.
///
/// ```
/// use executor_core::ports::{Order, PageRequest};
///
/// let newest = PageRequest::first(20);
/// let oldest = PageRequest { order: Order::OldestFirst, ..newest.clone() };
/// assert_eq!(newest.order, Order::LatestFirst);
/// # assert_ne!(newest, oldest);
/// ```
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
