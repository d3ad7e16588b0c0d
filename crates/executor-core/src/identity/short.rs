//! Short forms of execution ids, for people to read and type.

use uuid::Uuid;

use super::{ExecutionId, SessionId};
use crate::time::Timestamp;

/// The number of digits of a short id.
pub const SHORT_ID_DIGITS: usize = 10;

/// The minimum number of digits for looking up an execution.
pub const SHORT_ID_DIGITS_MIN: usize = 4;

impl ExecutionId {
    /// Returns its short form: ten hexadecimal digits, of which the first eight are milliseconds that start over every
    /// 49.7 days, and the last two are random.
    ///
    /// ```
    /// use executor_core::ExecutionId;
    ///
    /// let id = uuid::Uuid::parse_str("0193f2a9-1c04-7e2b-8000-000000000001").expect("is one");
    /// assert_eq!(ExecutionId::from_uuid(id).short(), "f2a91c04e2");
    /// ```
    pub fn short(&self) -> String {
        short_of(self.as_uuid())
    }
}

impl SessionId {
    /// Returns the short id of the session, made like that of an execution.
    ///
    /// ```
    /// use executor_core::SessionId;
    ///
    /// let id = uuid::Uuid::parse_str("0193f2a9-1c04-7e2b-8000-000000000001").expect("is one");
    /// assert_eq!(SessionId::from_uuid(id).short(), "f2a91c04e2");
    /// ```
    pub fn short(&self) -> String {
        short_of(self.as_uuid())
    }
}

fn short_of(id: &Uuid) -> String {
    let digits = id.simple().to_string();
    format!("{}{}", &digits[4..12], &digits[13..15])
}

/// The ids that a text may mean.
///
/// ```
/// use executor_core::{Timestamp, identity::IdRanges};
///
/// let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(1_767_225_600_000_000));
/// assert!(IdRanges::of("6f2a91c04e", from, to).is_some());
/// assert!(IdRanges::of("backup", from, to).is_none(), "not an id");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdRanges(Vec<(Uuid, Uuid)>);

impl IdRanges {
    /// Parses a whole id, the beginning of one with a dash in it, a short id, or the beginning of a short id with at
    /// least [`SHORT_ID_DIGITS_MIN`] digits. A short id may mean an execution that began at any time from `from` to
    /// `to`. `None` if it is none of these.
    pub fn of(text: &str, from: Timestamp, to: Timestamp) -> Option<Self> {
        let digits: String = text.chars().filter(|char| *char != '-').collect();
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || digits.len() < SHORT_ID_DIGITS_MIN || digits.len() > 32 {
            return None;
        }
        if text.contains('-') || digits.len() > SHORT_ID_DIGITS {
            return Some(Self(vec![between(&digits)?]));
        }
        let (time, random) = digits.split_at(digits.len().min(8));
        // The version stands between the time and the random digits.
        let rest = if random.is_empty() {
            time.to_owned()
        } else {
            format!("{time}7{random}")
        };
        let ranges = high_digits(from, to).map(|high| between(&format!("{high:04x}{rest}")));
        ranges.collect::<Option<_>>().map(Self)
    }

    /// Returns the ranges, each with its first and its last id.
    pub fn ranges(&self) -> &[(Uuid, Uuid)] {
        &self.0
    }

    /// Returns whether the text may mean this id.
    pub fn contains(&self, id: ExecutionId) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(first, last)| (first..=last).contains(&id.as_uuid()))
    }
}

/// The first and the last id with this beginning.
fn between(beginning: &str) -> Option<(Uuid, Uuid)> {
    let filled =
        |with: &str| Uuid::try_parse(&format!("{beginning}{}", with.repeat(32 - beginning.len())));
    Some((filled("0").ok()?, filled("f").ok()?))
}

/// The first sixteen bits of ids of executions that began in this time.
fn high_digits(from: Timestamp, to: Timestamp) -> impl Iterator<Item = u16> {
    let high = |at: Timestamp| {
        let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
        u16::try_from(millis >> 32).unwrap_or(u16::MAX)
    };
    high(from)..=high(to)
}

#[cfg(test)]
mod tests;
