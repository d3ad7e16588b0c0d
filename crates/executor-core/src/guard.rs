//! Guards: the program's own check, made before anything else, of whether a run may begin.

use std::fmt;
use std::sync::Arc;

use crate::event::Event;
use crate::failure::HandlerError;

/// The return type of a guard: yes or no, or a result with any error. Sealed.
///
/// ```
/// use executor_core::guard::GuardOutput;
///
/// assert!(true.into_answer().is_ok_and(|answer| answer));
/// let cannot_tell: Result<bool, &str> = Err("the sensor is silent");
/// assert!(cannot_tell.into_answer().is_err());
/// ```
pub trait GuardOutput: sealed::Sealed {
    /// Converts it into a guard's answer.
    ///
    /// # Errors
    ///
    /// The guard could not decide.
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

/// A check that runs on the caller's thread before each run. It must not wait, so the data that it needs
/// should be at hand. If it says no, the execution is `skipped`; if it fails or panics, that is the
/// execution's outcome, and the handler does not run.
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
    /// Creates a guard that checks the event.
    pub fn for_events<O: GuardOutput>(
        question: impl Fn(&Event) -> O + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |event| match event {
            Some(event) => question(event).into_answer(),
            None => Ok(true),
        }))
    }

    /// Creates a guard that takes no event.
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
