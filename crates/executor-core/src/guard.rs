//! Guards: may this run begin at all? The program's own question, asked before anything else.

use std::fmt;
use std::sync::Arc;

use crate::event::Event;
use crate::failure::HandlerError;

/// What a guard may return: yes or no, or a result with any error. Not to be implemented outside.
///
/// ```
/// use executor_core::guard::GuardOutput;
///
/// assert!(true.into_answer().is_ok_and(|answer| answer));
/// let cannot_tell: Result<bool, &str> = Err("the sensor is silent");
/// assert!(cannot_tell.into_answer().is_err());
/// ```
pub trait GuardOutput: sealed::Sealed {
    /// The same as every guard's answer.
    ///
    /// # Errors
    ///
    /// The guard could not tell.
    fn into_answer(self) -> Result<bool, HandlerError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bool {}
    impl<E> Sealed for Result<bool, E> {}
}

impl GuardOutput for bool {
    fn into_answer(self) -> Result<bool, HandlerError> {
        Ok(self)
    }
}

impl<E: Into<HandlerError>> GuardOutput for Result<bool, E> {
    fn into_answer(self) -> Result<bool, HandlerError> {
        self.map_err(Into::into)
    }
}

type Question = dyn Fn(Option<&Event>) -> Result<bool, HandlerError> + Send + Sync;

/// A question that is asked on the caller's thread before each run. It does not wait: what a guard
/// needs to know should be at hand. Where it says no, the execution is `skipped`; where it fails or
/// panics, that is the execution's outcome, and the handler does not run.
///
/// ```
/// use executor_core::{Event, guard::Guard};
///
/// let from_the_hall = Guard::for_events(|event: &Event| &*event.origin == "hall");
/// # drop(from_the_hall);
/// ```
#[derive(Clone)]
pub struct Guard(Arc<Question>);

impl Guard {
    /// Asks about the event.
    pub fn for_events<O: GuardOutput>(
        question: impl Fn(&Event) -> O + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |event| match event {
            Some(event) => question(event).into_answer(),
            None => Ok(true),
        }))
    }

    /// Asks about nothing in particular.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
    /// use executor_core::Guard;
    ///
    /// let is_dark = Arc::new(AtomicBool::new(false));
    /// let seen = Arc::clone(&is_dark);
    /// let guard = Guard::for_jobs(move || seen.load(Ordering::Relaxed));
    /// # drop(guard);
    /// ```
    pub fn for_jobs<O: GuardOutput>(question: impl Fn() -> O + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |_| question().into_answer()))
    }

    /// Asks about a listener's event, or about a job.
    pub(crate) fn ask(&self, event: Option<&Event>) -> Result<bool, HandlerError> {
        self.0(event)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard(..)")
    }
}
