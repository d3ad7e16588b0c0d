//! Runs any future as an execution and returns its value.

use std::any::type_name;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};

use executor_core::handler::HandlerResult;
use executor_core::{
    BorrowingFuture, Command, ExecutionResult, HandlerError, Job, Listener, Refused,
};

/// The result of a future that ran as an execution.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wrapped<T> {
    /// The value that the future returned; `None` if its deadline passed or it panicked, was cancelled or was
    /// skipped.
    pub value: Option<T>,
    /// The result of the execution.
    pub result: ExecutionResult,
}

/// Runs a future in place of a handler. Implemented by the service.
pub(crate) trait RunsFutures: Send + Sync {
    fn run_future<'f>(
        self: Arc<Self>,
        command: Command,
        future: BorrowingFuture<'f>,
    ) -> Pin<Box<dyn Future<Output = Result<ExecutionResult, Refused>> + Send + 'f>>;

    /// Stops publishing events to a listener.
    fn unsubscribe(&self, listener: &Arc<Listener>);

    /// Ends a job's schedule.
    fn unschedule(&self, job: &Arc<Job>);
}

pub(crate) async fn wrap<T: Send>(
    service: &Weak<dyn RunsFutures>,
    command: Command,
    future: impl Future<Output = T> + Send,
) -> Result<Wrapped<T>, Refused> {
    run(service, command, future, |_| Ok(())).await
}

pub(crate) async fn wrap_result<T: Send, E: fmt::Display + Send>(
    service: &Weak<dyn RunsFutures>,
    command: Command,
    future: impl Future<Output = Result<T, E>> + Send,
) -> Result<Wrapped<Result<T, E>>, Refused> {
    let told = |returned: &Result<T, E>| match returned {
        Ok(_) => Ok(()),
        // In the alternate form, `anyhow` includes the causes. A `Display` that panics must not cost the caller the
        // value.
        Err(error) => {
            let text = catch_unwind(AssertUnwindSafe(|| format!("{error:#}")));
            let text =
                text.unwrap_or_else(|_| "an error that panics when it is displayed".to_owned());
            Err(HandlerError::named(type_name::<E>(), text))
        }
    };
    run(service, command, future, told).await
}

async fn run<T: Send>(
    service: &Weak<dyn RunsFutures>,
    command: Command,
    future: impl Future<Output = T> + Send,
    told: impl FnOnce(&T) -> HandlerResult + Send,
) -> Result<Wrapped<T>, Refused> {
    let service = service.upgrade().ok_or(Refused::Stopping)?;
    let mut value = None;
    let work = async {
        let returned = future.await;
        told(value.insert(returned))
    };
    let result = service.run_future(command, Box::pin(work)).await?;
    Ok(Wrapped { value, result })
}
