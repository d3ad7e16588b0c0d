//! Handlers: the two handler traits and the closures that implement them.
//!
//! Calling a handler creates a future; the runner decides when and where to poll it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::event::Event;
use crate::failure::HandlerError;
use crate::panics::Caught;

/// The result of every handler.
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

/// The end of a handler that was run: its result, or its panic.
pub(crate) type Ran = Result<HandlerResult, Box<Caught>>;

/// The future that a handler returns. Its work begins when it is polled.
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
pub type HandlerFuture = BorrowingFuture<'static>;

/// A [`HandlerFuture`] that may borrow from the code that awaits it; see
/// [`Runner::run_future`](crate::Runner::run_future).
pub type BorrowingFuture<'f> = Pin<Box<dyn Future<Output = HandlerResult> + Send + 'f>>;

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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of events",
    label = "not a handler of events",
    note = "a handler is `Send + Sync + 'static`: a struct that implements `Handler`, or a closure from `Arc<Event>` to a \
            `Send` future of `Result<(), HandlerError>`",
    note = "for a function with or without the event that returns nothing or a result with any error, use `handler_fn`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Starts one invocation. The future may be dropped at any await point, which ends the execution as `cancelled`
    /// or `timed_out`.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of a job",
    label = "not a handler of a job",
    note = "a job's handler is `Send + Sync + 'static`: a struct that implements `JobHandler`, or a closure that returns a \
            `Send` future of `Result<(), HandlerError>`",
    note = "for a function that returns nothing or a result with any error, use `handler_fn`"
)]
pub trait JobHandler: Send + Sync + 'static {
    /// Starts one run. The future may be dropped at any await point, as in [`Handler::call`].
    fn call(&self) -> HandlerFuture;
}

/// The return type of a handler function: nothing, or a result with any error.
///
/// ```
/// use executor_core::HandlerOutput;
///
/// assert!(().into_result().is_ok());
/// let parsed: Result<(), std::num::ParseIntError> = "x".parse::<u32>().map(drop);
/// assert!(parsed.into_result().is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "a handler returns nothing, or a `Result<(), E>`",
    note = "drop what it returns with `;` or `.map(drop)`; to get a value back, run the future with `wrap`",
    note = "`E` is anything that `?` turns into a boxed error: any `Error + Send + Sync`, `anyhow::Error`, `String`, `&str`"
)]
pub trait HandlerOutput: sealed::Output + Send {
    /// Converts it into a handler's result.
    ///
    /// # Errors
    ///
    /// The error that the function returned.
    fn into_result(self) -> Result<(), HandlerError>;
}

/// Seals the return types and the functions; struct handlers implement [`Handler`].
mod sealed {
    use super::{Arc, Event, HandlerError, HandlerOutput};

    #[diagnostic::on_unimplemented(
        message = "a handler cannot return `{Self}`",
        label = "a handler returns nothing, or a `Result<(), E>`"
    )]
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

/// A function that handles events and takes the event or nothing: `Args` is `(Arc<Event>,)` or `()`. This lets one
/// method of a builder accept both.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that handles events",
    label = "not a function that handles events",
    note = "it takes nothing or an `Arc<Event>`, is `Send + Sync + 'static`, and returns a `Send` future of nothing or of \
            a `Result<(), E>`",
    note = "inside `async` blocks with `?` name the error: `Ok::<(), HandlerError>(())`"
)]
pub trait HandlerFn<Args>: sealed::Function<Args> + Send + Sync + 'static {
    /// Starts one invocation, like [`Handler::call`].
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
