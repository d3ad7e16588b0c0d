//! What a cron line means in a time zone. Reading it, and finding the wall clock's times that fit, is
//! croner's work; which moments those are where the clock changes is decided here.

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

/// A cron line in a time zone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Cron {
    line: Arc<str>,
    pattern: croner::Cron,
    zone: TimeZone,
    /// It names times of day, not a rhythm.
    is_fixed: bool,
}

/// What the fields are for, and what may stand in them.
const FIELDS: [(&str, &str); 7] = [
    (
        "seconds",
        "numbers from 0 to 59, such as 30, 0,30, 10-20 or */15",
    ),
    (
        "minutes",
        "numbers from 0 to 59, such as 30, 0,30, 10-20 or */15",
    ),
    (
        "hours",
        "numbers from 0 to 23, such as 7, 7,19, 8-17 or */2",
    ),
    (
        "days of the month",
        "numbers from 1 to 31, L for the last or 15W for the nearest weekday",
    ),
    (
        "months",
        "numbers from 1 to 12 or JAN to DEC, such as 6, 6-8 or */3",
    ),
    (
        "days of the week",
        "numbers from 0 to 7 or SUN to SAT, such as MON-FRI, FRI#2 or 5L",
    ),
    ("years", "numbers such as 2027 or 2027-2030"),
];

impl Cron {
    pub(super) fn parse(line: &str, time_zone: &str) -> Result<Self, ScheduleError> {
        let line = line.trim();
        let pattern = parse(line)?;
        let unknown = |_| ScheduleError::TimeZone {
            name: time_zone.to_owned(),
        };
        let cron = Self {
            line: Arc::from(line),
            is_fixed: is_fixed(&pattern),
            pattern,
            zone: TimeZone::get(time_zone).map_err(unknown)?,
        };
        // From the first of the year in which nobody could have used this.
        let comes = cron.civil_from(DateTime::constant(2020, 1, 1, 0, 0, 0, 0));
        match comes {
            Some(_) => Ok(cron),
            None => Err(ScheduleError::Never { line: line.into() }),
        }
    }

    /// The first moment after `after`; `None` if none comes.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_microsecond(after.as_micros()).ok()?;
        let next = if self.is_fixed {
            self.next_time_of_day(after)
        } else {
            self.next_of_rhythm(after)
        };
        next.map(|next| Timestamp::from_micros(next.as_microsecond()))
    }

    /// Times of day in their order, each at its moment. Those that come before `after` all the same are
    /// the ones whose hour has come for the second time, or did not come.
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

    /// When a time of day comes: the first time, or when the clock passes over it.
    fn moment_of(&self, time: DateTime) -> Option<jiff::Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(time);
        if let AmbiguousOffset::Gap { .. } = ambiguous.offset() {
            // Read with the offset after the change, it lies before it.
            let before = ambiguous.earlier().ok()?;
            let change = self.zone.following(before).next()?;
            return Some(change.timestamp());
        }
        ambiguous.earlier().ok()
    }

    /// From one change of the clock to the next, whatever the clock shows.
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

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.line, self.zone.iana_name().unwrap_or("?"))
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

/// Whether nothing about the time of day begins with a star.
fn is_fixed(pattern: &croner::Cron) -> bool {
    let fields: Vec<&str> = pattern.pattern.as_str().split_whitespace().collect();
    let of_the_day = if fields.len() == 5 { 2 } else { 3 };
    let mut of_the_day = fields.iter().take(of_the_day);
    of_the_day.all(|field| !field.starts_with('*'))
}

fn parse(line: &str) -> Result<croner::Cron, ScheduleError> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_nickname = line.starts_with('@');
    if !is_nickname && !(5..=7).contains(&fields.len()) {
        return Err(ScheduleError::Fields {
            line: line.to_owned(),
            given: fields.len(),
        });
    }
    line.parse().map_err(|_: CronError| {
        if is_nickname {
            ScheduleError::Nickname { line: line.into() }
        } else {
            wrong_field(line, &fields)
        }
    })
}

/// croner does not say which field it stumbled over: each is asked for alone.
fn wrong_field(line: &str, fields: &[&str]) -> ScheduleError {
    let first = if fields.len() == 5 { 1 } else { 0 };
    let is_wrong = |place: usize| {
        let mut alone = ["*"; 7];
        alone[first + place] = fields[place];
        alone.join(" ").parse::<croner::Cron>().is_err()
    };
    let place = (0..fields.len()).find(|place| is_wrong(*place));
    let place = place.unwrap_or_default();
    let (name, allowed) = FIELDS[first + place];
    // The fields are parts of the line, so the distance between them is known.
    let bytes = fields[place].as_ptr().addr() - line.as_ptr().addr();
    ScheduleError::Field {
        line: line.to_owned(),
        name,
        field: fields[place].to_owned(),
        column: line[..bytes].chars().count() + 1,
        allowed,
    }
}

/// A time of the wall clock, nowhere in particular: to croner every one of them comes once.
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
