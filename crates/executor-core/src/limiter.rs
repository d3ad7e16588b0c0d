//! Limits warnings to one per entity and period, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Remembers which entities it let through, and when. When full it forgets a random one. If it forgot the oldest,
/// entities that take turns would all pass each time, as soon as there is one more than it can remember.
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
    places: HashMap<K, usize>,
    /// The entities that were let through, and when.
    let_through: Vec<(K, Instant)>,
    lots: RandomState,
    drawn: u64,
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// Lets each entity through once per `period` and remembers at most `remembered_max` of them.
    pub fn new(period: Duration, remembered_max: usize) -> Self {
        Self {
            period,
            remembered_max: remembered_max.max(1),
            state: Mutex::new(State {
                places: HashMap::new(),
                let_through: Vec::new(),
                lots: RandomState::new(),
                drawn: 0,
            }),
        }
    }

    /// Returns `true` if this entity may warn now: the first time, and again from exactly one period
    /// later.
    pub fn allows(&self, entity: &K, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = state.places.get(entity).copied() {
            let last = &mut state.let_through[place].1;
            let is_over = now.saturating_duration_since(*last) >= self.period;
            if is_over {
                *last = now;
            }
            return is_over;
        }
        state.remember(entity, now, self.remembered_max);
        true
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn remember(&mut self, entity: &K, now: Instant, max: usize) {
        let place = if self.let_through.len() < max {
            self.let_through.push((entity.clone(), now));
            self.let_through.len() - 1
        } else {
            let place = self.draw(max);
            let (forgotten, _) =
                std::mem::replace(&mut self.let_through[place], (entity.clone(), now));
            self.places.remove(&forgotten);
            place
        };
        self.places.insert(entity.clone(), place);
    }

    /// Draws a random number below `below`.
    fn draw(&mut self, below: usize) -> usize {
        self.drawn += 1;
        (self.lots.hash_one(self.drawn) % below as u64) as usize
    }
}

#[cfg(test)]
mod tests;
