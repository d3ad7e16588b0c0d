//! Interprets a cron line in a time zone. `fields` reads the line, croner finds the matching times of the wall
//! clock, and this module decides which moments those are when the clock changes.

mod fields;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use croner::errors::CronError;
use croner::{CivilDateTime, CronDateTime, Resolution, Weekday};
use executor_core::Timestamp;
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::error::ScheduleError;
use fields::{FIELDS, Field, MONTHDAYS, WEEKDAYS};

/// A cron line in a time zone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Cron {
    line: Arc<str>,
    pattern: croner::Cron,
    zone: TimeZone,
    /// True if it names times of day, not a rhythm.
    is_fixed: bool,
}

/// Stands for the time zone of the system.
const LOCAL: &str = "local";

/// The zone that is named, or the system's own.
fn zone_of(name: &str) -> Result<TimeZone, jiff::Error> {
    if name == LOCAL {
        TimeZone::try_system()
    } else {
        TimeZone::get(name)
    }
}

impl Cron {
    pub(super) fn parse(line: &str, time_zone: &str) -> Result<Self, ScheduleError> {
        let line = line.trim();
        let (pattern, is_fixed) = parse(line)?;
        let unknown = |_| ScheduleError::TimeZone {
            name: time_zone.to_owned(),
        };
        let cron = Self {
            line: Arc::from(line),
            is_fixed,
            pattern,
            zone: zone_of(time_zone).map_err(unknown)?,
        };
        // From a year before this crate existed.
        let comes = cron.civil_from(DateTime::constant(2020, 1, 1, 0, 0, 0, 0));
        match comes {
            Some(_) => Ok(cron),
            None => Err(ScheduleError::Never { line: line.into() }),
        }
    }

    /// Returns the first moment after `after`; `None` if none comes.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_microsecond(after.as_micros()).ok()?;
        let next = if self.is_fixed {
            self.next_time_of_day(after)
        } else {
            self.next_of_rhythm(after)
        };
        next.map(|next| Timestamp::from_micros(next.as_microsecond()))
    }

    /// Goes through the times of day in order and returns the first moment after `after`. A time of day may still
    /// map to an earlier moment if its hour is repeated or skipped.
    fn next_time_of_day(&self, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let mut time = self.civil_after(self.zone.to_datetime(after))?;
        loop {
            let moment = self.moment_of(time)?;
            if moment > after {
                return Some(moment);
            }
            time = self.civil_after(time)?;
        }
    }

    /// Returns the moment of a time of day: its first occurrence, or the change of the clock that skips it.
    fn moment_of(&self, time: DateTime) -> Option<jiff::Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(time);
        if let AmbiguousOffset::Gap { .. } = ambiguous.offset() {
            // Read with the offset after the change, the time lies before the change.
            let before = ambiguous.earlier().ok()?;
            let change = self.zone.following(before).next()?;
            return Some(change.timestamp());
        }
        ambiguous.earlier().ok()
    }

    /// Searches from one change of the clock to the next, following whatever the clock shows.
    fn next_of_rhythm(&self, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        const DAY: SignedDuration = SignedDuration::from_hours(24);
        let (mut from, mut is_included) = (after, false);
        loop {
            let offset = self.zone.to_offset(from);
            let shown = offset.to_datetime(from);
            let time = if is_included {
                self.civil_from(shown)?
            } else {
                self.civil_after(shown)?
            };
            let moment = offset.to_timestamp(time).ok()?;
            // No zone changes its clock twice in a day, so this one did not in between.
            let is_near = moment.duration_since(from) < DAY;
            if is_near && self.zone.to_offset(moment) == offset {
                return Some(moment);
            }
            match self.zone.following(from).next() {
                Some(change) if change.timestamp() <= moment => {
                    (from, is_included) = (change.timestamp(), true);
                }
                _ => return Some(moment),
            }
        }
    }

    fn civil_after(&self, time: DateTime) -> Option<DateTime> {
        let found = self.pattern.find_next_occurrence(&Civil(time), false);
        found.ok().map(|found| found.0)
    }

    fn civil_from(&self, time: DateTime) -> Option<DateTime> {
        let found = self.pattern.find_next_occurrence(&Civil(time), true);
        found.ok().map(|found| found.0)
    }
}

impl Cron {
    /// Returns its line and the name of its time zone.
    pub(super) fn parts(&self) -> (&str, &str) {
        (&self.line, self.zone.iana_name().unwrap_or(LOCAL))
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, zone) = self.parts();
        write!(f, "{line} {zone}")
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

/// Nicknames that stand for a whole line.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Returns the line in croner's syntax, and whether it names times of day: that is, whether no field for the time
/// of day begins with a star.
fn parse(line: &str) -> Result<(croner::Cron, bool), ScheduleError> {
    if line.starts_with('@') {
        let nickname = line.to_ascii_lowercase();
        let known = NICKNAMES.iter().find(|(name, _)| *name == nickname);
        return match known {
            Some((_, whole)) => parse(whole),
            None if nickname == "@reboot" => Err(ScheduleError::Reboot),
            None => Err(ScheduleError::Nickname { line: line.into() }),
        };
    }
    let fields: Vec<&str> = line.split_whitespace().collect();
    if !(5..=7).contains(&fields.len()) {
        return Err(ScheduleError::Fields {
            line: line.to_owned(),
            given: fields.len(),
        });
    }
    let first = usize::from(fields.len() == 5);
    let mut read = Vec::new();
    for (place, field) in fields.iter().enumerate() {
        let known = fields::read(field, &FIELDS[first + place]);
        read.push(known.ok_or_else(|| wrong_field(line, field, &FIELDS[first + place]))?);
    }
    let (of_month, of_week) = (MONTHDAYS - first, WEEKDAYS - first);
    // As in Debian's cron: if either begins with a star, both must match, else one of them.
    if fields[of_month].starts_with('*') || fields[of_week].starts_with('*') {
        read[of_week].insert(0, '+');
    }
    let is_fixed = fields
        .iter()
        .take(3 - first)
        .all(|field| !field.starts_with('*'));
    let canonical = read.join(" ");
    match canonical.parse() {
        Ok(pattern) => Ok((pattern, is_fixed)),
        // Each field is valid on its own, so their combination is wrong.
        Err(_) => Err(wrong_field(line, fields[of_week], &FIELDS[WEEKDAYS])),
    }
}

/// Builds the error for a field. `field` is a slice of `line`, which gives its column.
fn wrong_field(line: &str, field: &str, known: &Field) -> ScheduleError {
    let bytes = field.as_ptr().addr() - line.as_ptr().addr();
    ScheduleError::Field {
        line: line.to_owned(),
        name: known.name,
        field: field.to_owned(),
        column: line[..bytes].chars().count() + 1,
        allowed: known.allowed,
    }
}

/// A wall-clock time without a time zone: for croner each one occurs exactly once.
#[derive(Clone, Copy)]
struct Civil(DateTime);

impl CronDateTime for Civil {
    fn to_civil(&self) -> CivilDateTime {
        let (date, time) = (self.0.date(), self.0.time());
        let part = |number: i8| u32::from(number.unsigned_abs());
        CivilDateTime::new(
            croner::CivilDate::from_parts_unchecked(
                date.year().into(),
                part(date.month()),
                part(date.day()),
            ),
            croner::CivilTime::from_parts_unchecked(
                part(time.hour()),
                part(time.minute()),
                part(time.second()),
            ),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let sunday_is_zero = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(sunday_is_zero.unsigned_abs().into())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let time = DateTime::new(
            year,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        );
        let time = time.map_err(|_| CronError::InvalidDate)?;
        Ok(Resolution::Single(Self(time)))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let later = self.0.checked_add(SignedDuration::from_secs(seconds));
        later.ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests;
