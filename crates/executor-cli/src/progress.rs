//! The live line on a terminal, and the log lines that must not tear it.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_executor::CommandExecutor;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::plain::is_obeyed;

/// What has been counted of the stream.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Events that were understood.
    pub(crate) events: AtomicU64,
    /// Lines that were not.
    pub(crate) bad_lines: AtomicU64,
}

impl Counts {
    pub(crate) fn add(counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A line of progress on standard error; invisible where that is no terminal.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise}  {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Shows how things stand until it is dropped.
    pub(crate) async fn keep_showing(&self, executor: &CommandExecutor, counts: &Counts) {
        loop {
            let ledger = executor.ledger();
            let count = |counter: &AtomicU64| HumanCount(counter.load(Ordering::Relaxed));
            self.bar.set_message(format!(
                "events {}  executions {}  running {}  stored {}  waiting {}  bad lines {}",
                count(&counts.events),
                HumanCount(ledger.offered),
                executor.running(),
                HumanCount(ledger.stored),
                HumanCount(ledger.waiting),
                count(&counts.bad_lines),
            ));
            self.bar.tick();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Sends log lines to standard error, above the live line. The failures of handlers are in
    /// the table and in the database, so they are logged only when somebody asks for them.
    pub(crate) fn log(&self, verbose: bool) {
        let handlers = if verbose {
            LevelFilter::INFO
        } else {
            LevelFilter::OFF
        };
        let targets = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("executor_core", handlers);
        let progress = self.clone();
        let format = tracing_subscriber::fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .log_internal_errors(false)
            .with_writer(move || Above(progress.clone()));
        tracing_subscriber::registry()
            .with(format)
            .with(targets)
            .init();
    }
}

/// Writes above the live line. That standard error is closed or full changes nothing.
struct Above(Progress);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = shown(&String::from_utf8_lossy(bytes), io::stderr().is_terminal());
        self.0.bar.suspend(|| {
            let _ = io::stderr().write_all(line.as_bytes());
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A formatted line. Escapes that stand in values are made harmless by the formatter, so on a terminal those that
/// are left are its own colours.
fn shown(line: &str, is_coloured: bool) -> String {
    let keep = |c: char| c == '\n' || (c == '\x1b' && is_coloured) || !is_obeyed(c);
    let shown = |c: char| {
        if keep(c) {
            c
        } else {
            char::REPLACEMENT_CHARACTER
        }
    };
    line.chars().map(shown).collect()
}
