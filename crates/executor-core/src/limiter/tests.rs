//! Tests of `limiter.rs`.

use super::*;
use proptest::prelude::*;

const PERIOD: Duration = Duration::from_secs(60);

#[test]
fn the_edge_of_the_period_belongs_to_the_next_one() {
    let limiter = RateLimiter::new(PERIOD, 10);
    let start = Instant::now();
    let at = |ms| limiter.allows(&"hall", start + Duration::from_millis(ms));
    assert!(at(0));
    assert!(!at(59_900));
    assert!(at(60_000));
    assert!(!at(60_001));
}

#[test]
fn past_the_bound_one_other_is_forgotten_and_not_the_next_in_turn() {
    const REMEMBERED: usize = 1_000;
    let limiter = RateLimiter::new(PERIOD, REMEMBERED);
    let now = Instant::now();
    for entity in 0..REMEMBERED {
        assert!(limiter.allows(&entity, now));
    }
    assert!(
        (0..REMEMBERED).all(|entity| !limiter.allows(&entity, now)),
        "all are remembered"
    );
    // One more than are remembered, ten times in turn.
    let mut again = 0;
    for _ in 0..10 {
        again += (0..=REMEMBERED)
            .filter(|entity| limiter.allows(entity, now))
            .count();
    }
    assert!((1..500).contains(&again), "{again} of ten thousand");
    assert_eq!(limiter.state.lock().unwrap().let_through.len(), REMEMBERED);
    assert_eq!(limiter.state.lock().unwrap().places.len(), REMEMBERED);
}

#[test]
fn who_is_forgotten_is_drawn_by_lot() {
    const REMEMBERED: usize = 1_000;
    let limiter = RateLimiter::new(PERIOD, REMEMBERED);
    let now = Instant::now();
    for entity in 0..2 * REMEMBERED {
        assert!(limiter.allows(&entity, now));
    }
    let state = limiter.state.lock().unwrap();
    let first = (0..REMEMBERED).filter(|entity| state.places.contains_key(entity));
    // A thousand lots leave each of them with a chance of 1/e: 368, give or take 15.
    let first = first.count();
    assert!((250..500).contains(&first), "{first}");
}

#[test]
fn where_one_is_remembered_each_other_replaces_it() {
    let limiter = RateLimiter::new(PERIOD, 0);
    let now = Instant::now();
    assert!(limiter.allows(&"hall", now));
    assert!(!limiter.allows(&"hall", now));
    assert!(limiter.allows(&"stairs", now));
    assert!(limiter.allows(&"hall", now));
}

proptest! {
    #[test]
    fn nobody_speaks_twice_in_a_period_while_the_memory_suffices(
        steps in proptest::collection::vec((0_u8..5, 0_u64..40_000), 0..200),
    ) {
        let limiter = RateLimiter::new(PERIOD, 5);
        let mut now = Instant::now();
        let mut spoken: HashMap<u8, Instant> = HashMap::new();
        for (entity, pause) in steps {
            now += Duration::from_millis(pause);
            let due = spoken.get(&entity).is_none_or(|at| now - *at >= PERIOD);
            prop_assert_eq!(limiter.allows(&entity, now), due);
            if due {
                spoken.insert(entity, now);
            }
        }
    }
}
