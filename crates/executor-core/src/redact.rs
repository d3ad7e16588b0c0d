//! The redaction hook. Every string that comes from user code passes it before it reaches a record or a
//! log line. An error handler gets the same redacted strings, and also the error and the event
//! themselves.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::panics::{catch, drop_quietly};

/// The source of a text.
///
/// ```
/// use executor_core::redact::TextKind;
///
/// // A hook that leaves arguments and reports out, and keeps the rest.
/// let is_kept = |kind| !matches!(kind, TextKind::Arguments | TextKind::Report);
/// assert!(is_kept(TextKind::Message) && !is_kept(TextKind::Report));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TextKind {
    /// The name of an error's type.
    ErrorType,
    /// The message of an error or a panic.
    Message,
    /// An error's report: the chain of its causes, a backtrace, the output of a program.
    Report,
    /// Arguments as JSON.
    Arguments,
    /// The id of the triggering event.
    TriggerId,
    /// The origin of the triggering event.
    TriggerOrigin,
    /// The topic of the triggering event.
    Topic,
    /// A line of what an execution says.
    Line,
    /// What a line names as its origin, mostly the path of a module.
    Target,
    /// A line from a source of events that is no event, and what is wrong with it.
    EventLine,
}

/// Removes text that must not be kept. Set once for a service; it sees every string of a record whole,
/// before the string is cut to its cap and the record is offered to anything, and the same strings
/// before they are logged.
///
/// Lines that an execution says are the exception: it sees them one by one, a long one only after it was cut.
///
/// It does not see the key of a listener or job (app, name, topic of the registration): that is the
/// author's own text, and the history is looked up by it. Payloads are never recorded at all.
///
/// ```
/// use std::borrow::Cow;
/// use executor_core::redact::{Redact, TextKind};
///
/// struct Tokens;
/// impl Redact for Tokens {
///     fn redact<'t>(&self, _: TextKind, text: &'t str) -> Cow<'t, str> {
///         match text.find("token=") {
///             Some(at) => Cow::Owned(format!("{}token=…", &text[..at])),
///             None => Cow::Borrowed(text),
///         }
///     }
/// }
/// assert_eq!(Tokens.redact(TextKind::Message, "denied: token=abc"), "denied: token=…");
/// ```
pub trait Redact: Send + Sync + 'static {
    /// Returns the part of `text` that may be kept. Called on the thread that runs the handler, so it
    /// should be quick; lines of an execution that runs for a while pass through it on a separate thread, and once
    /// more at its end. If it panics, none of the text is kept.
    fn redact<'t>(&self, kind: TextKind, text: &'t str) -> Cow<'t, str>;
}

/// The hook, if there is one.
///
/// ```
/// use std::{borrow::Cow, sync::Arc};
/// use executor_core::redact::{Redact, Redactor, TextKind};
///
/// struct Nothing;
/// impl Redact for Nothing {
///     fn redact<'t>(&self, _: TextKind, _: &'t str) -> Cow<'t, str> {
///         Cow::Borrowed("-")
///     }
/// }
/// assert_eq!(Redactor::new(Arc::new(Nothing)).apply(TextKind::Message, "secret"), "-");
/// assert_eq!(Redactor::NONE.apply(TextKind::Message, "as it is"), "as it is");
/// ```
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<dyn Redact>>);

impl Redactor {
    /// Keeps every text as it is.
    pub const NONE: Self = Self(None);

    /// Creates a redactor that calls this hook.
    pub fn new(hook: Arc<dyn Redact>) -> Self {
        Self(Some(hook))
    }

    /// Returns `true` if there is no hook.
    pub(crate) const fn keeps_all(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the part of a text that may be kept.
    pub fn apply<'t>(&self, kind: TextKind, text: &'t str) -> Cow<'t, str> {
        let Some(hook) = &self.0 else {
            return Cow::Borrowed(text);
        };
        match catch(|| hook.redact(kind, text)) {
            Ok(kept) => kept,
            Err(caught) => {
                drop_quietly(caught.payload);
                Cow::Borrowed("<the redaction hook panicked>")
            }
        }
    }

    /// Like [`apply`](Self::apply), but returns the same shared text if nothing changes.
    pub(crate) fn apply_shared(&self, kind: TextKind, text: Arc<str>) -> Arc<str> {
        let kept = self.apply(kind, &text);
        if *kept == *text {
            return text;
        }
        Arc::from(kept)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = if self.0.is_some() { "a hook" } else { "none" };
        f.debug_tuple("Redactor").field(&hook).finish()
    }
}
