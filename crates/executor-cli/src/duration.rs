//! Durations as people write them: `250ms`, `10s`, `2h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

/// A duration of more than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "write it like 250ms, 10s or 2h30m";
        let parsed: SignedDuration = text
            .parse()
            .map_err(|_| format!("`{text}` is not a duration: {help}"))?;
        match Duration::try_from(parsed) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(format!("`{text}` is not more than zero: {help}")),
        }
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
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Span>().map(|span| span.0);
        assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(read("2h30m"), Ok(Duration::from_secs(9_000)));
        assert_eq!(read("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in [
            "",
            "10",
            "soon",
            "0s",
            "-5s",
            "5 parsecs",
            "999999999999999999999s",
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains("write it like"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_span_is_shown_as_it_is_written() {
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m 30s");
    }
}
