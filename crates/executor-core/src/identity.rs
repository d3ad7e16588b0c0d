//! Who is who: ids, keys and tiers. Plain data; how ids are kept is the store's business.

use std::fmt;

use uuid::{NoContext, Uuid};

use crate::time::Timestamp;

/// The row id of a listener, given by the store.
///
/// ```
/// assert_eq!(executor_core::ListenerId(7).to_string(), "7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub i64);

/// The row id of a job, given by the store.
///
/// ```
/// assert_eq!(executor_core::JobId(7).to_string(), "7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// Names one execution: a UUIDv7, made when it begins.
///
/// ```
/// use executor_core::{Clock, ExecutionId, SystemClock};
///
/// let id = ExecutionId::new(SystemClock.now().wall);
/// assert_eq!(id.to_string().len(), 36); // the usual form of a UUID
/// assert_eq!(id.0.get_version_num(), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(pub Uuid);

/// Names one run of a recording process: a UUIDv7 that the process makes itself, so that records
/// have a session before any store has answered.
///
/// ```
/// use executor_core::{SessionId, Timestamp};
///
/// let begun = Timestamp::from_micros(1_767_225_600_000_000);
/// assert_ne!(SessionId::new(begun), SessionId::new(begun)); // two processes, two sessions
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub Uuid);

impl ExecutionId {
    /// A fresh id for an execution that begins at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(uuid_v7(at))
    }
}

impl SessionId {
    /// A fresh id for a session that begins at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(uuid_v7(at))
    }
}

/// The clock was read already, so the id takes that reading instead of a second one, and no
/// process-wide counter: 74 random bits keep ids of one millisecond apart.
fn uuid_v7(at: Timestamp) -> Uuid {
    let micros = u64::try_from(at.as_micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).expect("below 1,000,000,000");
    Uuid::new_v7(uuid::Timestamp::from_unix(
        NoContext,
        micros / 1_000_000,
        nanos,
    ))
}

macro_rules! display_inner {
    ($($id:ty),+) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}
display_inner!(ListenerId, JobId, ExecutionId, SessionId);

/// Who wrote the code that runs: the application, or the framework around it.
///
/// ```
/// assert_eq!(executor_core::SourceTier::Framework.as_str(), "framework");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceTier {
    /// The user's application.
    App,
    /// The framework that hosts applications.
    Framework,
}

impl SourceTier {
    /// The word for it in logs, tables and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Framework => "framework",
        }
    }
}

/// What identifies a listener for good: registering the same key again is the same listener.
///
/// ```
/// let key = executor_core::ListenerKey {
///     app_key: "lights".into(),
///     instance: 0,
///     name: "hall".into(),
///     topic: "motion.hall".into(),
/// };
/// assert_eq!(key.to_string(), "lights[0].hall on motion.hall");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    /// The app it belongs to.
    pub app_key: String,
    /// Which instance of the app, counted from 0.
    pub instance: u32,
    /// Its name, unique within app, instance and topic.
    pub name: String,
    /// The topic, or topic pattern, it listens to.
    pub topic: String,
}

/// What identifies a job for good: registering the same key again is the same job.
///
/// ```
/// let (app_key, name) = ("lights".into(), "dim".into());
/// let key = executor_core::JobKey { app_key, instance: 0, name };
/// assert_eq!(key.to_string(), "lights[0].dim");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// The app it belongs to.
    pub app_key: String,
    /// Which instance of the app, counted from 0.
    pub instance: u32,
    /// Its name, unique within app and instance.
    pub name: String,
}

impl fmt::Display for ListenerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}].{} on {}",
            self.app_key, self.instance, self.name, self.topic
        )
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}].{}", self.app_key, self.instance, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_time_they_were_given() {
        let id = ExecutionId::new(Timestamp::from_micros(1_700_000_000_123_456));
        let (secs, nanos) = id.0.get_timestamp().expect("a v7 has a time").to_unix();
        assert_eq!((secs, nanos / 1_000_000), (1_700_000_000, 123));
        assert_eq!(id.0.get_version_num(), 7);
    }

    #[test]
    fn a_clock_before_the_epoch_still_gives_ids() {
        let early = Timestamp::from_micros(-5);
        assert_ne!(ExecutionId::new(early), ExecutionId::new(early));
    }
}
