//! Makes text from events, names and errors safe for a terminal: characters that would move the cursor, change
//! colours or turn the reading direction are shown as U+FFFD.

use std::borrow::Borrow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Returns whether a terminal would obey the character instead of showing it.
pub(crate) fn is_obeyed(c: char) -> bool {
    let turns = matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// One line without such characters.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_obeyed(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Leaves out what stands before the host of an address: a password may.
pub(crate) fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let host = part
            .split(|char: char| "/`'\" ".contains(char))
            .next()
            .unwrap_or_default();
        let hidden = host.rfind('@').unwrap_or(0);
        let mark = if hidden > 0 { "…" } else { "" };
        left.push_str(&format!("://{mark}{}", &part[hidden..]));
    }
    left
}

/// Formats a value as JSON, with such characters escaped, so that it parses to the same value.
pub(crate) fn json(value: &Value, is_pretty: bool) -> String {
    let text = if is_pretty {
        format!("{value:#}")
    } else {
        value.to_string()
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        // Line feeds stand between the values; within them they are escaped already.
        if is_obeyed(c) && c != '\n' {
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Formats each value as JSON on a line of its own.
pub(crate) fn json_lines(values: impl IntoIterator<Item = impl Borrow<Value>>) -> String {
    let lines = values.into_iter();
    lines
        .map(|value| format!("{}\n", json(value.borrow(), false)))
        .collect()
}

/// Returns what a line of the log begins with if it is an object.
pub(crate) fn log_head(level: &str, target: &str) -> Map<String, Value> {
    let now = jiff::Timestamp::now();
    let head = [
        ("timestamp", now.to_string()),
        ("level", level.to_owned()),
        ("target", target.to_owned()),
    ];
    let head = head.map(|(name, text)| (name.to_owned(), text.into()));
    head.into_iter().collect()
}

#[cfg(test)]
mod tests;
