//! What can be run: the two handler traits and the closures that implement them.
//!
//! Calling a handler makes a future; when and where it is polled is the runner's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;
use crate::failure::HandlerError;
use crate::panics::Caught;

/// What every handler comes to in the end.
///
/// ```
/// use executor_core::handler::HandlerResult;
///
/// fn check(lux: u32) -> HandlerResult {
///     if lux > 1_000 {
///         return Err("too bright".into());
///     }
///     Ok(())
/// }
/// assert!(check(500).is_ok() && check(2_000).is_err());
/// ```
pub type HandlerResult = Result<(), HandlerError>;

/// What became of a handler that was run: what it returned, or its panic.
pub(crate) type Ran = Result<HandlerResult, Box<Caught>>;

/// What a handler returns: its work, not begun until it is polled.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use executor_core::HandlerFuture;
///
/// let work: HandlerFuture = Box::pin(async { Ok(()) });
/// assert!(work.await.is_ok());
/// # }
/// ```
pub type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// Handles an event. Closures `|event: Arc<Event>| async move { .. Ok(()) }` are handlers;
/// structs may implement the trait.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{Event, Handler, HandlerFuture};
///
/// struct Lamp(&'static str);
/// impl Handler for Lamp {
///     fn call(&self, event: Arc<Event>) -> HandlerFuture {
///         let name = self.0;
///         Box::pin(async move {
///             println!("{name} goes on because of {}", event.topic);
///             Ok(())
///         })
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # assert!(Lamp("hall").call(Arc::new(Event::new("motion.hall"))).await.is_ok());
/// # }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Begins one invocation. It may be dropped at any await point, which ends the execution as
    /// `cancelled` or `timed_out`.
    fn call(&self, event: Arc<Event>) -> HandlerFuture;
}

/// Runs a job. Closures `|| async { .. Ok(()) }` are job handlers; structs may implement the
/// trait.
///
/// ```
/// use executor_core::{HandlerFuture, JobHandler};
///
/// struct Sweep;
/// impl JobHandler for Sweep {
///     fn call(&self) -> HandlerFuture {
///         Box::pin(async { Ok(()) })
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # assert!(Sweep.call().await.is_ok());
/// # }
/// ```
pub trait JobHandler: Send + Sync + 'static {
    /// Begins one run. It may be dropped at any await point, as in [`Handler::call`].
    fn call(&self) -> HandlerFuture;
}

/// What a handler function may return: nothing, or a result with any error.
///
/// ```
/// use executor_core::HandlerOutput;
///
/// assert!(().into_result().is_ok());
/// let parsed: Result<(), std::num::ParseIntError> = "x".parse::<u32>().map(drop);
/// assert!(parsed.into_result().is_err());
/// ```
pub trait HandlerOutput: sealed::Output + Send {
    /// The same as every handler's result.
    ///
    /// # Errors
    ///
    /// What the function returned as one.
    fn into_result(self) -> Result<(), HandlerError>;
}

/// What may be returned and what is a function is decided here; struct handlers implement [`Handler`].
mod sealed {
    use super::{Arc, Event, HandlerError, HandlerOutput};

    pub trait Output {}
    impl Output for () {}
    impl<E: Into<HandlerError> + Send> Output for Result<(), E> {}

    pub trait Function<Args> {}
    impl<F, Fut> Function<(Arc<Event>,)> for F
    where
        F: Fn(Arc<Event>) -> Fut,
        Fut: Future<Output: HandlerOutput>,
    {
    }
    impl<F, Fut> Function<()> for F
    where
        F: Fn() -> Fut,
        Fut: Future<Output: HandlerOutput>,
    {
    }
}

impl HandlerOutput for () {
    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError> + Send> HandlerOutput for Result<(), E> {
    fn into_result(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}

/// A function that handles events, with the event or without: `Args` is `(Arc<Event>,)` or `()`.
/// It lets one method of a builder take both.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{Event, HandlerFn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let with_the_event = |event: Arc<Event>| async move { println!("{}", event.topic) };
/// let without_it = || async {};
/// assert!(with_the_event.start(Arc::new(Event::new("motion"))).await.is_ok());
/// assert!(without_it.start(Arc::new(Event::new("motion"))).await.is_ok());
/// # }
/// ```
pub trait HandlerFn<Args>: sealed::Function<Args> + Send + Sync + 'static {
    /// Begins one invocation, like [`Handler::call`].
    fn start(&self, event: Arc<Event>) -> HandlerFuture;
}

impl<F, Fut> HandlerFn<(Arc<Event>,)> for F
where
    F: Fn(Arc<Event>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    fn start(&self, event: Arc<Event>) -> HandlerFuture {
        let work = self(event);
        Box::pin(async move { work.await.into_result() })
    }
}

impl<F, Fut> HandlerFn<()> for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    fn start(&self, _: Arc<Event>) -> HandlerFuture {
        let work = self();
        Box::pin(async move { work.await.into_result() })
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(Arc<Event>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    fn call(&self, event: Arc<Event>) -> HandlerFuture {
        Box::pin(self(event))
    }
}

impl<F, Fut> JobHandler for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    fn call(&self) -> HandlerFuture {
        Box::pin(self())
    }
}
