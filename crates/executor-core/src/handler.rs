//! What can be run: the two handler traits and the closures that implement them.
//!
//! Calling a handler makes a future; when and where it is polled is the runner's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;
use crate::failure::HandlerError;

/// What every handler comes to in the end.
pub type HandlerResult = Result<(), HandlerError>;

/// What a handler returns: its work, not begun until it is polled.
pub type HandlerFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// Handles an event. Closures `|event: Arc<Event>| async move { .. Ok(()) }` are handlers;
/// structs may implement the trait.
pub trait Handler: Send + Sync + 'static {
    /// Begins one invocation. It may be dropped at any await point, which ends the execution as
    /// `cancelled` or `timed_out`.
    fn call(&self, event: Arc<Event>) -> HandlerFuture;
}

/// Runs a job. Closures `|| async { .. Ok(()) }` are job handlers; structs may implement the
/// trait.
pub trait JobHandler: Send + Sync + 'static {
    /// Begins one run. It may be dropped at any await point, as in [`Handler::call`].
    fn call(&self) -> HandlerFuture;
}

/// What a handler function may return: nothing, or a result with any error.
pub trait HandlerOutput: Send {
    /// The same as every handler's result.
    ///
    /// # Errors
    ///
    /// What the function returned as one.
    fn into_result(self) -> Result<(), HandlerError>;
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
pub trait HandlerFn<Args>: Send + Sync + 'static {
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
