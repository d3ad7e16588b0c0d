//! Times as people write them: `2h`, `yesterday`, `03:00`, `2026-11-28`, `2026-11-28 03:00`.

use std::str::FromStr;

use crate::config::duration::with_days;
use command_executor::{Timestamp, Window};
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan, Unit, ZonedDateTime, ZonedDateTimeRound};

const HELP: &str = "write it like 2h, yesterday, 03:00, 2026-11-28 or 2026-11-28T03:00";

/// A time on the command line: a stretch as long as its last unit, because an end counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct When {
    pub(crate) from: Timestamp,
    /// The first moment after it.
    pub(crate) to: Timestamp,
}

/// What lies between two times on the command line.
pub(crate) fn window(since: Option<When>, until: Option<When>) -> Window {
    Window {
        from: since.map(|since| since.from),
        to: until.map(|until| until.to),
        session: None,
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, &ZonedDateTime::now())
            .ok_or_else(|| format!("`{text}` is not a time: {HELP}"))
    }
}

impl When {
    /// Reads a time in the zone of `now`. A time without a date is the latest past one.
    pub(crate) fn read(text: &str, now: &ZonedDateTime) -> Option<Self> {
        let text = text.trim();
        match text {
            "now" => return Self::at(now),
            "today" => return Self::day(now),
            "yesterday" => return Self::day(&now.checked_sub(1.day()).ok()?),
            _ => {}
        }
        if let Some(ago) = ago_of(text) {
            return Self::at(&now.checked_sub(ago).ok()?);
        }
        let zone = || now.time_zone().clone();
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Self::at(&at.to_zoned_datetime(zone()));
        }
        if let Some(date) = text.parse::<Date>().ok().filter(|_| text.len() <= 10) {
            return Self::day(&date.to_zoned_datetime(zone()).ok()?);
        }
        let unit = match text.matches(':').count() > 1 {
            true => Unit::Second,
            false => Unit::Minute,
        };
        let is_of_day = text.contains(':') && !text.contains('-');
        if let Some(time) = text.parse::<Time>().ok().filter(|_| is_of_day) {
            return Self::unit(&latest(time, now)?, unit);
        }
        let written = text.parse().ok();
        let at: DateTime = written.or_else(|| as_shown(text, now))?;
        Self::unit(&at.to_zoned_datetime(zone()).ok()?, unit)
    }

    fn day(at: &ZonedDateTime) -> Option<Self> {
        let start = at.start_of_day().ok()?;
        Self::between(&start, &start.checked_add(1.day()).ok()?)
    }

    fn at(at: &ZonedDateTime) -> Option<Self> {
        let from = micros(at)?;
        let to = Timestamp::from_micros(from.as_micros().checked_add(1)?);
        Some(Self { from, to })
    }

    fn unit(at: &ZonedDateTime, unit: Unit) -> Option<Self> {
        let round = ZonedDateTimeRound::new()
            .smallest(unit)
            .mode(jiff::RoundMode::Floor);
        let start = at.round(round).ok()?;
        let length = match unit {
            Unit::Second => 1.second(),
            _ => 1.minute(),
        };
        Self::between(&start, &start.checked_add(length).ok()?)
    }

    fn between(from: &ZonedDateTime, to: &ZonedDateTime) -> Option<Self> {
        Some(Self {
            from: micros(from)?,
            to: micros(to)?,
        })
    }
}

/// This time today, or yesterday if it is still to come.
fn latest(time: Time, now: &ZonedDateTime) -> Option<ZonedDateTime> {
    let today = now.date().to_datetime(time);
    let today = today.to_zoned_datetime(now.time_zone().clone()).ok()?;
    match today > *now {
        true => today.checked_sub(1.day()).ok(),
        false => Some(today),
    }
}

/// A day of this year with a time, as tables show it: `26 Nov 14:23:10`. One that is to come was last year.
fn as_shown(text: &str, now: &ZonedDateTime) -> Option<DateTime> {
    let of_year =
        |year: i16| DateTime::strptime("%Y %d %b %H:%M:%S", format!("{year} {text}")).ok();
    let year = now.date().year();
    let this_year = of_year(year);
    match this_year {
        Some(at) if at <= now.datetime() => Some(at),
        _ => of_year(year - 1),
    }
}

/// A time ago, such as `90s`, `2h30m`, `7d` or `2w`.
fn ago_of(text: &str) -> Option<SignedDuration> {
    if !text.starts_with(|char: char| char.is_ascii_digit()) || text.contains([':', '-']) {
        return None;
    }
    with_days(text)
}

fn micros(at: &ZonedDateTime) -> Option<Timestamp> {
    Some(Timestamp::from_micros(at.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests;
