//! How a request to a store can go wrong.

use std::error::Error;
use std::fmt;
use std::pin::Pin;

/// How a request to a store can go wrong. Callers match on it exhaustively.
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

/// What a store is known to suffer from, where somebody can do something about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StoreFault {
    /// Nothing in particular.
    #[default]
    Other,
    /// Its disk is full: whoever holds space there can give it back.
    NoSpace,
    /// What it holds is damaged: no waiting mends that, only a person does.
    Damaged,
}

/// A request to a store failed.
///
/// ```
/// let error = executor_core::StoreError::unreachable("storing a batch", "no route to host");
/// assert_eq!(error.to_string(), "storing a batch failed");
/// assert!(!error.answered); // whoever retries does not count this as a refusal
/// ```
#[derive(Debug)]
pub struct StoreError {
    /// What kind of failure it is, and so what to do.
    pub class: ErrorClass,
    /// Whether a store was there to refuse: being lost or absent uses up no attempts.
    pub answered: bool,
    /// What the store suffers from.
    pub fault: StoreFault,
    /// What was being done, as a fragment such as `storing a batch`.
    pub operation: &'static str,
    /// The error underneath.
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// A store that could not be asked; nothing is known of it.
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

    /// A store that was closed and answers nothing any more.
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
