//! Tests of `missed_log.rs`.

use executor_core::ports::MissedReason::{HeldUp, Paused as InPause, Superseded};
use uuid::Uuid;

use super::*;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_micros(minutes * 60_000_000)
}

fn span(count: u64, first: i64, last: i64) -> Span {
    Span {
        count,
        first: at(first),
        last: at(last),
    }
}

fn log() -> (MissedLog, Arc<Entity>) {
    let log = MissedLog::new(SessionId::from_uuid(Uuid::from_u128(7)));
    (log, Arc::new(Entity::job("house", 0, "backup")))
}

fn counts(log: &MissedLog) -> Vec<(u64, Timestamp, Timestamp)> {
    let missed = log.unwritten().runs;
    let counts = missed.iter();
    counts
        .map(|it| (it.count, it.first_due, it.last_due))
        .collect()
}

#[test]
fn f07_an_episode_goes_on_for_an_hour_and_is_written_again() {
    let (log, job) = log();
    log.note(&job, InPause, span(1, 0, 0));
    log.note(&job, InPause, span(1, 60, 60));
    assert_eq!(counts(&log), [(2, at(0), at(60))]);
    let unwritten = log.unwritten();
    // What changes while it is being written is written again.
    log.note(&job, InPause, span(2, 70, 80));
    log.written(&unwritten);
    assert_eq!(counts(&log), [(4, at(0), at(80))]);
    let unwritten = log.unwritten();
    log.written(&unwritten);
    assert_eq!(counts(&log), []);
    log.note(&job, HeldUp, span(1, 81, 81));
    log.note(&job, InPause, span(1, 141, 141));
    let told = [(1, at(81), at(81)), (1, at(141), at(141))];
    assert_eq!(counts(&log), told, "another reason; more than an hour");
}

#[test]
fn f07_a_clock_that_was_set_back_begins_another_episode() {
    let (log, job) = log();
    log.note(&job, HeldUp, span(1, 600, 600));
    log.note(&job, HeldUp, span(1, 10, 10));
    assert_eq!(counts(&log), [(1, at(600), at(600)), (1, at(10), at(10))]);
}

#[test]
fn f07_what_waits_for_a_store_that_does_not_answer_is_bounded() {
    let (log, job) = log();
    for number in 0..WAITING_MAX as i64 + 5 {
        log.note(&job, HeldUp, span(1, number * 100, number * 100));
    }
    assert_eq!(counts(&log).len(), WAITING_MAX);
    assert_eq!(counts(&log)[0].1, at(500), "the oldest go");
    assert_eq!((log.take_forgotten(), log.take_forgotten()), (5, 0));
}

#[test]
fn f07_a_pause_is_written_when_it_begins_and_when_it_ends() {
    let (log, job) = log();
    let paused = Paused::Schedule(Arc::clone(&job));
    log.pause(paused.clone(), at(1));
    log.pause(paused.clone(), at(2));
    log.pause(Paused::Executor, at(3));
    let ends = |log: &MissedLog| {
        let pauses = log.unwritten().pauses;
        let ends = pauses
            .iter()
            .map(|it| (it.entity.is_some(), it.from, it.until));
        ends.collect::<Vec<_>>()
    };
    assert_eq!(ends(&log), [(true, at(1), None), (false, at(3), None)]);
    log.resume(&Paused::Job(job), at(4));
    log.resume(&paused, at(5));
    log.resume(&paused, at(6));
    log.resume_all(at(7));
    let expected = [(true, at(1), Some(at(5))), (false, at(3), Some(at(7)))];
    assert_eq!(ends(&log), expected);
}

#[test]
fn f07_what_is_owed_lies_within_no_episode() {
    let (log, job) = log();
    // The tenth is made up for; until it has begun, the history must not tell it as missed.
    log.note(&job, Superseded, span(9, 1, 9));
    log.end_superseded(&job);
    log.note(&job, Superseded, span(4, 11, 14));
    assert_eq!(counts(&log), [(9, at(1), at(9)), (4, at(11), at(14))]);
}
