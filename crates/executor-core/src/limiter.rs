//! At most one warning per entity and period, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Remembers who was let through and when. Past its bound it forgets the oldest, not all.
///
/// ```
/// use std::time::Duration;
/// use executor_core::RateLimiter;
///
/// let limiter = RateLimiter::new(Duration::from_secs(60), 1_000);
/// let now = tokio::time::Instant::now();
/// assert!(limiter.allows(&"hall", now) && limiter.allows(&"stairs", now));
/// assert!(!limiter.allows(&"hall", now + Duration::from_secs(59)));
/// assert!(limiter.allows(&"hall", now + Duration::from_secs(60)));
/// ```
pub struct RateLimiter<K> {
    period: Duration,
    remembered_max: usize,
    state: Mutex<State<K>>,
}

struct State<K> {
    last: HashMap<K, Instant>,
    /// In the order of their times: every entity has the same period.
    order: VecDeque<(K, Instant)>,
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// Lets each entity through once per `period` and remembers at most `remembered_max` of them.
    pub fn new(period: Duration, remembered_max: usize) -> Self {
        Self {
            period,
            remembered_max,
            state: Mutex::new(State {
                last: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// Whether this entity may speak now. It may at 0 and at exactly one period later, and not in
    /// between.
    pub fn allows(&self, entity: &K, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_older_than(now, self.period);
        if state.last.contains_key(entity) {
            return false;
        }
        state.last.insert(entity.clone(), now);
        state.order.push_back((entity.clone(), now));
        if state.last.len() > self.remembered_max {
            state.forget_oldest();
        }
        true
    }
}

impl<K: Eq + Hash> State<K> {
    fn forget_older_than(&mut self, now: Instant, period: Duration) {
        let is_over = |at: &Instant| now.saturating_duration_since(*at) >= period;
        while self.order.front().is_some_and(|(_, at)| is_over(at)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((entity, _)) = self.order.pop_front() {
            self.last.remove(&entity);
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn past_the_bound_only_the_oldest_is_forgotten() {
        let limiter = RateLimiter::new(PERIOD, 1_000);
        let start = Instant::now();
        for entity in 0..=1_000 {
            assert!(limiter.allows(&entity, start + Duration::from_millis(entity)));
        }
        let now = start + Duration::from_secs(2);
        assert!(!limiter.allows(&1, now), "the second oldest is remembered");
        assert!(limiter.allows(&0, now), "the oldest is not");
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
}
