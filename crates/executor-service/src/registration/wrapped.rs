//! Running any future as an execution, and giving back what it returned.

use std::any::type_name;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use executor_core::handler::HandlerResult;
use executor_core::{BorrowingFuture, Command, ExecutionResult, HandlerError, Refused};

/// What came of a future that was run as an execution.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wrapped<T> {
    /// What the future returned; `None` where it did not: its deadline passed, it panicked, was cancelled or skipped.
    pub value: Option<T>,
    /// How the execution ended.
    pub result: ExecutionResult,
}

/// Whoever runs a future in place of a handler: the service.
pub(crate) trait RunsFutures: Send + Sync {
    fn run_future<'f>(
        self: Arc<Self>,
        command: Command,
        future: BorrowingFuture<'f>,
    ) -> Pin<Box<dyn Future<Output = Result<ExecutionResult, Refused>> + Send + 'f>>;
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
        // The alternate form has `anyhow` tell the causes too.
        Err(error) => Err(HandlerError::named(type_name::<E>(), format!("{error:#}"))),
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
