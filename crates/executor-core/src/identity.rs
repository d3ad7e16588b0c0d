//! Ids, keys and tiers. Plain data; the store decides how to keep ids.

mod short;

use std::fmt;

use uuid::{NoContext, Uuid};

use crate::time::Timestamp;

pub use self::short::{IdRanges, SHORT_ID_DIGITS, SHORT_ID_DIGITS_MIN};

/// The row of a registration in its table, assigned by the store. Listeners and jobs have separate tables; a
/// [`RegistrationId`] says which one.
///
/// ```
/// assert_eq!(executor_core::RowId::new(7).to_string(), "7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(i64);

impl RowId {
    /// Creates the id of the row with this number.
    pub const fn new(row: i64) -> Self {
        Self(row)
    }

    /// Returns the number of the row.
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// Names a registration in the store.
///
/// ```
/// use executor_core::{RegistrationId, RowId};
///
/// assert_ne!(RegistrationId::listener(RowId::new(1)), RegistrationId::job(RowId::new(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId {
    /// The kind, which selects the table.
    pub kind: EntityKind,
    /// The row of that table.
    pub row: RowId,
}

impl RegistrationId {
    /// Creates the id of a listener's registration.
    pub const fn listener(row: RowId) -> Self {
        let kind = EntityKind::Listener;
        Self { kind, row }
    }

    /// Creates the id of a job's registration.
    pub const fn job(row: RowId) -> Self {
        let kind = EntityKind::Job;
        Self { kind, row }
    }
}

/// Names one execution: a UUIDv7, made when it begins.
///
/// ```
/// use executor_core::{Clock, ExecutionId, SystemClock};
///
/// let id = ExecutionId::new(SystemClock.now().wall);
/// assert_eq!(id.to_string().len(), 36); // the usual form of a UUID
/// assert_eq!(id.as_uuid().get_version_num(), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(Uuid);

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
pub struct SessionId(Uuid);

impl ExecutionId {
    /// Creates a fresh id for an execution that begins at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(uuid_v7(at))
    }

    /// Restores the id from the UUID that a store has kept.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the id as a UUID.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl SessionId {
    /// Creates a fresh id for a session that begins at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(uuid_v7(at))
    }

    /// Restores the id from the UUID that a store has kept.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the id as a UUID.
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

/// Creates an id from a clock reading that the caller already has. No process-wide counter is needed: 74 random bits
/// keep ids of the same millisecond apart.
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
display_inner!(RowId, ExecutionId, SessionId);

/// The author of the code that runs: the application, or the framework around it.
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
    /// Returns its name in logs, tables and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Framework => "framework",
        }
    }
}

/// The kind of entity: one that runs for events, or one that runs by itself.
///
/// ```
/// assert_eq!(executor_core::EntityKind::Listener.as_str(), "handler");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// A listener: its handler runs for the events of a topic.
    Listener,
    /// A job: it runs when it is due, or on request.
    Job,
}

impl EntityKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Listener, Self::Job];

    /// Returns the name of its executions in logs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "handler",
            Self::Job => "job",
        }
    }
}

/// The permanent identity of a listener or a job: registering the same entity again yields the same registration.
///
/// ```
/// use executor_core::Entity;
///
/// let hall = Entity::listener("lights", 0, "hall", "motion.hall");
/// assert_eq!(hall.to_string(), "lights[0].hall on motion.hall");
/// assert_eq!(Entity::job("lights", 0, "dim").to_string(), "lights[0].dim");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// Listener or job.
    pub kind: EntityKind,
    /// The app it belongs to.
    pub app_key: String,
    /// The instance of the app, counted from 0.
    pub instance: u32,
    /// Its name, unique within kind, app, instance and topic.
    pub name: String,
    /// The topic, or topic pattern, that a listener listens to; empty for a job.
    pub topic: String,
}

impl Entity {
    /// Creates the identity of a listener.
    pub fn listener(
        app_key: impl Into<String>,
        instance: u32,
        name: impl Into<String>,
        topic: impl Into<String>,
    ) -> Self {
        Self {
            kind: EntityKind::Listener,
            topic: topic.into(),
            ..Self::job(app_key, instance, name)
        }
    }

    /// Creates the identity of a job.
    pub fn job(app_key: impl Into<String>, instance: u32, name: impl Into<String>) -> Self {
        Self {
            kind: EntityKind::Job,
            app_key: app_key.into(),
            instance,
            name: name.into(),
            topic: String::new(),
        }
    }
}

impl Entity {
    /// Returns `app/name`, or `app#instance/name` if the instance is not the first, as the program `executor` shows and
    /// takes it. A listener and a job, or listeners on several topics, may share one.
    ///
    /// ```
    /// # use executor_core::Entity;
    /// assert_eq!(Entity::job("house", 0, "backup").path(), "house/backup");
    /// assert_eq!(Entity::job("house", 2, "backup").path(), "house#2/backup");
    /// ```
    pub fn path(&self) -> String {
        match self.instance {
            0 => format!("{}/{}", self.app_key, self.name),
            instance => format!("{}#{instance}/{}", self.app_key, self.name),
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}].{}", self.app_key, self.instance, self.name)?;
        match self.kind {
            EntityKind::Listener => write!(f, " on {}", self.topic),
            EntityKind::Job => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
