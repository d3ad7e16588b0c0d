//! Tests of `times.rs`.

use super::*;

fn now() -> ZonedDateTime {
    "2026-11-28T14:05:30+01:00[Europe/Berlin]".parse().unwrap()
}

fn read(text: &str) -> Option<(String, String)> {
    let when = When::read(text, &now())?;
    let shown = |at: Timestamp| {
        let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap();
        let at = at.in_tz("Europe/Berlin").unwrap();
        at.strftime("%m-%d %H:%M:%S").to_string()
    };
    Some((shown(when.from), shown(when.to)))
}

#[test]
fn i01_times_are_read_as_people_write_them_and_an_end_counts() {
    for (text, from, to) in [
        ("2h", "11-28 12:05:30", "11-28 12:05:30"),
        ("90s", "11-28 14:04:00", "11-28 14:04:00"),
        ("2h30m", "11-28 11:35:30", "11-28 11:35:30"),
        ("7d", "11-21 14:05:30", "11-21 14:05:30"),
        ("2w", "11-14 14:05:30", "11-14 14:05:30"),
        ("now", "11-28 14:05:30", "11-28 14:05:30"),
        ("today", "11-28 00:00:00", "11-29 00:00:00"),
        ("yesterday", "11-27 00:00:00", "11-28 00:00:00"),
        ("03:00", "11-28 03:00:00", "11-28 03:01:00"),
        ("14:05", "11-28 14:05:00", "11-28 14:06:00"),
        // The latest past one.
        ("14:06", "11-27 14:06:00", "11-27 14:07:00"),
        ("03:00:05", "11-28 03:00:05", "11-28 03:00:06"),
        ("2026-11-01", "11-01 00:00:00", "11-02 00:00:00"),
        ("2026-11-01 03:00", "11-01 03:00:00", "11-01 03:01:00"),
        ("2026-11-01T03:00:07", "11-01 03:00:07", "11-01 03:00:08"),
        // As tables show them; one to come was last year.
        ("26 Nov 14:23:10", "11-26 14:23:10", "11-26 14:23:11"),
        ("1 Dec 03:00:00", "12-01 03:00:00", "12-01 03:00:01"),
        ("2026-11-01T03:00:00Z", "11-01 04:00:00", "11-01 04:00:00"),
    ] {
        let expected = Some((from.to_owned(), to.to_owned()));
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn i01_what_is_no_time_is_refused() {
    for text in [
        "",
        "soon",
        "25:00",
        "2026-13-01",
        "-1h",
        "3",
        "12:",
        "9999999999999w",
        "2 o'clock",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}
