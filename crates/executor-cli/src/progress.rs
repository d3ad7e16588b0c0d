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

/// A formatted line. Of the escapes in it, on a terminal, those that set a colour are left: the formatter makes
/// harmless what stands in texts, but not in values that are displayed.
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

/// The escape that a text begins with, if it only sets colours.
fn colour_of(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[length..]
        .starts_with('m')
        .then(|| &text[..length + 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i03_on_a_terminal_only_colours_are_obeyed() {
        let line = "\x1b[1;31mERROR\x1b[0m job=a\x1b[2Jb\x1b]0;title\x07 \x1b[3\n\x1b";
        assert_eq!(
            shown(line, true),
            "\x1b[1;31mERROR\x1b[0m job=a\u{fffd}[2Jb\u{fffd}]0;title\u{fffd} \u{fffd}[3\n\u{fffd}"
        );
        assert_eq!(shown("\x1b[1mx", false), "\u{fffd}[1mx");
    }
}
