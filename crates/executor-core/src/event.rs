//! What handlers are invoked for. Matching topics to listeners is the program's business.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// How many characters of an event's id are recorded; of a longer one the middle is left out, and how much that was
/// is said.
pub const EVENT_ID_MAX_CHARS: usize = 256;

/// Something that happened, with whatever it carries. Cheap to share, never changed.
///
/// ```
/// use executor_core::Event;
///
/// let event = Event::new("light.hall").with_origin("sensor-3").with_payload(420_u32);
/// assert_eq!(&*event.origin, "sensor-3");
/// assert_eq!(event.payload::<u32>(), Some(&420));
/// assert_eq!(event.payload::<String>(), None);
/// ```
#[derive(Clone)]
pub struct Event {
    /// Which kind of thing happened, such as `motion.hall`.
    pub topic: Arc<str>,
    /// The sender's name for this one event, if it has one; [`EVENT_ID_MAX_CHARS`] of it are recorded.
    pub id: Option<Arc<str>>,
    /// Where it came from, such as `LOCAL` or a host's name.
    pub origin: Arc<str>,
    /// Made by the program itself, not received: recorded without id, origin `SYNTHETIC`.
    pub synthetic: bool,
    /// How many completion events lie between this event and one from outside; 0 from outside.
    pub generation: u8,
    /// The sender's data, for the handler to downcast. Never recorded or logged.
    pub payload: Arc<dyn Any + Send + Sync>,
}

impl Event {
    /// An event from outside with the origin `LOCAL`, without id or payload.
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            id: None,
            origin: Arc::from("LOCAL"),
            synthetic: false,
            generation: 0,
            payload: Arc::new(()),
        }
    }

    /// An event that the program made itself.
    ///
    /// ```
    /// assert!(executor_core::Event::synthetic("lights.dimmed").synthetic);
    /// ```
    pub fn synthetic(topic: impl Into<Arc<str>>) -> Self {
        Self {
            synthetic: true,
            ..Self::new(topic)
        }
    }

    /// The same event with the sender's id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same event with an origin.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<Arc<str>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// The same event with a payload.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Any + Send + Sync) -> Self {
        self.payload = Arc::new(payload);
        self
    }

    /// The payload, if it is a `T`.
    pub fn payload<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.payload.downcast_ref()
    }
}

impl fmt::Debug for Event {
    /// Leaves the payload out: it may hold secrets, and logs are read by many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("topic", &self.topic)
            .field("id", &self.id)
            .field("origin", &self.origin)
            .field("synthetic", &self.synthetic)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
