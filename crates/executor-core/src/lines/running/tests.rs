//! Tests of `running.rs`.

use super::super::buffer::tests::ALONE;
use super::super::kept::{ALL_MAX_BYTES, held};
use super::super::{LineKind, LinePolicy};
use super::*;
use crate::redact::Redactor;
use crate::time::Timestamp;

fn execution() -> Arc<SharedLines> {
    let id = ExecutionId::new(Timestamp::from_micros(1));
    SharedLines::new(id, RunnerNumber(u32::MAX))
}

#[test]
fn a22_when_memory_is_short_the_lines_of_the_largest_execution_go_first_and_are_counted() {
    let _alone = ALONE.lock();
    let before = held();
    let quiet = execution();
    quiet.say(|lines| lines.log(LineKind::Info, "", "I say little, and all of it is kept"));
    let line = "x".repeat(7_900);
    let talkative: Vec<_> = (0..1_300).map(|_| execution()).collect();
    for lines in &talkative {
        for _ in 0..8 {
            lines.say(|lines| lines.log(LineKind::Info, "", &line));
        }
    }
    assert!(
        (ALL_MAX_BYTES - 50_000..ALL_MAX_BYTES + 10_000).contains(&held()),
        "{}",
        held()
    );
    let last = execution();
    last.say(|lines| lines.log(LineKind::Info, "", "I come last, and there is room"));
    let finish = |lines: &SharedLines| {
        let buffer = lines.buffer().take();
        let now = tokio::time::Instant::now();
        buffer
            .finish(now, None, LinePolicy::room_of_failure, &Redactor::NONE)
            .unwrap()
    };
    for lines in [&quiet, &last] {
        let lines = finish(lines);
        assert_eq!((lines.kept(), lines.total()), (1, 1));
    }
    let kept: Vec<_> = talkative.iter().map(|lines| finish(lines)).collect();
    assert!(
        kept.iter().all(|lines| lines.total() == 8),
        "all are counted"
    );
    assert!(
        kept.iter().any(|lines| lines.kept() < 8),
        "some have given way"
    );
    assert!(
        kept.iter().all(|lines| lines.kept() >= 3),
        "none has lost nearly all"
    );
    assert_eq!(held(), before);
}

#[test]
fn a22_executions_that_are_gone_are_forgotten() {
    let _alone = ALONE.lock();
    for _ in 0..10_000 {
        execution().say(|lines| lines.log(LineKind::Info, "", "short"));
    }
    assert!(live().len() < 1_000, "{}", live().len());
}
