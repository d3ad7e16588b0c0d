//! Failures of user code: the error that a handler returns, and the failure that is recorded.

use std::any::{Any, type_name};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::context;
use crate::panics::{catch, drop_quietly};
use crate::redact::{Redactor, TextKind};

mod frames;

/// The maximum length of a recorded message, in characters.
pub const MESSAGE_MAX_CHARS: usize = 2_048;
/// The maximum length of a recorded report, in characters.
pub const REPORT_MAX_CHARS: usize = 8_192;
/// The maximum length of a job's arguments, recorded with each run, in characters.
pub const ARGUMENTS_MAX_CHARS: usize = 65_536;

type BoxedError = Box<dyn Error + Send + Sync>;

/// The kind of error that a handler returned.
///
/// ```
/// use executor_core::{ErrorKind, HandlerError};
///
/// assert_eq!(HandlerError::from("the lamp is gone").kind(), ErrorKind::Unexpected);
/// assert_eq!(HandlerError::known("it is day").kind(), ErrorKind::Known);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Not declared by the author.
    Unexpected,
    /// Expected, and declared so by the author.
    Known,
    /// Something the handler needed could not be provided.
    Dependency,
    /// A timeout that the handler itself reported.
    TimedOut,
}

/// The error of a handler. Anything that converts into a boxed error converts into this, so `?`
/// works on every error type; for that reason it is not an [`Error`] itself.
///
/// ```
/// use executor_core::HandlerError;
///
/// fn read_sensor() -> Result<u32, HandlerError> {
///     let text = std::env::var("SENSOR").map_err(HandlerError::dependency)?;
///     let value: u32 = text.parse()?;
///     if value > 1_000 {
///         return Err(HandlerError::known(format!("{value} lux cannot be true")));
///     }
///     Ok(value)
/// }
/// # assert!(read_sensor().is_err());
/// ```
pub struct HandlerError(Box<Described>);

/// Boxed, so that a handler's result is small and cheap to move.
struct Described {
    kind: ErrorKind,
    error_type: Cow<'static, str>,
    /// `Some` until this is dropped.
    source: Option<BoxedError>,
    /// Captured when this error was created, if the execution around it records backtraces.
    backtrace: Backtrace,
}

impl HandlerError {
    /// Creates an error that the author expected: in the app tier it is recorded without a report.
    pub fn known<E: Into<BoxedError>>(source: E) -> Self {
        Self::of_kind(ErrorKind::Known, source)
    }

    /// Creates an error for something that the handler needed and could not get.
    pub fn dependency<E: Into<BoxedError>>(source: E) -> Self {
        Self::of_kind(ErrorKind::Dependency, source)
    }

    /// Creates a timeout of the handler's own; the execution ends as `timed_out`.
    pub fn timed_out<E: Into<BoxedError>>(source: E) -> Self {
        Self::of_kind(ErrorKind::TimedOut, source)
    }

    /// Creates an error with a type name of the author's choice, such as an exit status.
    ///
    /// ```
    /// let error = executor_core::HandlerError::named("exit status 2", "grep failed");
    /// assert_eq!(error.error_type(), "exit status 2");
    /// ```
    pub fn named(error_type: impl Into<Cow<'static, str>>, source: impl Into<BoxedError>) -> Self {
        let mut error = Self::of_kind(ErrorKind::Unexpected, source);
        error.0.error_type = error_type.into();
        error
    }

    fn of_kind<E: Into<BoxedError>>(kind: ErrorKind, source: E) -> Self {
        Self(Box::new(Described {
            kind,
            error_type: Cow::Borrowed(type_name::<E>()),
            source: Some(source.into()),
            backtrace: capture(),
        }))
    }

    /// Returns the error that the handler returned.
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        let source = self.0.source.as_deref();
        source.expect("there until it is dropped")
    }

    /// Returns the name that is recorded as its type.
    pub fn error_type(&self) -> &str {
        &self.0.error_type
    }

    /// Returns the kind of error. The kind that the author declared takes precedence; an undeclared
    /// error is a timeout if [`tokio::time::error::Elapsed`] or an I/O error of the kind
    /// [`TimedOut`](std::io::ErrorKind::TimedOut) is anywhere in its chain.
    ///
    /// `anyhow::Error` hides the type of an error that it wraps without context; use
    /// [`HandlerError::timed_out`] there.
    pub fn kind(&self) -> ErrorKind {
        if self.0.kind == ErrorKind::Unexpected && speaks_of_a_timeout(self.source()) {
            return ErrorKind::TimedOut;
        }
        self.0.kind
    }
}

/// Captures a backtrace only if `record_backtraces` is set, whatever the environment says: rendering the first one
/// takes half a second, on the thread that runs the handler.
fn capture() -> Backtrace {
    if context::traits().records_backtraces {
        Backtrace::force_capture()
    } else {
        Backtrace::disabled()
    }
}

fn speaks_of_a_timeout(error: &(dyn Error + 'static)) -> bool {
    // `source` of an I/O error skips the error that it wraps, so check that one too.
    let wrapped = |error: &'_ (dyn Error + 'static)| {
        let io = error.downcast_ref::<std::io::Error>();
        io.and_then(std::io::Error::get_ref)
            .is_some_and(|inner| is_timeout(inner))
    };
    let is_timeout = |error: &(dyn Error + 'static)| is_timeout(error) || wrapped(error);
    // `source` is user code too.
    catch(|| chain(error).any(is_timeout)).unwrap_or_else(|caught| {
        drop_quietly(caught.payload);
        false
    })
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    error.is::<tokio::time::error::Elapsed>()
        || io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
}

/// An error and its causes. A chain that loops back on itself must not hang the recorder.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| {
        (*error).source()
    })
    .take(CHAIN_MAX)
}

const CHAIN_MAX: usize = 64;

impl<E: Into<BoxedError>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::of_kind(ErrorKind::Unexpected, error)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.error_type(), self.source())
    }
}

impl Drop for HandlerError {
    /// Catches a panic of the error's destructor, which is user code, wherever it is dropped.
    fn drop(&mut self) {
        drop_quietly(self.0.source.take());
    }
}

/// The description of a failure in a record. Every string fits its cap and can be stored.
///
/// ```
/// use executor_core::{Failure, HandlerError, Redactor};
///
/// let error = HandlerError::named("LampError", "the lamp is gone");
/// let failure = Failure::from_error(&error, &Redactor::NONE);
/// assert_eq!(failure.message, "the lamp is gone");
/// assert!(failure.report.is_some_and(|report| report.ends_with("LampError: the lamp is gone")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error's type, `panic`, or `TimeoutError`.
    pub error_type: String,
    /// The error's message, at most [`MESSAGE_MAX_CHARS`] characters.
    pub message: String,
    /// The error and the chain of its causes, a line each, below a backtrace if those are recorded; at most
    /// [`REPORT_MAX_CHARS`] characters. `None` if the contract excludes a report.
    pub report: Option<String>,
}

impl Failure {
    /// Describes an error that a handler returned, with the full report. Cannot fail, even if the
    /// error's `Display` panics.
    pub fn from_error(error: &HandlerError, redactor: &Redactor) -> Self {
        let message = text_of(error.source());
        let report = report_of(error, &message);
        Self {
            error_type: kept(redactor, TextKind::ErrorType, error.error_type()),
            message: kept(redactor, TextKind::Message, &message),
            report: Some(kept(redactor, TextKind::Report, &report)),
        }
    }

    /// Returns the same failure without the report.
    #[must_use]
    pub fn without_report(self) -> Self {
        Self {
            report: None,
            ..self
        }
    }

    /// Describes a panic by its payload and, if known, its place in the source.
    pub fn from_panic(
        payload: &(dyn Any + Send),
        place: Option<&str>,
        redactor: &Redactor,
    ) -> Self {
        let message = payload
            .downcast_ref::<&'static str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("panicked with a payload that is not a string");
        Self {
            error_type: "panic".into(),
            message: kept(redactor, TextKind::Message, message),
            report: place
                .map(|place| kept(redactor, TextKind::Report, &format!("panicked at {place}"))),
        }
    }

    /// Describes a deadline that passed.
    pub fn deadline() -> Self {
        Self {
            error_type: "TimeoutError".into(),
            message: "execution timed out".into(),
            report: None,
        }
    }

    /// Describes a deadline that passed while waiting for a blocking thread.
    pub(crate) fn no_thread() -> Self {
        Self {
            message: "execution timed out: no thread of the blocking pool became free".into(),
            ..Self::deadline()
        }
    }

    /// Describes an execution of which programs are still running although their process was killed.
    pub fn orphaned(programs: &str) -> Self {
        Self {
            error_type: "orphaned".into(),
            message: storable(programs, MESSAGE_MAX_CHARS),
            report: None,
        }
    }

    /// Describes a skipped execution.
    pub(crate) fn skipped(reason: &str) -> Self {
        Self {
            error_type: "skipped".into(),
            message: storable(reason, MESSAGE_MAX_CHARS),
            report: None,
        }
    }
}

/// Redacts the text, and only then cuts it to its cap: half a secret would slip through the hook.
fn kept(redactor: &Redactor, kind: TextKind, text: &str) -> String {
    let max_chars = match kind {
        TextKind::Report => REPORT_MAX_CHARS,
        _ => MESSAGE_MAX_CHARS,
    };
    storable(&redactor.apply(kind, text), max_chars)
}

/// Returns the error's own text, with a note if its `Display` panics or fails: recording an error
/// must not cause another one.
fn text_of(error: &dyn Error) -> String {
    let mut text = String::new();
    let shown = catch(|| write!(text, "{error}"));
    match shown {
        Ok(Ok(())) => text,
        Ok(Err(_)) => text + "<the error's Display failed>",
        Err(caught) => {
            drop_quietly(caught.payload);
            text + "<the error's Display panicked>"
        }
    }
}

/// Puts the backtrace first, if there is one, and the causes last: cutting a long report keeps its
/// last line, which is then the root cause.
fn report_of(error: &HandlerError, message: &str) -> String {
    let mut report = String::new();
    if error.0.backtrace.status() == BacktraceStatus::Captured {
        // Writing into a string fails only if the `Display` of the value does.
        let _ = writeln!(
            report,
            "backtrace:\n{}",
            frames::of_user(&error.0.backtrace)
        );
    }
    report.push_str(error.error_type());
    report.push_str(": ");
    report.push_str(message);
    let causes = catch(|| {
        let causes = chain(error.source()).skip(1);
        let lines = causes.map(|cause| format!("\ncaused by: {}", text_of(cause)));
        lines.collect::<String>()
    });
    match causes {
        Ok(causes) => report.push_str(&causes),
        Err(caught) => {
            drop_quietly(caught.payload);
            report.push_str("\n<the error's chain of causes failed>");
        }
    }
    report
}

/// Makes a text storable in a database: replaces NUL, and cuts it in the middle to `max_chars`
/// characters. The cut says how much is missing and keeps the last line, which holds the cause.
///
/// ```
/// use executor_core::failure::storable;
///
/// assert_eq!(storable("short", 100), "short");
/// assert!(storable(&"long ".repeat(100), 100).chars().count() <= 100);
/// ```
pub fn storable(text: &str, max_chars: usize) -> String {
    let clean: Cow<'_, str> = if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    };
    let total = clean.chars().count();
    if total <= max_chars {
        return clean.into_owned();
    }
    cut_in_the_middle(&clean, total, max_chars)
}

/// Returns `true` if a text is certainly storable as it is. Most are.
pub(crate) fn is_storable(text: &str, max_chars: usize) -> bool {
    text.len() <= max_chars && !text.contains('\0')
}

/// Like [`storable`], but returns the same shared text if it needs no change.
pub(crate) fn storable_shared(text: Arc<str>, max_chars: usize) -> Arc<str> {
    if is_storable(&text, max_chars) {
        return text;
    }
    Arc::from(storable(&text, max_chars))
}

fn cut_in_the_middle(text: &str, total: usize, max_chars: usize) -> String {
    // The marker is at most 45 characters long whatever the count, so 64 always hold it.
    let room = max_chars.saturating_sub(64);
    let last_line = text
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count() + 1);
    let tail = last_line.clamp(room / 4, room - room / 4);
    let head = room - tail;
    let omitted = total - head - tail;
    let head_text: String = text.chars().take(head).collect();
    let tail_text: String = text.chars().skip(total - tail).collect();
    format!("{head_text}\n… {omitted} characters left out …\n{tail_text}")
}

#[cfg(test)]
mod tests;
