//! Error handlers, and the failure that an execution passes to one. The service decides when they run,
//! and how many.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::context::{Scope, Traits};
use crate::event::Event;
use crate::failure::{Failure, HandlerError};
use crate::handler::{HandlerFuture, HandlerOutput};
use crate::identity::ExecutionId;
use crate::outcome::Status;
use crate::panics::{catch, drop_quietly};
use crate::record::Subject;
use crate::redact::Redactor;

/// An execution that ended as `error`, `panicked` or `timed_out`.
///
/// ```
/// # use std::sync::Arc;
/// # let failure = executor_core::HandlerFailure {
/// #     execution_id: executor_core::ExecutionId::new(executor_core::Timestamp::from_micros(0)),
/// #     status: executor_core::Status::TimedOut,
/// #     error: None,
/// #     failure: Arc::new(executor_core::Failure::deadline()),
/// #     subject: executor_core::Subject { entity: Arc::new(executor_core::Entity::job("lights", 0, "dim")), row: None },
/// #     event: None,
/// #     group: None,
/// #     arguments_json: None,
/// #     error_handler: None,
/// #     generation: 0,
/// # };
/// let text = format!("{}: {}", failure.name(), failure.message());
/// assert_eq!(text, "dim: execution timed out");
/// assert_eq!(failure.topic(), None); // a job has no event
/// ```
#[derive(Clone)]
pub struct HandlerFailure {
    /// The execution's id.
    pub execution_id: ExecutionId,
    /// The status in which it ended.
    pub status: Status,
    /// The error that the handler returned; `None` if it panicked or its deadline passed.
    pub error: Option<Arc<HandlerError>>,
    /// Type, message and the full report, even if the record leaves that out.
    pub failure: Arc<Failure>,
    /// The listener or job that ran.
    pub subject: Subject,
    /// The event for which a listener was invoked.
    pub event: Option<Arc<Event>>,
    /// The group of a job.
    pub group: Option<String>,
    /// The arguments of a job as JSON, if its author asked for them to be recorded.
    pub arguments_json: Option<String>,
    /// The registration's own error handler; `None` for the app's.
    pub error_handler: Option<Arc<dyn ErrorHandler>>,
    /// The number of error handlers between it and the execution that no error handler started.
    pub generation: u8,
}

impl HandlerFailure {
    /// Returns the error's message.
    pub fn message(&self) -> &str {
        &self.failure.message
    }

    /// Returns the name of the listener or the job.
    pub fn name(&self) -> &str {
        &self.subject.entity.name
    }

    /// Returns the topic of the event.
    pub fn topic(&self) -> Option<&str> {
        self.event.as_ref().map(|event| &*event.topic)
    }
}

impl fmt::Debug for HandlerFailure {
    /// Leaves out the event and the arguments, which carry the sender's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerFailure")
            .field("execution_id", &self.execution_id)
            .field("status", &self.status)
            .field("name", &self.name())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// Handles failures. Closures `|failure: HandlerFailure| async move { .. }` are error handlers;
/// structs may implement the trait.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{ErrorHandler, HandlerFailure};
///
/// let handler = |failure: HandlerFailure| async move {
///     eprintln!("{} ended as {}", failure.name(), failure.status.as_str());
/// };
/// let handler: Arc<dyn ErrorHandler> = Arc::new(handler);
/// # drop(handler);
/// ```
pub trait ErrorHandler: Send + Sync + 'static {
    /// Starts to handle a failure. The future may be dropped at any await point when its time limit passes.
    fn call(&self, failure: HandlerFailure) -> HandlerFuture;
}

impl<F, Fut> ErrorHandler for F
where
    F: Fn(HandlerFailure) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    fn call(&self, failure: HandlerFailure) -> HandlerFuture {
        let work = self(failure);
        Box::pin(async move { work.await.into_result() })
    }
}

/// The end of an error handler's run.
///
/// ```
/// use executor_core::error_handler::HandlerEnd;
///
/// let is_worth_a_line = |told: &HandlerEnd| !matches!(told, HandlerEnd::Done);
/// assert!(is_worth_a_line(&HandlerEnd::TimedOut));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerEnd {
    /// The error handler returned.
    Done,
    /// It returned an error or panicked.
    Failed(Failure),
    /// Its time limit passed.
    TimedOut,
}

/// Runs an error handler, for at most `within`, under the id of the execution that failed. Catches its
/// errors and panics. Executions that it starts belong to the next generation.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use std::sync::Arc;
/// # let failure = executor_core::HandlerFailure {
/// #     execution_id: executor_core::ExecutionId::new(executor_core::Timestamp::from_micros(0)),
/// #     status: executor_core::Status::TimedOut,
/// #     error: None,
/// #     failure: Arc::new(executor_core::Failure::deadline()),
/// #     subject: executor_core::Subject { entity: Arc::new(executor_core::Entity::job("lights", 0, "dim")), row: None },
/// #     event: None,
/// #     group: None,
/// #     arguments_json: None,
/// #     error_handler: None,
/// #     generation: 0,
/// # };
/// use std::time::Duration;
/// use executor_core::{HandlerFailure, Redactor, error_handler::{HandlerEnd, tell}};
///
/// let handler = Arc::new(|_: HandlerFailure| async { std::future::pending::<()>().await });
/// let told = tell(handler, failure, Duration::from_millis(10), &Redactor::NONE).await;
/// assert_eq!(told, HandlerEnd::TimedOut);
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future drops the error handler's future.
pub async fn tell(
    handler: Arc<dyn ErrorHandler>,
    failure: HandlerFailure,
    within: Duration,
    redactor: &Redactor,
) -> HandlerEnd {
    let traits = Traits {
        generation: failure.generation.saturating_add(1),
        ..Traits::default()
    };
    let mut scope = Scope::of(failure.execution_id, traits);
    let mut failure = Some(failure);
    let mut work = None;
    let polled = std::future::poll_fn(|cx| {
        let _execution = scope.enter();
        let polled = catch(|| {
            let work =
                work.get_or_insert_with(|| handler.call(failure.take().expect("called once")));
            work.as_mut().poll(cx)
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(returned)) => Poll::Ready(Ok(returned)),
            Err(caught) => Poll::Ready(Err(caught)),
        }
    });
    let told = match tokio::time::timeout(within, polled).await {
        Err(_) => HandlerEnd::TimedOut,
        Ok(Ok(Ok(()))) => HandlerEnd::Done,
        Ok(Ok(Err(error))) => HandlerEnd::Failed(Failure::from_error(&error, redactor)),
        Ok(Err(caught)) => {
            let place = caught.place.as_deref();
            let told = Failure::from_panic(caught.payload.as_ref(), place, redactor);
            drop_quietly(caught.payload);
            HandlerEnd::Failed(told)
        }
    };
    let _execution = scope.enter();
    drop_quietly(work);
    told
}
