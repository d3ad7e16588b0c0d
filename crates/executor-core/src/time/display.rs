//! Shows a time in UTC, as RFC 3339 writes it.

use std::fmt;

use super::Timestamp;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Shows microseconds, or as many digits of a second as the precision asks for; further digits are cut off. Years
/// outside of 0 to 9999 have a sign.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        let (year, month, day) = date_of(micros.div_euclid(DAY));
        match year {
            0..=9_999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+05}")?,
        }
        let of_day = micros.rem_euclid(DAY);
        let seconds = of_day / SECOND;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match f.precision().unwrap_or(6).min(6) {
            0 => {}
            digits => {
                let fraction = format!("{:06}", of_day % SECOND);
                write!(f, ".{}", &fraction[..digits])?;
            }
        }
        f.write_str("Z")
    }
}

/// The civil date this many days after 1970-01-01. Counted in years that begin in March, so that a leap day is the
/// last of its year, and in cycles of 400 years, after which the calendar repeats itself.
const fn date_of(days: i64) -> (i64, i64, i64) {
    const CYCLE: i64 = 146_097;
    // 0000-03-01 is this many days before 1970-01-01.
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(CYCLE), days.rem_euclid(CYCLE));
    // Without the leap days before it, each year has 365 days.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    // March to July, and August to December, have 153 days each.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (cycle * 400 + year + next, month, of_month)
}

#[cfg(test)]
mod tests;
