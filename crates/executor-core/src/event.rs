//! Events, for which handlers are invoked. A listener's [topic pattern](crate::topic) selects its events.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::Arc;

use crate::time::Timestamp;

/// The maximum length of a recorded event id, in characters. A longer id is cut in the middle, and says how much is
/// missing.
pub const EVENT_ID_MAX_CHARS: usize = 256;

/// Something that happened, with its payload. Immutable and cheap to share.
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
    /// The kind of thing that happened, such as `motion.hall`.
    pub topic: Arc<str>,
    /// The sender's name for this one event, if it has one; [`EVENT_ID_MAX_CHARS`] of it are recorded.
    pub id: Option<Arc<str>>,
    /// Where it came from, such as `LOCAL` or a host's name.
    pub origin: Arc<str>,
    /// The time at which it happened, if its sender says so. Its executions count as due then, so the history shows how
    /// late each one began.
    pub happened_at: Option<Timestamp>,
    /// True if the program itself created it; it is then recorded without an id and with the origin `SYNTHETIC`.
    pub synthetic: bool,
    /// The number of completion events between this event and one from outside; 0 for an event from outside.
    pub generation: u8,
    /// The sender's data. Never recorded or logged.
    pub payload: Payload,
}

/// The payload of an event: any value, and the name of its type.
///
/// ```
/// use executor_core::Payload;
///
/// let payload = Payload::new(21.5_f64);
/// assert_eq!(payload.type_name(), "f64");
/// assert_eq!(format!("{payload:?}"), "Payload(f64)"); // the value may be a secret
/// ```
#[derive(Clone)]
pub struct Payload {
    value: Arc<dyn Any + Send + Sync>,
    type_name: &'static str,
}

impl Payload {
    /// Creates a payload from this value.
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self {
            value: Arc::new(value),
            type_name: type_name::<T>(),
        }
    }

    /// Returns the name of its type, for people.
    pub const fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl Default for Payload {
    /// Creates an empty payload, of the type `()`.
    fn default() -> Self {
        Self::new(())
    }
}

impl fmt::Debug for Payload {
    /// Leaves the value out: it may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({})", self.type_name)
    }
}

/// The error for a payload of a type other than the requested one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event carries a `{carried}`, not a `{wanted}`")]
#[non_exhaustive]
pub struct PayloadMismatch {
    /// The type that was asked for.
    pub wanted: &'static str,
    /// The type that the event carries.
    pub carried: &'static str,
}

impl Event {
    /// Creates an event from outside, with the origin `LOCAL` and without an id or a payload.
    pub fn new(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            id: None,
            origin: Arc::from("LOCAL"),
            happened_at: None,
            synthetic: false,
            generation: 0,
            payload: Payload::default(),
        }
    }

    /// Creates an event that comes from the program itself.
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

    /// Sets the sender's id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the origin.
    #[must_use]
    pub fn with_origin(mut self, origin: impl Into<Arc<str>>) -> Self {
        self.origin = origin.into();
        self
    }

    /// Sets the time at which it happened.
    #[must_use]
    pub const fn with_time(mut self, at: Timestamp) -> Self {
        self.happened_at = Some(at);
        self
    }

    /// Sets the payload.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Any + Send + Sync) -> Self {
        self.payload = Payload::new(payload);
        self
    }

    /// Returns the payload, if it is a `T`.
    pub fn payload<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.payload.value.downcast_ref()
    }

    /// Returns the payload, for a handler that requires one.
    ///
    /// ```
    /// use executor_core::Event;
    ///
    /// let event = Event::new("light.hall").with_payload(420_u32);
    /// let error = event.try_payload::<String>().unwrap_err();
    /// assert_eq!(error.to_string(), "the event carries a `u32`, not a `alloc::string::String`");
    /// ```
    ///
    /// # Errors
    ///
    /// The payload is of another type; the error names both types.
    pub fn try_payload<T: Any + Send + Sync>(&self) -> Result<&T, PayloadMismatch> {
        self.payload().ok_or(PayloadMismatch {
            wanted: type_name::<T>(),
            carried: self.payload.type_name,
        })
    }
}

impl fmt::Debug for Event {
    /// Leaves out the payload: it may hold secrets, and many people read logs.
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
