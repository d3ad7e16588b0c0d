//! Finds the listeners of an event by their topic patterns, among all that are registered and not cancelled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::{Entity, Listener, TopicPattern};

use crate::registration::drop_each;
use crate::registration::handle::ListenerHandle;

/// The listeners of a service. They are held until they are cancelled or the service stops, even if their handles are
/// dropped.
pub(crate) struct Subscriptions {
    separator: char,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which events are submitted to them. Replaced as a whole, so that publishing does not hold the
    /// lock.
    all: Arc<[Arc<Subscription>]>,
    is_closed: bool,
}

struct Subscription {
    /// `None` if the topic is not a pattern; it then matches only itself.
    pattern: Option<TopicPattern>,
    handle: ListenerHandle,
}

impl Subscription {
    fn matches(&self, topic: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches(topic),
            None => self.entity().topic == topic,
        }
    }

    fn priority(&self) -> i32 {
        self.handle.listener().registration.details.priority
    }

    fn entity(&self) -> &Arc<Entity> {
        &self.handle.listener().registration.entity
    }
}

impl Subscriptions {
    pub(crate) fn new(separator: char) -> Self {
        Self {
            separator,
            state: Mutex::default(),
        }
    }

    /// Adds a listener, in place of an earlier one of the same entity. Returns `false` after [`close`](Self::close).
    pub(crate) fn add(&self, handle: ListenerHandle) -> bool {
        let entity = Arc::clone(&handle.listener().registration.entity);
        let added = Arc::new(Subscription {
            pattern: TopicPattern::with_separator(&entity.topic, self.separator).ok(),
            handle,
        });
        let mut state = self.state();
        if state.is_closed {
            return false;
        }
        let is_kept = |known: &&Arc<Subscription>| known.entity() != &entity;
        let mut next: Vec<_> = state.all.iter().filter(is_kept).cloned().collect();
        // After its equals, so that they stay in the order of registration.
        let place = next.partition_point(|known| known.priority() >= added.priority());
        next.insert(place, added);
        let before = std::mem::replace(&mut state.all, next.into());
        drop(state);
        // Dropped after the lock is released, here and below, because handlers and their captures are user code.
        drop(before);
        true
    }

    /// Removes a listener, unless another one of its entity has taken its place.
    pub(crate) fn remove(&self, listener: &Arc<Listener>) {
        let mut state = self.state();
        let is_kept = |known: &&Arc<Subscription>| !Arc::ptr_eq(known.handle.listener(), listener);
        let kept: Vec<_> = state.all.iter().filter(is_kept).cloned().collect();
        let before = std::mem::replace(&mut state.all, kept.into());
        drop(state);
        drop(before);
    }

    /// Returns the listeners of an event with this topic, in order.
    pub(crate) fn of(&self, topic: &str) -> Vec<ListenerHandle> {
        let all = Arc::clone(&self.state().all);
        let told = all.iter().filter(|known| known.matches(topic));
        told.map(|known| known.handle.clone()).collect()
    }

    /// Drops all listeners, because their handlers may hold the service, and accepts no others.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let all = std::mem::take(&mut state.all);
        drop(state);
        let each = all.to_vec();
        drop(all);
        drop_each(each);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
