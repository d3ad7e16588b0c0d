//! The port for storing listeners and jobs.

use crate::identity::{RegistrationId, RowId, SessionId};
use crate::ports::error::StoreFuture;
use crate::registration::Registration;
use crate::time::Timestamp;

/// Says whether changes are made or only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Make the changes.
    Now,
    /// Only report what would change.
    DryRun,
}

/// An app's current registrations, for comparison with the stored ones.
///
/// ```
/// use executor_core::{RegistrationId, RowId, Timestamp, ports::{Apply, Reconcile}};
///
/// let wanted = Reconcile {
///     app_key: "lights".into(),
///     live: vec![RegistrationId::listener(RowId::new(1))], // every job is stale
///     session: None,
///     at: Timestamp::from_micros(0),
///     apply: Apply::DryRun,
/// };
/// # assert_eq!(wanted.apply, Apply::DryRun);
/// ```
#[derive(Clone, Debug)]
pub struct Reconcile {
    /// The app; registrations of other apps and of the framework tier are never touched.
    pub app_key: String,
    /// Its live listeners and jobs. An empty list means that all stored ones are stale.
    pub live: Vec<RegistrationId>,
    /// The session in which once-listeners may have run; without it their rule is skipped.
    pub session: Option<SessionId>,
    /// The retirement time of stale rows.
    pub at: Timestamp,
    /// Whether to make the changes.
    pub apply: Apply,
}

/// The changes that reconciling made, or would make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Stale and without history: deleted.
    pub deleted: Vec<RegistrationId>,
    /// Stale but with history: retired.
    pub retired: Vec<RegistrationId>,
}

/// Keeps listeners and jobs.
pub trait RegistrationStore: Send + Sync + 'static {
    /// Writes a registration and returns its row. Registering an entity again keeps its row, replaces
    /// every other column, and makes it live if it had been retired or removed. Idempotent; the caller
    /// retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId>;

    /// Sets the time at which a registration was removed. Returns `false` if there is no such row. Idempotent: the
    /// first time is kept.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool>;

    /// Deletes or retires the registrations that an app no longer has, in one transaction. Running it again changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled>;
}
