//! Reads the fields of a cron line as Debian's cron does, each by its own rules, and gives croner, which searches
//! for the times, plain lists. So meaningless text is rejected, and a name counts only in its own field.

use std::collections::BTreeSet;

/// The meaning of a field, and its allowed values.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) allowed: &'static str,
    first: u32,
    last: u32,
    /// Names for its numbers, starting with the first.
    names: &'static [&'static str],
    /// Recognises special values of this field that croner reads: `L`, `15W`, `FRI#2`.
    is_special: fn(&str) -> bool,
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const fn never(_: &str) -> bool {
    false
}

/// All fields, seconds first.
pub(super) const FIELDS: [Field; 7] = [
    Field {
        name: "seconds",
        allowed: "numbers from 0 to 59, such as 30, 0,30, 10-20 or */15",
        first: 0,
        last: 59,
        names: &[],
        is_special: never,
    },
    Field {
        name: "minutes",
        allowed: "numbers from 0 to 59, such as 30, 0,30, 10-20 or */15",
        first: 0,
        last: 59,
        names: &[],
        is_special: never,
    },
    Field {
        name: "hours",
        allowed: "numbers from 0 to 23, such as 7, 7,19, 8-17 or */2",
        first: 0,
        last: 23,
        names: &[],
        is_special: never,
    },
    Field {
        name: "days of the month",
        allowed: "numbers from 1 to 31, L for the last, LW for the last weekday or 15W for the nearest one",
        first: 1,
        last: 31,
        names: &[],
        is_special: is_special_day,
    },
    Field {
        name: "months",
        allowed: "numbers from 1 to 12 or JAN to DEC, such as 6, 6-8 or */3",
        first: 1,
        last: 12,
        names: MONTHS,
        is_special: never,
    },
    Field {
        name: "days of the week",
        allowed: "numbers from 0 to 7 or SUN to SAT, such as MON-FRI, FRI#2 or 5L",
        first: 0,
        last: 7,
        names: DAYS,
        is_special: is_special_weekday,
    },
    Field {
        name: "years",
        allowed: "numbers from 1970 to 2199, such as 2027, 2027-2030 or 2028/4",
        first: 1_970,
        last: 2_199,
        names: &[],
        is_special: never,
    },
];

/// The index of the days of the week in [`FIELDS`].
pub(super) const WEEKDAYS: usize = 5;
/// The place of the days of the month.
pub(super) const MONTHDAYS: usize = 3;

fn is_special_day(part: &str) -> bool {
    let nearest = part.strip_suffix('W').and_then(|day| day.parse().ok());
    matches!(part, "L" | "LW") || nearest.is_some_and(|day: u32| (1..=31).contains(&day))
}

fn is_special_weekday(part: &str) -> bool {
    let is_day = |day: &str| number(day, &FIELDS[WEEKDAYS]).is_some();
    if let Some(day) = part.strip_suffix('L') {
        return is_day(day);
    }
    let nth = |nth: &str| matches!(nth, "1" | "2" | "3" | "4" | "5" | "L");
    part.split_once('#')
        .is_some_and(|(day, which)| is_day(day) && nth(which))
}

/// Returns the field in croner's syntax: a list of numbers and special values. `None` if it is invalid.
pub(super) fn read(text: &str, field: &Field) -> Option<String> {
    if text == "*" || text == "?" && (field.first == 1 && field.last == 31 || field.last == 7) {
        return Some("*".into());
    }
    let text = text.to_ascii_uppercase();
    let (mut numbers, mut special) = (BTreeSet::new(), Vec::new());
    for part in text.split(',') {
        if (field.is_special)(part) {
            special.push(part.to_owned());
        } else {
            numbers.extend(range(part, field)?);
        }
    }
    // 0 and 7 are both Sunday.
    if field.last == 7 && numbers.remove(&7) {
        numbers.insert(0);
    }
    let numbers = numbers.iter().map(ToString::to_string);
    let all: Vec<String> = numbers.chain(special).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// Reads `*`, a number or a range, each with an optional step.
fn range(part: &str, field: &Field) -> Option<impl Iterator<Item = u32> + use<>> {
    let (range, step) = match part.split_once('/') {
        None => (part, None),
        Some((range, step)) => (range, Some(digits(step).filter(|step| *step > 0)?)),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (field.first, field.last),
        Some((first, last)) => (number(first, field)?, number(last, field)?),
        // As an extension, a number with a step runs to the field's end; Debian's cron refuses that.
        None => {
            let first = number(range, field)?;
            (first, step.map_or(first, |_| field.last))
        }
    };
    (first <= last).then(|| (first..=last).step_by(step.unwrap_or(1) as usize))
}

fn number(text: &str, field: &Field) -> Option<u32> {
    let named = field.names.iter().position(|name| *name == text);
    let named = named.and_then(|place| u32::try_from(place).ok());
    let number = named
        .map(|place| field.first + place)
        .or_else(|| digits(text))?;
    (field.first..=field.last)
        .contains(&number)
        .then_some(number)
}

/// Parses digits only, without a sign.
fn digits(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
