//! What can be run: the two handler traits and the closures that implement them.
//!
//! Calling a handler makes a future; when and where it is polled is the runner's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;
use crate::failure::HandlerError;

/// What a handler returns: its work, not begun until it is polled.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;

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
