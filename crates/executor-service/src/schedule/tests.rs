//! Tests of `schedule.rs`.

use super::*;

#[test]
fn f06_what_the_history_knows_of_a_schedule() {
    let minute = Duration::from_secs(60);
    let at = Timestamp::from_micros(1_767_225_600_000_000);
    let cron = Schedule::cron("@hourly", "europe/berlin").unwrap();
    let all = Missed::RunAll { at_most: 3 };
    let schedules = [
        Schedule::every(minute * 90).jitter(minute),
        cron.missed(all),
        Schedule::once(at),
        Schedule::after(minute).missed(Missed::RunOnce),
    ];
    let texts = schedules.map(|schedule| {
        let text = schedule.text();
        assert!(
            text.detail
                .clone()
                .unwrap()
                .starts_with(text.label.as_deref().unwrap())
        );
        format!("{}: {}", text.trigger_type, text.detail.unwrap())
    });
    let expected = [
        "interval: every 1h 30m, jitter up to 1m, missed runs: skipped",
        "cron: @hourly Europe/Berlin, missed runs: run, at most 3",
        "once: once at 2026-01-01T00:00:00Z, missed runs: skipped",
        "after: after 1m, missed runs: run once",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn f06_the_shortest_interval_is_a_millisecond() {
    let began = Timestamp::from_micros(0);
    let first = Schedule::every(Duration::ZERO).upcoming(began).next();
    assert_eq!(first, Some(Timestamp::from_micros(1_000)));
}
