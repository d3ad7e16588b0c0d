//! How a run goes on: the line of progress on a terminal, and the log.

use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_executor::CommandExecutor;
use indicatif::HumanCount;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::output::colors::{self, ColorWhen};
use crate::output::console;
use crate::output::plain::{escaped, is_obeyed, plain};

/// Counters of the stream.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Events that were understood.
    pub(crate) events: AtomicU64,
    /// Lines that were not.
    pub(crate) bad_lines: AtomicU64,
}

impl Counts {
    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub(crate) fn add(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Keeps the progress line up to date until it is dropped; does nothing unless standard error is a terminal.
pub(crate) async fn keep_showing(executor: &CommandExecutor, counts: &Counts) {
    if !io::stderr().is_terminal() {
        pending::<()>().await;
    }
    loop {
        let ledger = executor.ledger();
        let count = |counter: &AtomicU64| HumanCount(counter.load(Ordering::Relaxed));
        console::show(format!(
            "events {}  executions {}  running {}  stored {}  waiting {}  bad lines {}",
            count(&counts.events),
            HumanCount(ledger.offered),
            executor.running(),
            HumanCount(ledger.stored),
            HumanCount(ledger.waiting),
            count(&counts.bad_lines),
        ));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Sends log lines to standard error, above the line of progress: those that RUST_LOG asks for, else warnings. The
/// failures of handlers are in the table and in the database, so they are logged only when somebody asks for them.
pub(crate) fn log(verbose: bool, format: LogFormat) {
    let is_terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines
            .with_ansi(is_terminal && colors::when() != ColorWhen::Never)
            .with_writer(move || Lines {
                format,
                is_terminal,
            })
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(move || Lines {
                format,
                is_terminal,
            })
            .boxed(),
    };
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let targets = targets(&wanted, verbose);
    tracing_subscriber::registry()
        .with(lines)
        .with(targets.clone().unwrap_or_else(|_| default_targets(verbose)))
        .init();
    if let Err(why) = targets {
        let wanted = plain(&wanted);
        tracing::warn!(
            "ignored RUST_LOG, which is `{wanted}`: {why}; write a level, or targets such as executor_core=info"
        );
    }
}

/// What RUST_LOG asks for, or the default if that is empty.
fn targets(wanted: &str, verbose: bool) -> Result<Targets, String> {
    if wanted.trim().is_empty() {
        return Ok(default_targets(verbose));
    }
    let asked: Targets = wanted.parse().map_err(|why| format!("{why}"))?;
    Ok(match verbose {
        true => asked.with_target("executor_core", LevelFilter::INFO),
        false => asked,
    })
}

fn default_targets(verbose: bool) -> Targets {
    let handlers = match verbose {
        true => LevelFilter::INFO,
        false => LevelFilter::OFF,
    };
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("executor_core", handlers)
}

/// Where the formatter writes each line.
struct Lines {
    format: LogFormat,
    is_terminal: bool,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let line = match self.format {
            LogFormat::Text => shown(&line, self.is_terminal),
            LogFormat::Json => escaped(&line),
        };
        console::write(line.into_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a formatted line safe. On a terminal it keeps only the escapes that set a colour: the formatter sanitises
/// texts, but not values that are displayed.
fn shown(line: &str, is_coloured: bool) -> String {
    let (mut shown, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(c) = rest.chars().next() {
        let colour = is_coloured.then(|| colour_of(rest)).flatten();
        let (kept, length) = match colour {
            Some(colour) => (colour, colour.len()),
            None if c == '\n' || !is_obeyed(c) => (&rest[..c.len_utf8()], c.len_utf8()),
            None => ("\u{fffd}", c.len_utf8()),
        };
        shown.push_str(kept);
        rest = &rest[length..];
    }
    shown
}

/// Returns the escape at the beginning of a text if it only sets colours.
fn colour_of(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[length..]
        .starts_with('m')
        .then(|| &text[..length + 3])
}

#[cfg(test)]
mod tests;
