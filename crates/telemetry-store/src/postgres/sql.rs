//! What statements have in common.

use std::borrow::Cow;

use crate::periods::HOUR_US;

/// A text that a column can hold: PostgreSQL has no NUL.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// The server's time in microseconds. Clocks of hosts differ; this one judges which of them are silent, and what is old.
pub(crate) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// The first whole hour; what ended earlier counts with the beginning of time, as in `hour_of`.
const FIRST_HOUR_US: i64 = i64::MIN / HOUR_US * HOUR_US;

/// Returns the hour of a time, as a statement works it out. Overflows are errors on the server.
pub(crate) fn hour_of(column: &str) -> String {
    format!(
        "CASE WHEN {column} < {FIRST_HOUR_US} THEN {} ELSE {column} - (({column} % {HOUR_US}) + {HOUR_US}) % {HOUR_US} END",
        i64::MIN
    )
}
