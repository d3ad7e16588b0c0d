//! Reads the fields of a cron line as Debian's cron does, each in its own terms: croner, which looks for the times, is
//! given plain lists. So nothing is accepted that says nothing, and a name counts in its own field only.

use std::collections::BTreeSet;

/// What a field is for, and what may stand in it.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) allowed: &'static str,
    first: u32,
    last: u32,
    /// Names of its numbers, from the one that stands for the first.
    names: &'static [&'static str],
    /// What only this field knows, and croner reads: `L`, `15W`, `FRI#2`.
    is_special: fn(&str) -> bool,
}

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const fn never(_: &str) -> bool {
    false
}

/// All of them, seconds first.
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

/// The place of the days of the week among them.
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

/// The field as croner reads it: numbers and what is special, in a list. `None` if it makes no sense.
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

/// `*`, a number or a range, all of them with a step if there is one.
fn range(part: &str, field: &Field) -> Option<impl Iterator<Item = u32> + use<>> {
    let (range, step) = match part.split_once('/') {
        None => (part, None),
        Some((range, step)) => (range, Some(digits(step).filter(|step| *step > 0)?)),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (field.first, field.last),
        Some((first, last)) => (number(first, field)?, number(last, field)?),
        // A number with a step goes on to the end, as an extension: Debian's cron refuses it.
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

/// Digits only: a sign is none of them.
fn digits(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
