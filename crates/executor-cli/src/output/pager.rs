//! A result that is longer than the terminal goes through the pager that the user has chosen.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use unicode_width::UnicodeWidthStr;

use crate::config::surroundings::NOT_FOR_PROGRAMS;

/// The pager where the user has chosen none, and what it is told then: end at once if all fits, let colours through, and
/// leave the text on the screen.
const USUAL: &str = "less";
const USUAL_OPTIONS: (&str, &str) = ("LESS", "FRX");

static WANTED: AtomicBool = AtomicBool::new(false);
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Lets results through a pager from now on.
pub(crate) fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Returns whether a text is to go through a pager: somebody sits there who reads it, and it does not fit.
pub(crate) fn is_for(text: &str) -> bool {
    let is_attended = || io::stdin().is_terminal() && io::stdout().is_terminal();
    WANTED.load(Ordering::Relaxed) && is_attended() && !fits(text) && chosen().is_some()
}

fn fits(text: &str) -> bool {
    let Ok(size) = rustix::termios::tcgetwinsize(io::stdout()) else {
        return true;
    };
    let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
    if rows == 0 || columns == 0 {
        return true;
    }
    // A long line takes several rows.
    let rows_of = |line: &str| line.width().div_ceil(columns).max(1);
    text.lines().map(rows_of).sum::<usize>() < rows
}

/// Shows a text in the pager until the user has read enough. Returns whether there is a pager.
pub(crate) fn page(text: &str) -> bool {
    let Some((program, arguments)) = chosen() else {
        return false;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    for name in NOT_FOR_PROGRAMS {
        command.env_remove(name);
    }
    if std::env::var_os(USUAL_OPTIONS.0).is_none() {
        command.env(USUAL_OPTIONS.0, USUAL_OPTIONS.1);
    }
    let Ok(mut pager) = command.spawn() else {
        return false;
    };
    SHOWN.store(true, Ordering::Relaxed);
    if let Some(mut input) = pager.stdin.take() {
        // Who has read enough closes it.
        let _ = input.write_all(text.as_bytes());
    }
    let _ = pager.wait();
    SHOWN.store(false, Ordering::Relaxed);
    true
}

/// Returns whether the pager is there: Ctrl-C is its business then.
pub(crate) fn is_shown() -> bool {
    SHOWN.load(Ordering::Relaxed)
}

/// EXECUTOR_PAGER, else PAGER, else the usual one; empty or `cat` is none.
fn chosen() -> Option<(String, Vec<String>)> {
    let of = |name: &str| std::env::var(name).ok();
    let line = of("EXECUTOR_PAGER").or_else(|| of("PAGER"));
    let line = line.unwrap_or_else(|| USUAL.to_owned());
    let mut words = line.split_whitespace().map(str::to_owned);
    let program = words.next().filter(|program| program != "cat")?;
    Some((program, words.collect()))
}
