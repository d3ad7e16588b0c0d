//! `executor report`: all listeners and jobs, one of them, and beside an earlier time.

use serde_json::Value;

use crate::fixture::{DAY, HOUR, house};
use crate::support::Said;

fn lines(said: &Said) -> Vec<Value> {
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines = said.out.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

#[test]
fn i01_a_report_beside_last_week_tells_what_became_slower() {
    let house = house();
    let said = house
        .place
        .run(&["report", "--db", "house.db", "--compare", "7d"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let table: Vec<&str> = said.out.lines().collect();
    // Three minutes became six.
    assert!(
        table[1].ends_with("house/backup") && table[1].contains("+100 %"),
        "{}",
        said.out
    );
    let line_of = |name: &str| table.iter().find(|line| line.ends_with(name)).copied();
    assert!(
        line_of("lights/hall").unwrap().contains("same"),
        "{}",
        said.out
    );
    assert!(line_of("cellar/pump").is_some(), "{}", said.out);
    assert!(
        said.out.contains("\nincomplete: 12 records were lost"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("\nbefore: incomplete: "),
        "some were pruned: {}",
        said.out
    );

    let said = house
        .place
        .run(&["report", "--db", "house.db", "--compare", "7d", "--json"]);
    let pairs = lines(&said);
    let minutes = |us: &Value| us.as_f64().unwrap() / 60e6;
    assert_eq!(minutes(&pairs[0]["p50_us"]).round(), 6.0);
    assert_eq!(minutes(&pairs[0]["before"]["p50_us"]).round(), 3.0);
    assert!(pairs[0]["p50_change"].as_f64().unwrap() > 0.9);
    let runs: Vec<_> = pairs
        .iter()
        .map(|pair| pair["runs"].as_u64().unwrap())
        .collect();
    let in_week = format!(
        "SELECT count(*) FROM executions WHERE start_us + duration_us >= {}",
        house.now.saturating_sub(7 * DAY).as_micros()
    );
    let rows = house.place.number("house.db", &in_week);
    assert_eq!(
        runs.iter().sum::<u64>(),
        rows as u64,
        "every execution counts: {pairs:?}"
    );
}

#[test]
fn i01_the_report_of_one_has_every_day_and_the_slowest_runs() {
    let house = house();
    let one = [
        "report",
        "house/backup",
        "--db",
        "house.db",
        "--since",
        "14d",
        "--utc",
    ];
    let said = house.place.run(&one);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let table: Vec<&str> = said.out.lines().collect();
    assert!(
        table[0].starts_with("house/backup  since ") && table[0].contains(" 2 failed"),
        "{}",
        said.out
    );
    let (due, legend) = table[1]
        .strip_prefix("due ")
        .unwrap()
        .split_once("  ")
        .unwrap();
    assert_eq!(due.chars().count(), 30, "{}", said.out);
    assert!(due.ends_with("█E"), "the latest comes last: {}", said.out);
    assert_eq!(legend, "█ success  E error", "{}", said.out);
    assert!(table[2].starts_with("DAY"), "{}", said.out);
    let slowest = table.iter().position(|line| *line == "slowest").unwrap();
    let days = &table[3..slowest];
    assert!(matches!(days.len(), 14..=15), "{}", said.out);
    let longest = days.iter().map(|day| day.matches('█').count()).max();
    assert_eq!(longest, Some(24), "{}", said.out);
    assert!(
        days[3].matches('█').count() == 12,
        "half as long: {}",
        said.out
    );
    assert!(
        table[slowest + 1].contains("6m 00s  success"),
        "{}",
        said.out
    );

    let mut as_json = one.to_vec();
    as_json.push("--json");
    let report = &lines(&house.place.run(&as_json))[0];
    let series = report["series"].as_array().unwrap();
    let of_days: u64 = series.iter().map(|day| day["runs"].as_u64().unwrap()).sum();
    assert!(of_days >= report["runs"].as_u64().unwrap(), "{report}");
    for (day, next) in series.iter().zip(&series[1..]) {
        assert_eq!(day["to_us"], next["from_us"]);
    }
    assert_eq!(report["slowest"].as_array().unwrap().len(), 5);
}

#[test]
fn i01_a_report_covers_the_time_and_the_app_that_it_is_asked_for() {
    let house = house();
    let of = |more: &[&str]| {
        let all = ["report", "--db", "house.db", "--json"];
        house.place.run(&[&all[..], more].concat())
    };
    let names = |said: &Said| {
        let report: Value = serde_json::from_str(&said.out).unwrap();
        let all = report.as_array().unwrap().iter();
        all.map(|it| it["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&of(&[])), ["pump", "hall", "backup"]);
    assert_eq!(names(&of(&["--app", "lights"])), ["hall"]);
    assert_eq!(names(&of(&["--since", "110m"])), ["pump"]);
    let nobody = of(&["--app", "nobody"]);
    assert_eq!((nobody.code, names(&nobody).len()), (Some(9), 0));
    let (since, until) = (HOUR.as_secs(), 2 * HOUR.as_secs());
    let (since, until) = (format!("{since}s"), format!("{until}s"));
    assert_eq!(of(&["--since", &since, "--until", &until]).code, Some(2));
    assert_eq!(of(&["house/nothing"]).code, Some(9));
    assert_eq!(of(&["--compare", "soon"]).code, Some(2));
}
