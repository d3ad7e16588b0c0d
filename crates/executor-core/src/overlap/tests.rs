//! Tests of `overlap.rs`.

use std::time::Duration;

use super::*;
use proptest::prelude::*;

fn rules() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Single),
        Just(Rule::Restart),
        (0_u32..5).prop_map(|waiting_max| Rule::Queued { waiting_max }),
        (1_u32..5).prop_map(|running_max| Rule::Parallel { running_max }),
    ]
}

proptest! {
    #[test]
    fn no_step_breaks_its_rules_bounds(rule in rules(), running in 0_u32..6, waiting in 0_u32..6) {
        let step = decide(rule, running, waiting);
        if running == 0 {
            prop_assert_eq!(step, Step::Begin, "nothing is in the way");
        }
        match (rule, step) {
            (Rule::Parallel { running_max }, Step::Begin) => prop_assert!(running < running_max),
            (_, Step::Begin) => prop_assert_eq!(running, 0),
            (Rule::Queued { waiting_max }, Step::Wait) => prop_assert!(waiting < waiting_max),
            (Rule::Restart, Step::TakeOver) | (_, Step::Skip) => prop_assert!(running > 0),
            (rule, step) => prop_assert!(false, "{rule:?} never leads to {step:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_takes_goes_to_the_next_in_line() {
    let gate = Gate::new(Overlap::Queued, None);
    assert!(matches!(gate.enter(), Admission::Begin(_)));
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let Admission::Wait(ticket) = gate.enter() else {
            panic!("the first is inside")
        };
        tickets.push(ticket);
    }
    let mut last = tickets.pop().expect("three");
    // One goes away before its turn, one after it was called and before it looked.
    gate.give_up(tickets.pop().expect("two"));
    let called = tickets.pop().expect("one");
    gate.leave();
    gate.give_up(called);
    let entry = turn(&gate, &mut last).await.expect("its turn");
    assert!(entry.is_ok());
    assert_eq!(gate.state().running, 1);
    gate.leave();
    assert_eq!(gate.state().running, 0);
}

/// Its turn, if it has come.
async fn turn(gate: &Gate, ticket: &mut Ticket) -> Option<Result<Entry, Arc<str>>> {
    let turn = gate.turn(ticket);
    tokio::time::timeout(Duration::ZERO, turn).await.ok()
}

fn waits(gate: &Gate) -> Ticket {
    match gate.enter() {
        Admission::Wait(ticket) => ticket,
        Admission::Begin(_) => panic!("it begins"),
        Admission::Skip(reason) => panic!("it is skipped: {reason}"),
    }
}

#[test]
fn as_many_run_as_may_and_one_that_leaves_makes_room_for_one() {
    let rules = [
        (
            Overlap::Single,
            None,
            1,
            "an earlier run is still in progress",
        ),
        (
            Overlap::Parallel,
            Some(3),
            3,
            "3 runs are already in progress",
        ),
    ];
    for (overlap, limit, max, why) in rules {
        let gate = Gate::new(overlap, limit);
        let is_skipped = || match gate.enter() {
            Admission::Begin(entry) => {
                assert!(entry.cancel.is_none());
                false
            }
            Admission::Skip(reason) => {
                assert!(reason.ends_with(why), "{reason}");
                true
            }
            Admission::Wait(_) => panic!("nobody waits under {overlap:?}"),
        };
        assert_eq!((0..max).filter(|_| is_skipped()).count(), 0);
        assert!(is_skipped() && is_skipped());
        gate.leave();
        assert!(!is_skipped() && is_skipped());
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_run_ends_the_one_that_goes_on_and_sends_away_whoever_waits() {
    let gate = Gate::new(Overlap::Restart, None);
    let Admission::Begin(Entry {
        cancel: Some(first),
    }) = gate.enter()
    else {
        panic!("the first begins, and can be ended")
    };
    assert!(!first.is_cancelled());
    let mut second = waits(&gate);
    assert!(first.is_cancelled() && turn(&gate, &mut second).await.is_none());
    let mut third = waits(&gate);
    let sent_away = turn(&gate, &mut second).await.expect("it is told");
    assert!(sent_away.is_err_and(|why| why.ends_with("a later run took its place")));
    assert!(
        turn(&gate, &mut third).await.is_none(),
        "the first is still inside"
    );
    gate.leave();
    let entry = turn(&gate, &mut third)
        .await
        .expect("its turn")
        .expect("it begins");
    assert!(!entry.cancel.expect("it can be ended").is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn who_went_away_is_not_counted_as_waiting() {
    let gate = Gate::new(Overlap::Queued, Some(2));
    assert!(matches!(
        gate.enter(),
        Admission::Begin(Entry { cancel: None })
    ));
    let (mut first, second) = (waits(&gate), waits(&gate));
    assert!(matches!(gate.enter(), Admission::Skip(_)), "two wait");
    drop(second);
    let mut third = waits(&gate);
    assert!(matches!(gate.enter(), Admission::Skip(_)), "two wait again");
    for ticket in [&mut first, &mut third] {
        assert!(turn(&gate, ticket).await.is_none(), "one is inside");
        gate.leave();
        let entry = turn(&gate, ticket).await.expect("in their order");
        assert!(entry.is_ok_and(|entry| entry.cancel.is_none()));
    }
    assert_eq!(gate.state().waiting.len(), 0);
}
