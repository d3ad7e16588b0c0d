//! Which listeners are told of an event: all that are registered and not cancelled, by their topic patterns.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::TopicPattern;

use crate::registration::handle::ListenerHandle;

/// The listeners of a service. They are held until they are cancelled or the service stops, also where their
/// handles are dropped.
pub(crate) struct Subscriptions {
    separator: char,
    /// In the order in which they are told. Replaced as a whole, so that whoever publishes holds no lock meanwhile.
    all: Mutex<Arc<[Subscription]>>,
}

#[derive(Clone)]
struct Subscription {
    /// `None` where the topic is no pattern: then it stands for itself.
    pattern: Option<TopicPattern>,
    handle: ListenerHandle,
}

impl Subscription {
    fn matches(&self, topic: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches(topic),
            None => self.handle.listener().registration.entity.topic == topic,
        }
    }

    fn priority(&self) -> i32 {
        self.handle.listener().registration.details.priority
    }

    fn is_live(&self) -> bool {
        !self.handle.listener().slot.is_removed()
    }
}

impl Subscriptions {
    pub(crate) fn new(separator: char) -> Self {
        Self {
            separator,
            all: Mutex::new(Arc::new([])),
        }
    }

    /// Adds a listener; an earlier one of the same entity is told no more.
    pub(crate) fn add(&self, handle: ListenerHandle) {
        let entity = Arc::clone(&handle.listener().registration.entity);
        let added = Subscription {
            pattern: TopicPattern::with_separator(&entity.topic, self.separator).ok(),
            handle,
        };
        let mut all = self.all();
        let is_kept = |known: &&Subscription| {
            known.is_live() && known.handle.listener().registration.entity != entity
        };
        let kept = all.iter().filter(is_kept).cloned();
        let mut next: Vec<Subscription> = kept.chain([added]).collect();
        // Stable: among equals the order of registration stays.
        next.sort_by_key(|known| std::cmp::Reverse(known.priority()));
        *all = next.into();
    }

    /// Those that are told of an event with this topic, in order.
    pub(crate) fn of(&self, topic: &str) -> Vec<ListenerHandle> {
        let all = Arc::clone(&self.all());
        let told = all
            .iter()
            .filter(|known| known.is_live() && known.matches(topic));
        told.map(|known| known.handle.clone()).collect()
    }

    /// Lets go of all of them: their handlers may hold the service.
    pub(crate) fn clear(&self) {
        let all = std::mem::replace(&mut *self.all(), Arc::new([]));
        // After the lock is released: destructors are user code.
        drop(all);
    }

    fn all(&self) -> MutexGuard<'_, Arc<[Subscription]>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
