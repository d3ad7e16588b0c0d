//! Keeps what handlers log through [`tracing`] with the records of their executions.
//!
//! ```
//! use tracing_subscriber::prelude::*;
//!
//! tracing_subscriber::registry()
//!     .with(executor_tracing::CaptureLayer::new())
//!     .init();
//! ```
//!
//! Every event of level `INFO` and above that is logged in an execution becomes one of its lines, with its time, its
//! level and the module that logged it. Whether they are kept is for the execution's
//! [`LinePolicy`](executor_core::lines::LinePolicy) to say. The layer works alongside others and changes nothing for
//! them, except that the events it wants are created.
//!
//! An execution is found by the thread that logs. A task or thread that the handler spawns belongs to it only if it
//! was given the execution by [`executor_core::context::inherit`].

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fmt::{self, Write as _};

use executor_core::context;
use executor_core::lines::LineKind;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The modules in which the executor itself says how an execution ended: its record has that already.
const OWN: &str = "executor_core::run";

thread_local! {
    /// Reused, so that a line allocates no buffer of its own.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A layer that keeps events with the execution in which they are logged. Outside of an execution it does nothing.
///
/// ```
/// use executor_tracing::CaptureLayer;
/// use tracing::level_filters::LevelFilter;
///
/// let layer = CaptureLayer::new().with_max_level(LevelFilter::DEBUG);
/// # drop(layer);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CaptureLayer {
    max_level: LevelFilter,
}

impl CaptureLayer {
    /// Creates a layer that keeps events of level `INFO` and above.
    pub const fn new() -> Self {
        Self {
            max_level: LevelFilter::INFO,
        }
    }

    /// Sets the most verbose level that it keeps. To choose by module as well, give the layer a filter of its own
    /// with [`Layer::with_filter`].
    #[must_use]
    pub const fn with_max_level(mut self, max_level: LevelFilter) -> Self {
        self.max_level = max_level;
        self
    }
}

impl Default for CaptureLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Subscriber> Layer<S> for CaptureLayer {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.max_level)
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let is_wanted = *metadata.level() <= self.max_level;
        if !is_wanted || !context::keeps_lines() || is_own(metadata.target()) {
            return;
        }
        let (kind, target) = (kind_of(*metadata.level()), metadata.target());
        let kept = TEXT.try_with(|text| {
            // A field may log while it is formatted.
            let mut text = text.try_borrow_mut().ok()?;
            keep(event, kind, target, &mut text);
            Some(())
        });
        if !matches!(kept, Ok(Some(()))) {
            keep(event, kind, target, &mut String::new());
        }
    }
}

fn keep(event: &Event<'_>, kind: LineKind, target: &str, text: &mut String) {
    text.clear();
    event.record(&mut Format {
        text,
        is_named: false,
    });
    // The message comes first, wherever the event has it.
    event.record(&mut Format {
        text,
        is_named: true,
    });
    context::log(kind, target, text);
}

/// Returns whether a module is the executor's own.
fn is_own(target: &str) -> bool {
    let rest = target.strip_prefix(OWN);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn kind_of(level: Level) -> LineKind {
    match level {
        Level::ERROR => LineKind::Error,
        Level::WARN => LineKind::Warn,
        Level::INFO => LineKind::Info,
        Level::DEBUG => LineKind::Debug,
        Level::TRACE => LineKind::Trace,
    }
}

/// Writes the message of an event, or its other fields as `name=value` after it.
struct Format<'t> {
    text: &'t mut String,
    is_named: bool,
}

impl Format<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string cannot fail, and what a value's own formatting fails to write is left out.
        let _ = match (self.is_named, field.name()) {
            (false, "message") => self.text.write_fmt(value),
            (true, name) if name != "message" => {
                let space = if self.text.is_empty() { "" } else { " " };
                write!(self.text, "{space}{name}={value}")
            }
            _ => Ok(()),
        };
    }
}

impl Visit for Format<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.is_named {
            self.write(field, format_args!("{value:?}"));
        } else {
            self.write(field, format_args!("{value}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.write(field, format_args!("{value}"));
        let mut cause = value.source();
        while let Some(error) = cause {
            if self.is_named {
                let _ = write!(self.text, ": {error}");
            }
            cause = error.source();
        }
    }
}
