//! Clause F6: cron lines mean what Debian's cron takes them to mean.

use executor_core::Timestamp;
use executor_service::{Schedule, ScheduleError};

/// Lines as people have written them, each from several starts across both changes of the clock, with the next six
/// runs by an independent implementation. Those that never come have none.
const NEXT_RUNS: &str = include_str!("../data/next-runs.tsv");

fn start_of(text: &str, zone: &str) -> Timestamp {
    let civil: jiff::civil::DateTime = text.parse().unwrap();
    let instant = civil.in_tz(zone).unwrap().timestamp();
    Timestamp::from_micros(instant.as_microsecond())
}

/// What is wrong with a line of that table; `None` is nothing.
fn mistake(case: &str) -> Option<String> {
    let columns: Vec<&str> = case.split('\t').collect();
    let [line, zone, start, runs] = columns[..] else {
        return Some(format!("malformed: {case}"));
    };
    let found = match Schedule::cron(line, zone) {
        Err(ScheduleError::Never { .. }) => String::new(),
        Err(error) => return Some(format!("{case}\n  {error}")),
        Ok(schedule) => {
            let times = schedule.upcoming(start_of(start, zone)).take(6);
            let seconds = times.map(|at| (at.as_micros() / 1_000_000).to_string());
            seconds.collect::<Vec<_>>().join(",")
        }
    };
    (found != runs).then(|| format!("{case}\n  {found}"))
}

#[test]
fn f06_next_runs_are_those_of_an_independent_implementation() {
    let mistakes: Vec<String> = NEXT_RUNS.lines().filter_map(mistake).collect();
    let all = NEXT_RUNS.lines().count();
    let first = mistakes.iter().take(20).cloned().collect::<Vec<_>>();
    assert!(
        mistakes.is_empty(),
        "{} of {all}:\n{}",
        mistakes.len(),
        first.join("\n")
    );
    assert_eq!(all, 2_500);
}

#[test]
fn f06_where_a_field_of_days_begins_with_a_star_both_must_fit() {
    let from = start_of("2026-06-01T00:00:00", "UTC");
    let days = |line: &str| {
        let schedule = Schedule::cron(line, "UTC").unwrap();
        let times = schedule.upcoming(from).take(4);
        let day = |at: Timestamp| {
            jiff::Timestamp::from_microsecond(at.as_micros())
                .unwrap()
                .strftime("%a %d")
                .to_string()
        };
        times.map(day).collect::<Vec<_>>().join(", ")
    };
    // Odd days that are Mondays, and the first week's Sundays.
    assert_eq!(days("0 0 */2 * MON"), "Mon 15, Mon 29, Mon 13, Mon 27");
    assert_eq!(days("0 0 1-7 * */7"), "Sun 07, Sun 05, Sun 02, Sun 06");
    assert_eq!(days("0 0 13 * FRI"), "Fri 05, Fri 12, Sat 13, Fri 19");
    for (nickname, line) in [
        ("@midnight", "0 0 * * *"),
        ("@annually", "0 0 1 1 *"),
        ("@WEEKLY", "0 0 * * 0"),
    ] {
        assert_eq!(days(nickname), days(line));
    }
    // Extensions.
    assert_eq!(days("0 0 ? * MON"), days("0 0 * * MON"));
    assert_eq!(days("0 0 13 * ?"), days("0 0 13 * *"));
    assert_eq!(days("0 0 LW * *"), "Tue 30, Fri 31, Mon 31, Wed 30");
    assert_eq!(days("0 0 0 29 2 * */2"), "Tue 29, Sun 29, Fri 29, Wed 29");
}

#[test]
fn f06_what_says_nothing_or_stands_in_another_field_is_refused_naming_the_field() {
    let refused = [
        ("0 JAN * * *", "hours `JAN`"),
        ("MON 0 * * *", "minutes `MON`"),
        ("0 0 * MON *", "months `MON`"),
        ("0 0 * * JAN", "days of the week `JAN`"),
        ("0 0 MON * *", "days of the month `MON`"),
        ("5, * * * *", "minutes `5,`"),
        ("5,,6 * * * *", "minutes `5,,6`"),
        ("0 0 * * 1,L", "days of the week `1,L`"),
        ("60 * * * *", "minutes `60`"),
        ("* 24 * * *", "hours `24`"),
        ("* * 0 * *", "days of the month `0`"),
        ("* * * 13 *", "months `13`"),
        ("* * * * 8", "days of the week `8`"),
        ("*/0 * * * *", "minutes `*/0`"),
        ("10-5 * * * *", "minutes `10-5`"),
        ("+5 * * * *", "minutes `+5`"),
        ("-5 * * * *", "minutes `-5`"),
        ("* * 32W * *", "days of the month `32W`"),
        ("* * L-3 * *", "days of the month `L-3`"),
        ("* * * * MON#6", "days of the week `MON#6`"),
        ("* * * * +1", "days of the week `+1`"),
        ("* * * * 8#1", "days of the week `8#1`"),
        ("* * * * #1", "days of the week `#1`"),
        ("? * * * *", "minutes `?`"),
        ("0 ? * * *", "hours `?`"),
        ("0 0 * ? *", "months `?`"),
        ("? 0 0 * * *", "seconds `?`"),
        ("0 0 0 * * * ?", "years `?`"),
        ("0 * * * * * 1969", "years `1969`"),
    ];
    for (line, field) in refused {
        let error = Schedule::cron(line, "UTC").unwrap_err();
        assert!(
            matches!(error, ScheduleError::Field { .. }),
            "{line}: {error}"
        );
        assert!(error.to_string().contains(field), "{line}: {error}");
    }
    let reboot = Schedule::cron("@reboot", "UTC").unwrap_err();
    assert!(reboot.to_string().contains("`after`"), "{reboot}");
    assert!(matches!(
        Schedule::cron("@often", "UTC"),
        Err(ScheduleError::Nickname { .. })
    ));
    assert!(matches!(
        Schedule::cron("0 0 31 2 *", "UTC"),
        Err(ScheduleError::Never { .. })
    ));
}
