//! Reduces a backtrace to the user's own frames. Leaves out the frames of the runtime, the standard library and
//! this project, which are the same in every backtrace.

use std::backtrace::Backtrace;
use std::fmt::Write as _;

/// The crates and symbols with frames that are left out.
const OTHERS: &[&str] = &[
    "std",
    "core",
    "alloc",
    "tokio",
    "tokio_util",
    "executor_core",
    "executor_service",
    "command_executor",
    "tracing",
    "futures_util",
    "futures_core",
    "__rust_begin_short_backtrace",
    "rust_begin_unwind",
    "_start",
    "__libc_start_main",
    "__libc_start_call_main",
    "main",
    "clone",
    "clone3",
    "start_thread",
];

/// Renders the remaining frames, with one line for each and one for its place.
pub(super) fn of_user(backtrace: &Backtrace) -> String {
    left(&backtrace.to_string())
}

fn left(rendered: &str) -> String {
    let (mut text, mut is_shown, mut left_out) = (String::new(), false, 0);
    for line in rendered.lines() {
        let trimmed = line.trim_start();
        if let Some(symbol) = symbol_of(trimmed) {
            is_shown = !is_of_others(symbol);
            left_out += usize::from(!is_shown);
        }
        if is_shown {
            let indent = if trimmed.starts_with("at ") {
                "      "
            } else {
                "  "
            };
            // Writing into a string does not fail.
            let _ = writeln!(text, "{indent}{trimmed}");
        }
    }
    let _ = write!(text, "  … {left_out} frames of the runtime left out …");
    text
}

/// The symbol in a line such as `4: lights::on`; `None` in the line of its place.
fn symbol_of(line: &str) -> Option<&str> {
    let (number, symbol) = line.split_once(": ")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(symbol)
}

/// Checks the symbol's crate; that of an implementation is the crate of its type:
/// `<tokio::task::Task as core::future::Future>::poll`.
fn is_of_others(symbol: &str) -> bool {
    let name = symbol.trim_start_matches(['<', '&', '(']);
    let name = ["mut ", "dyn "]
        .iter()
        .fold(name, |name, word| name.strip_prefix(word).unwrap_or(name));
    let end = name
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    OTHERS.contains(&&name[..end])
}

#[cfg(test)]
mod tests;
