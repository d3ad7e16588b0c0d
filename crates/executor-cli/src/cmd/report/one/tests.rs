//! Tests of `one.rs`.

use command_executor::ExecutionId;
use command_executor::ports::MissedReason;

use super::*;

fn at(at: i64, fate: DueFate) -> DueTime {
    let at = Timestamp::from_micros(at);
    DueTime { at, fate }
}

#[test]
fn i01_due_times_are_drawn_the_latest_last_and_thirty_at_most() {
    let ran = |due, status| {
        let id = ExecutionId::new(Timestamp::from_micros(due));
        at(due, DueFate::Ran { id, status })
    };
    let missed = |due, count| {
        let reason = MissedReason::NoProcess;
        at(due, DueFate::Missed { reason, count })
    };
    let drawn = |due: &[DueTime]| due_of(due);
    let some = [
        ran(9, Status::Success),
        ran(8, Status::TimedOut),
        missed(7, 3),
    ];
    let expected = "due ···T█  █ success  T timed_out  · missed\n";
    assert_eq!(drawn(&some).as_deref(), Some(expected));
    let many = [ran(9, Status::Success), missed(7, u64::MAX)];
    let expected = format!("due {}█  █ success  · missed\n", "·".repeat(29));
    assert_eq!(drawn(&many), Some(expected));
    assert_eq!(drawn(&[]), None);
}
