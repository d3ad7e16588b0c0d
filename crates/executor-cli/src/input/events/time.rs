//! Reads the time at which an event happened, in whichever of the usual forms.

use command_executor::Timestamp;
use serde_json::Number;

use crate::input::pointer::Scalar;

/// Below this a number counts seconds since 1970, below a thousand times this milliseconds, and so on: seconds reach the
/// year 5138 so, and milliseconds begin in 1973.
const SECONDS_BELOW: f64 = 1e11;

/// Returns the time: text of RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970,
/// which may be text, too. `None` if it is nothing of that; an event without a time is none the worse.
pub(super) fn time_of(found: &Scalar<'_>) -> Option<Timestamp> {
    let text = match found {
        Scalar::Text(text) => text,
        Scalar::Number(number) => *number,
        Scalar::Word(_) | Scalar::Container => return None,
    };
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Some(Timestamp::from_micros(at.as_microsecond())),
        Err(_) => of_number(text),
    }
}

fn of_number(text: &str) -> Option<Timestamp> {
    // As JSON writes numbers: nothing infinite, no hexadecimal.
    let number: Number = text.parse().ok()?;
    let number = number.as_f64().filter(|number| *number >= 0.0)?;
    let mut unit = 1e6;
    let mut limit = SECONDS_BELOW;
    while number >= limit {
        unit /= 1e3;
        limit *= 1e3;
    }
    let micros = match text.parse::<i64>() {
        // Without the loss of a float.
        Ok(whole) if unit >= 1.0 => whole.checked_mul(unit as i64)?,
        Ok(whole) if unit >= 1e-3 => whole / 1_000,
        _ if unit >= 1e-3 => (number * unit).round() as i64,
        _ => return None,
    };
    Some(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests;
