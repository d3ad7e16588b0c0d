//! Tests of `supervise.rs`.

use super::*;
use executor_core::SystemClock;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

fn failed(state: State, now: Instant) -> State {
    state.next(Happened::Failed, now)
}

#[test]
fn the_fourth_failure_in_the_period_is_the_last() {
    let start = Instant::now();
    let at = |secs| start + Duration::from_secs(secs);
    let mut state = State::first(start);
    for (second, rest_ms) in [(1, 100), (60, 200), (119, 400)] {
        state = failed(state, at(second));
        assert!(
            matches!(state, State::Resting { rest, .. } if rest == Duration::from_millis(rest_ms)),
            "{state:?}"
        );
        state = state.next(Happened::Rested, at(second));
    }
    assert_eq!(failed(state, at(200)), State::Exhausted);
}

#[test]
fn being_up_for_the_whole_period_forgives_and_becoming_ready_does_not() {
    let start = Instant::now();
    let up = State::Up {
        since: start,
        failures: 3,
    };
    let almost = start + PERIOD - Duration::from_millis(1);
    assert_eq!(failed(up, almost), State::Exhausted);
    assert!(matches!(
        failed(up, start + PERIOD),
        State::Resting { failures: 1, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn f03_an_ordinary_exit_is_no_failure() {
    struct Works(Arc<AtomicU32>);
    impl Supervised for Works {
        const NAME: &'static str = "works";
        async fn run(&mut self) -> Result<(), Fault> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
    let (runs, health) = (Arc::new(AtomicU32::new(0)), Arc::<HealthState>::default());
    let service = Works(Arc::clone(&runs));
    supervise(service, Arc::clone(&health), Arc::new(SystemClock)).await;
    assert_eq!((runs.load(Ordering::Relaxed), health.restarts()), (1, 0));
    assert_eq!(health.failed(), None);
}

proptest! {
    #[test]
    fn final_states_absorb_and_no_service_is_started_more_often_than_allowed(
        steps in proptest::collection::vec((0_u8..3, 0_u64..100), 0..100),
    ) {
        let mut now = Instant::now();
        let mut state = State::first(now);
        let mut starts: Vec<Instant> = Vec::new();
        for (happened, secs) in steps {
            now += Duration::from_secs(secs);
            let happened = [Happened::Exited, Happened::Failed, Happened::Rested][usize::from(happened)];
            let before = state;
            state = state.next(happened, now);
            if matches!(before, State::Ended | State::Exhausted) {
                prop_assert_eq!(before, state);
            }
            if matches!((before, state), (State::Resting { .. }, State::Up { .. })) {
                starts.push(now);
            }
        }
        for window in starts.windows(RESTARTS_MAX as usize + 1) {
            prop_assert!(window[RESTARTS_MAX as usize] - window[0] >= PERIOD);
        }
    }
}
