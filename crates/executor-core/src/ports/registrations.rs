//! Keeping listeners and jobs.

use crate::identity::{RegistrationId, RowId, SessionId};
use crate::ports::error::StoreFuture;
use crate::registration::Registration;
use crate::time::Timestamp;

/// Whether to do a thing or only to say what would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Do it.
    Now,
    /// Only say what would be done.
    DryRun,
}

/// What an app has registered, to be compared with what is stored.
///
/// ```
/// use executor_core::{RegistrationId, RowId, Timestamp, ports::{Apply, Reconcile}};
///
/// let wanted = Reconcile {
///     app_key: "lights".into(),
///     live: vec![RegistrationId::listener(RowId(1))], // every job is stale
///     session: None,
///     at: Timestamp::from_micros(0),
///     apply: Apply::DryRun,
/// };
/// # assert_eq!(wanted.apply, Apply::DryRun);
/// ```
#[derive(Clone, Debug)]
pub struct Reconcile {
    /// Whose registrations; those of other apps and of the framework tier are never touched.
    pub app_key: String,
    /// Its live listeners and jobs. An empty list means that all stored ones are stale.
    pub live: Vec<RegistrationId>,
    /// The session in which once-listeners may have run; without it their rule is skipped.
    pub session: Option<SessionId>,
    /// What stale rows get as their time of retirement.
    pub at: Timestamp,
    /// Whether to do it.
    pub apply: Apply,
}

/// What reconciling did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Stale and without history: deleted.
    pub deleted: Vec<RegistrationId>,
    /// Stale but with history: retired.
    pub retired: Vec<RegistrationId>,
}

/// Keeps listeners and jobs.
pub trait RegistrationStore: Send + Sync + 'static {
    /// Writes a registration's row and returns it. The same entity keeps its row, has every other
    /// column replaced, and is live again if it had been retired or removed. Idempotent; the
    /// caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId>;

    /// Sets the time at which a registration was removed. Returns `false` if there is no such
    /// row. Idempotent: the first time stands.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool>;

    /// Deletes or retires what an app no longer has, in one transaction. Running it again
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled>;
}
