//! Tests of `plan.rs`.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    ripe_at: 250,
    flush_interval: Duration::from_millis(250),
};

fn view_strategy(now: Instant) -> impl Strategy<Value = View> {
    let time = move |ms: i64| {
        let distance = Duration::from_millis(ms.unsigned_abs());
        if ms < 0 {
            now - distance
        } else {
            now + distance
        }
    };
    (
        0_usize..500,
        proptest::option::of(-2_000_i64..0),
        proptest::option::of(-2_000_i64..2_000),
        any::<[bool; 4]>(),
    )
        .prop_map(
            move |(queued, since, retry, [flushing, stopping, retried, may_take])| View {
                queued,
                // The drain notes when it first sees records.
                since: Some(since.map_or(now, time)).filter(|_| queued > 0),
                next_retry: retry.map(time),
                flushing,
                stopping,
                retried,
                may_take,
            },
        )
}

proptest! {
    #[test]
    fn it_never_spins_never_sleeps_on_work_and_finishes_only_when_all_is_done(
        (view, now) in Just(Instant::now() + Duration::from_secs(3_600))
            .prop_flat_map(|now| (view_strategy(now), Just(now))),
    ) {
        match plan(&view, &LIMITS, now) {
            Action::Retry => {
                prop_assert!(view.next_retry.is_some_and(|due| due <= now));
                let starves = view.retried && view.may_take && view.queued >= LIMITS.ripe_at;
                prop_assert!(!starves, "starves the queue");
            }
            Action::Write => {
                prop_assert!(view.queued > 0 && view.may_take);
                let is_due = view.next_retry.is_some_and(|due| due <= now);
                prop_assert!(view.retried || !is_due, "starves the retries");
            }
            Action::Finish => {
                prop_assert!(view.stopping && view.queued == 0 && view.next_retry.is_none());
            }
            Action::Wait(until) => {
                prop_assert!(until.is_none_or(|at| at > now), "spins");
                let ready = if view.may_take { view.queued } else { 0 };
                prop_assert!(ready < LIMITS.ripe_at, "sleeps on work");
                let hurry = view.flushing || view.stopping;
                prop_assert!(!(hurry && ready > 0), "sleeps on a request");
                prop_assert!(ready == 0 || until.is_some(), "forgets records");
                prop_assert!(view.next_retry.is_none() || until <= view.next_retry);
            }
        }
    }
}
