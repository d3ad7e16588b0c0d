//! Durations as people write them: `250ms`, `10s`, `2h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

/// A time so long before now still has a date.
const LONGEST: Duration = Duration::from_secs(1_000 * 365 * 86_400);

/// A duration of more than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "write it like 250ms, 10s, 2h30m or 7d";
        let parsed =
            with_days(text).ok_or_else(|| format!("`{text}` is not a duration: {help}"))?;
        match Duration::try_from(parsed) {
            Ok(duration) if duration > LONGEST => {
                Err(format!("`{text}` is more than a thousand years: {help}"))
            }
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(format!("`{text}` is not more than zero: {help}")),
        }
    }
}

/// Reads a duration that may begin with weeks and days, of 24 hours each: `2w`, `1d12h`.
pub(crate) fn with_days(text: &str) -> Option<SignedDuration> {
    let (mut rest, mut sum) = (text.trim(), SignedDuration::ZERO);
    for (unit, seconds) in [('w', 7 * 86_400), ('d', 86_400)] {
        let Some((count, after)) = rest.split_once(unit) else {
            continue;
        };
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || after.starts_with(|char: char| char.is_alphabetic()) {
            continue;
        }
        let count: i64 = count.parse().ok()?;
        sum = sum.checked_add(SignedDuration::from_secs(count.checked_mul(seconds)?))?;
        rest = after.trim_start();
    }
    match rest {
        "" if !sum.is_zero() || text.contains(['w', 'd']) => Some(sum),
        rest => sum.checked_add(rest.parse().ok()?),
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(duration) => write!(f, "{duration:#}"),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// A deadline: a duration, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Timeout(pub(crate) Option<Duration>);

impl TryFrom<String> for Timeout {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let span: Span = text.parse().map_err(|error| format!("{error}, or none"))?;
        Ok(Self(Some(span.0)))
    }
}

#[cfg(test)]
mod tests;
