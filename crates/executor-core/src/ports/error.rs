//! The errors of requests to a store.

use std::error::Error;
use std::fmt;
use std::pin::Pin;

/// The ways in which a request to a store can fail. Callers match on them exhaustively.
///
/// ```
/// let is_worth_a_retry = |class| matches!(class, executor_core::ErrorClass::Transient);
/// assert!(!is_worth_a_retry(executor_core::ErrorClass::Constraint));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Busy, locked, disk full, connection lost, store restarting: worth trying again.
    Transient,
    /// A row names a parent that does not exist.
    Dangling,
    /// A row breaks a rule of the tables.
    Constraint,
    /// Schema and code disagree, or a value cannot be bound.
    Unstorable,
    /// The store is gone for good.
    Closed,
}

/// A known fault of a store that somebody can act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StoreFault {
    /// No known fault.
    #[default]
    Other,
    /// Its disk is full; other users of that disk can give back space.
    NoSpace,
    /// Its data is damaged. Waiting does not help; a person must repair it.
    Damaged,
}

/// The error of a request to a store.
///
/// ```
/// let error = executor_core::StoreError::unreachable("storing a batch", "no route to host");
/// assert_eq!(error.to_string(), "storing a batch failed");
/// assert!(!error.answered); // whoever retries does not count this as a refusal
/// ```
#[derive(Debug)]
pub struct StoreError {
    /// The kind of failure, which decides what to do.
    pub class: ErrorClass,
    /// True if a store answered. A store that does not answer uses up no retries.
    pub answered: bool,
    /// The fault of the store, if it is known.
    pub fault: StoreFault,
    /// The operation that failed, as a fragment such as `storing a batch`.
    pub operation: &'static str,
    /// The error underneath.
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// Creates the error for a store that could not be reached; nothing is known about it.
    pub fn unreachable(
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            class: ErrorClass::Transient,
            answered: false,
            fault: StoreFault::Other,
            operation,
            source: source.into(),
        }
    }

    /// Creates the error for a store that was closed and no longer answers.
    pub fn closed(operation: &'static str) -> Self {
        Self {
            class: ErrorClass::Closed,
            answered: false,
            fault: StoreFault::Other,
            operation,
            source: "the store was closed".into(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.operation)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// The future of a request to a store.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;
