//! What a tally tells the store, and when it forgets.

use executor_core::redact::Redactor;
use executor_core::{SessionId, Timestamp};

use super::{HOUR_US, TOPICS_MAX, Tally};

const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn tally() -> Tally {
    Tally::new(SessionId::new(at(0)), "broker", Redactor::default())
}

/// The topics that are unwritten, as hour, topic and count.
fn topics(tally: &Tally) -> Vec<(i64, String, u64)> {
    let counts = tally.unwritten();
    let topics = counts.into_iter().flat_map(|counts| counts.topics);
    topics
        .map(|it| (it.hour_at.as_micros(), it.topic.to_string(), it.count))
        .collect()
}

#[test]
fn what_is_counted_while_the_store_is_told_is_told_next() {
    let mut tally = tally();
    tally.event("rain", false, || at(5));
    let first = tally.unwritten().expect("it is new");
    tally.event("rain", false, || at(6));
    tally.written(&first, at(7));
    assert_eq!(topics(&tally), [(0, "rain".to_owned(), 2)]);
    let second = tally.unwritten().expect("one came meanwhile");
    tally.written(&second, at(7));
    assert_eq!(tally.unwritten(), None);
    tally.event("rain", true, || at(8));
    let third = tally.unwritten().expect("an event is a change");
    assert_eq!((third.lines, third.events, third.unheard), (3, 3, 2));
    assert_eq!(topics(&tally), []);
}

#[test]
fn an_hour_that_is_over_is_forgotten_once_it_is_written() {
    let mut tally = tally();
    tally.event("rain", false, || at(HOUR_US - 1));
    tally.written(&tally.unwritten().expect("new"), at(HOUR_US));
    assert!(tally.unheard.is_empty());
    tally.event("rain", false, || at(HOUR_US + 1));
    assert_eq!(topics(&tally), [(HOUR_US, "rain".to_owned(), 1)]);
    let before = tally.unwritten().expect("changed");
    tally.event("rain", false, || at(HOUR_US + 2));
    tally.written(&before, at(2 * HOUR_US));
    assert_eq!(topics(&tally), [(HOUR_US, "rain".to_owned(), 2)]);
}

#[test]
fn topics_beyond_the_first_thousand_are_counted_together() {
    let mut tally = tally();
    for number in 0..TOPICS_MAX + 3 {
        tally.event(&format!("topic.{number}"), false, || at(0));
    }
    tally.event("topic.7", false, || at(0));
    let topics = topics(&tally);
    assert_eq!(topics.len(), TOPICS_MAX + 1);
    assert_eq!(topics[0], (0, String::new(), 3));
    assert!(topics.contains(&(0, "topic.7".to_owned(), 2)));
}

#[test]
fn the_first_bad_lines_are_kept_with_their_numbers() {
    let mut tally = tally();
    tally.skipped_line();
    for number in 0..12 {
        tally.bad_line(
            "no topic at /topic",
            &format!("{number}{}", "x".repeat(900)),
            at(number),
        );
    }
    let counts = tally.unwritten().expect("new");
    assert_eq!((counts.lines, counts.bad_lines), (13, 12));
    let lines: Vec<u64> = counts.first_bad_lines.iter().map(|bad| bad.line).collect();
    assert_eq!(lines, (2..12).collect::<Vec<_>>());
    assert!(counts.first_bad_lines[0].text.chars().count() <= 500);
}
