//! What cron lines mean, above all where the clock changes. Berlin: 2026-03-29 02:00 becomes 03:00, at
//! 01:00 UTC, and 2026-10-25 03:00 becomes 02:00, at 01:00 UTC. New York: 2026-03-08 02:00 becomes 03:00,
//! at 07:00 UTC, and 2026-11-01 02:00 becomes 01:00, at 06:00 UTC.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

fn utc(text: &str) -> jiff::Timestamp {
    format!("{text}:00Z").parse().unwrap()
}

/// The moments in UTC between two others, the second included.
fn moments(line: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let cron = Cron::parse(line, zone).unwrap();
    let (mut at, to) = (utc(from), utc(to));
    let mut found = Vec::new();
    loop {
        let Some(next) = cron.next_after(Timestamp::from_micros(at.as_microsecond())) else {
            return found;
        };
        at = jiff::Timestamp::from_microsecond(next.as_micros()).unwrap();
        if at > to {
            return found;
        }
        found.push(at.strftime("%dT%H:%M").to_string());
    }
}

#[test]
fn f06_a_time_of_day_that_does_not_come_is_run_at_the_change_once() {
    let spring = |line, zone, from, to| moments(line, zone, from, to);
    let (from, to) = ("2026-03-28T00:00", "2026-03-30T23:00");
    // 02:30 in winter is 01:30 UTC, in summer 00:30.
    let expected = ["28T01:30", "29T01:00", "30T00:30"];
    assert_eq!(spring("30 2 * * *", BERLIN, from, to), expected);
    let (from, to) = ("2026-03-07T00:00", "2026-03-09T23:00");
    let expected = ["07T07:30", "08T07:00", "09T06:30"];
    assert_eq!(spring("30 2 * * *", NEW_YORK, from, to), expected);
    // However many do not come, and also if the change itself is one of them.
    let (from, to) = ("2026-03-08T05:00", "2026-03-08T09:00");
    let expected = [
        "08T06:00", "08T06:30", "08T07:00", "08T07:30", "08T08:00", "08T08:30",
    ];
    assert_eq!(spring("0,30 1-4 * * *", NEW_YORK, from, to), expected);
}

#[test]
fn f06_a_time_of_day_that_comes_twice_is_run_the_first_time() {
    let (from, to) = ("2026-10-24T00:00", "2026-10-26T23:00");
    let expected = ["24T00:30", "25T00:30", "26T01:30"];
    assert_eq!(moments("30 2 * * *", BERLIN, from, to), expected);
    let (from, to) = ("2026-10-31T00:00", "2026-11-02T23:00");
    let expected = ["31T05:30", "01T05:30", "02T06:30"];
    assert_eq!(moments("30 1 * * *", NEW_YORK, from, to), expected);
    // 02:30 comes once in New York.
    let expected = ["31T06:30", "01T07:30", "02T07:30"];
    assert_eq!(moments("30 2 * * *", NEW_YORK, from, to), expected);
}

#[test]
fn f06_a_rhythm_goes_on_through_both_changes() {
    let quarters = [
        "00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45", "02:00",
    ];
    for day in ["2026-03-29", "2026-10-25"] {
        let (from, to) = (format!("{day}T00:00"), format!("{day}T02:00"));
        let expected = quarters.map(|time| format!("{}T{time}", &day[8..]));
        assert_eq!(moments("*/15 * * * *", BERLIN, &from, &to), expected);
    }
    for (day, hours) in [("2026-03-08", [6, 7, 8, 9]), ("2026-11-01", [5, 6, 7, 8])] {
        let (from, to) = (
            format!("{day}T0{}:30", hours[0] - 1),
            format!("{day}T0{}:00", hours[3]),
        );
        let expected = hours.map(|hour| format!("{}T0{hour}:00", &day[8..]));
        assert_eq!(moments("@hourly", NEW_YORK, &from, &to), expected);
    }
}

#[test]
fn f06_a_rhythm_of_some_hours_leaves_out_one_that_does_not_come_and_repeats_one_that_comes_twice() {
    let (from, to) = ("2026-03-28T12:00", "2026-03-30T12:00");
    assert_eq!(
        moments("*/30 2 * * *", BERLIN, from, to),
        ["30T00:00", "30T00:30"]
    );
    let (from, to) = ("2026-10-24T12:00", "2026-10-25T12:00");
    let expected = ["25T00:00", "25T00:30", "25T01:00", "25T01:30"];
    assert_eq!(moments("*/30 2 * * *", BERLIN, from, to), expected);
    // Also if it is asked for in the middle of the first time, and the next day that fits is years off.
    let (from, to) = ("2026-10-25T00:45", "2027-12-31T00:00");
    assert_eq!(
        moments("*/30 2 25 10 SUN", BERLIN, from, to)[..2],
        ["25T01:00", "25T01:30"]
    );
}

#[test]
fn f06_days_weekdays_months_and_years_are_those_of_the_zone() {
    // The last day of February, Saturday the 28th, begins in Auckland at noon of the 27th, UTC.
    let (from, to) = ("2026-02-20T00:00", "2026-03-05T00:00");
    assert_eq!(
        moments("0 0 L * *", "Pacific/Auckland", from, to),
        ["27T11:00"]
    );
    assert_eq!(
        moments("0 0 * * FRI#4", "Pacific/Auckland", from, to),
        ["26T11:00"]
    );
    // Samoa had no 30th of December 2011: its day begins with the next one.
    let (from, to) = ("2011-12-29T00:00", "2012-01-01T00:00");
    let expected = ["29T10:00", "30T10:00", "31T10:00"];
    assert_eq!(moments("0 0 * * *", "Pacific/Apia", from, to), expected);
    let (from, to) = ("2026-01-01T00:00", "2031-01-01T00:00");
    assert_eq!(moments("30 0 12 1 1 * 2028", "UTC", from, to), ["01T12:00"]);
}

#[test]
fn f06_a_wrong_line_says_where_and_what_to_write() {
    let error = |line| Cron::parse(line, "UTC").unwrap_err().to_string();
    let cases = [
        ("0 7 * *", "has 4 fields: write minutes, hours"),
        ("", "has 0 fields"),
        ("@sometimes", "use @hourly, @daily"),
        (
            "60 7 * * *",
            "minutes `60` at column 1: write numbers from 0 to 59",
        ),
        (
            "0  25 * * *",
            "hours `25` at column 4: write numbers from 0 to 23",
        ),
        ("0 7 32 * *", "days of the month `32` at column 5"),
        ("0 7 * JANUAR *", "months `JANUAR` at column 7"),
        (
            "0 7 * * MOO",
            "days of the week `MOO` at column 9: write numbers from 0 to 7",
        ),
        ("0 7 * * * soon", "days of the week `soon` at column 11"),
        ("61 0 7 * * *", "seconds `61` at column 1"),
        ("0 7 ü * *", "days of the month `ü` at column 5"),
        ("0 0 30 2 *", "never comes: no such day exists"),
        ("0 0 0 1 1 * 1999", "never comes"),
    ];
    for (line, expected) in cases {
        let said = error(line);
        assert!(said.contains(expected), "{line}: {said}");
        assert!(!said.contains('\n'), "{said}");
    }
    let error = Cron::parse("0 7 * * *", "Europe/Berln")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`Europe/Berln` is not a time zone: use a name"),
        "{error}"
    );
}

#[test]
fn f06_local_stands_for_the_zone_of_the_system() {
    let cron = Cron::parse("0 7 * * *", "local").unwrap();
    let zone = jiff::tz::TimeZone::system();
    let shown = zone.iana_name().unwrap_or("local");
    assert_eq!(cron.to_string(), format!("0 7 * * * {shown}"));
    assert_eq!(cron.zone, zone);
}

/// The numbers that a field of this test's lines means.
fn numbers(field: &str, below: i8) -> BTreeSet<i8> {
    let of_part = |part: &str| -> Vec<i8> {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, below - 1),
            Some((first, last)) => (first.parse().unwrap(), last.parse().unwrap()),
            None => (range.parse().unwrap(), range.parse().unwrap()),
        };
        (first..=last).step_by(step.parse().unwrap()).collect()
    };
    field.split(',').flat_map(of_part).collect()
}

/// The rule in its plainest form, minute by minute, over the moments of two days.
fn by_looking_at_every_minute(
    (minutes, hours): (&str, &str),
    zone: &TimeZone,
    from: jiff::Timestamp,
) -> Vec<jiff::Timestamp> {
    let minute = SignedDuration::from_mins(1);
    let fits = |time: DateTime| {
        numbers(minutes, 60).contains(&time.minute()) && numbers(hours, 24).contains(&time.hour())
    };
    let is_rhythm = minutes.starts_with('*') || hours.starts_with('*');
    let mut found = Vec::new();
    let mut shown_before = BTreeSet::from([zone.to_datetime(from)]);
    let mut moment = from;
    for _ in 0..2 * 24 * 60 {
        let before = zone.to_datetime(moment);
        moment += minute;
        let shown = zone.to_datetime(moment);
        // What the clock passes over since the minute before, then what it shows.
        let passed = std::iter::successors(before.checked_add(minute).ok(), |t| {
            t.checked_add(minute).ok()
        });
        let passed_over = passed.take_while(|time| *time < shown).any(fits);
        let is_first = shown_before.insert(shown);
        let is_time = if is_rhythm {
            fits(shown)
        } else {
            passed_over || is_first && fits(shown)
        };
        if is_time {
            found.push(moment);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn f06_the_moments_are_those_of_the_rule(
        minutes in prop::sample::select(vec!["*", "*/15", "0", "30", "0,30", "10-20/5"]),
        hours in prop::sample::select(vec!["*", "*/2", "0", "1", "2", "3", "1-3", "2,14"]),
        zone in prop::sample::select(vec![BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kathmandu"]),
        change in prop::sample::select(vec![
            "2026-03-29T01:00", "2026-10-25T01:00", "2026-03-08T07:00", "2026-11-01T06:00",
            "2026-04-04T15:00", "2026-10-03T15:30", "2026-06-01T00:00",
        ]),
        minutes_before in 0..1_500_i64,
    ) {
        let line = format!("{minutes} {hours} * * *");
        let cron = Cron::parse(&line, zone).unwrap();
        let from = utc(change) - SignedDuration::from_mins(minutes_before);
        let zone = TimeZone::get(zone).unwrap();
        // A time of day that comes for the second time may have come before `from`.
        prop_assume!(!matches!(
            zone.to_ambiguous_timestamp(zone.to_datetime(from)).offset(),
            AmbiguousOffset::Fold { .. }
        ));
        let expected = by_looking_at_every_minute((minutes, hours), &zone, from);
        let mut at = Timestamp::from_micros(from.as_microsecond());
        for moment in expected {
            at = cron.next_after(at).unwrap();
            prop_assert_eq!(at.as_micros(), moment.as_microsecond(), "{} {}", line, moment);
        }
    }
}

#[test]
fn f06_a_rhythm_whose_next_time_is_months_away_is_not_lost_behind_a_change() {
    let (from, to) = ("2026-11-01T00:00", "2027-04-01T00:00");
    let found = moments("0 * 1 1 *", BERLIN, from, to);
    assert_eq!(found.len(), 24);
    assert_eq!(found[0], "31T23:00");
    let cron = Cron::parse("0 * 1 1 *", BERLIN).unwrap();
    assert_eq!(format!("{cron:?}"), "Cron(0 * 1 1 * Europe/Berlin)");
}

#[test]
fn f06_reboot_is_refused_with_what_to_write_instead() {
    assert_eq!(
        Cron::parse("@REBOOT", BERLIN).unwrap_err(),
        ScheduleError::Reboot
    );
}
