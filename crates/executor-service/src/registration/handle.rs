//! Handles that run, replace, pause and cancel registered listeners and jobs.

use std::fmt;
use std::sync::{Arc, Weak};

use executor_core::{
    Command, Event, ExecuteJob, Handler, InvokeHandler, Job, JobHandler, Listener, Refused,
    StoreError, TriggerMode,
};

use crate::registration::registrar::Registrar;
use crate::registration::wrapped::{RunsFutures, Wrapped, wrap, wrap_result};

macro_rules! handle_methods {
    ($what:ident) => {
        /// Refuses its commands until [`resume`](Self::resume). Running executions continue. Idempotent.
        pub fn pause(&self) {
            self.$what.slot.pause();
        }

        /// Ends a pause. Idempotent.
        pub fn resume(&self) {
            self.$what.slot.resume();
        }

        /// Removes it: from now on its commands are refused and its schedule ends; running executions
        /// continue, and the history shows when it was removed. If the store is unavailable, that is
        /// written later. An entity that is registered again, before or after, is not marked. Idempotent.
        ///
        /// # Errors
        ///
        /// The store refuses to mark it as removed; its commands are refused all the same.
        ///
        /// # Cancel safety
        ///
        /// Once polled, its commands are refused; dropping the future may leave the history without the mark.
        pub async fn cancel(&self) -> Result<(), StoreError> {
            self.registrar.remove(Arc::clone(&self.$what) as _).await
        }
    };
}

/// A registered listener.
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let hall = executor.listener("lights", "hall").topic("motion.hall");
/// let hall = hall.handler_fn(|| async {}).register().await?;
/// let command = hall.invoke(executor_core::Event::new("motion.hall"));
/// assert!(executor.execute(command).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ListenerHandle {
    pub(crate) listener: Arc<Listener>,
    pub(crate) registrar: Arc<Registrar>,
    /// Not kept alive by its handles: a schedule holds one.
    pub(crate) service: Weak<dyn RunsFutures>,
}

impl ListenerHandle {
    /// Returns the command that invokes its handler for an event, with its tier and its deadline.
    pub fn invoke(&self, event: impl Into<Arc<Event>>) -> Command {
        let details = &self.listener.registration.details;
        Command::InvokeHandler(InvokeHandler {
            listener: Arc::clone(&self.listener),
            event: event.into(),
            source_tier: details.source_tier,
            effective_timeout: details.timeout,
        })
    }

    handle_methods!(listener);

    /// Runs a future, which may borrow, as an execution of this listener: its overlap rule, its deadline and its pause hold,
    /// and how it ends is recorded. It ends as `success` if the future returns, whatever it returns.
    ///
    /// ```
    /// # use {executor_service::*, executor_testkit::MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await?;
    /// let hook = executor.listener("web", "hook").topic("POST /hook").for_wrapping().register().await?;
    /// let event = executor_core::Event::new("POST /hook");
    /// let wrapped = hook.wrap(event, async { 42 }).await?;
    /// assert_eq!(wrapped.value, Some(42));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`execute`](crate::CommandExecutor::execute); the future was dropped unpolled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future drops the given one and records the execution as `cancelled`.
    pub async fn wrap<T: Send>(
        &self,
        event: impl Into<Arc<Event>>,
        future: impl Future<Output = T> + Send,
    ) -> Result<Wrapped<T>, Refused> {
        wrap(&self.service, self.invoke(event), future).await
    }

    /// The same for a future that returns a result: an error makes the execution end as `error`, with what the error
    /// displays, and comes back as it is.
    ///
    /// # Errors
    ///
    /// As of [`wrap`](Self::wrap).
    ///
    /// # Cancel safety
    ///
    /// As of [`wrap`](Self::wrap).
    pub async fn wrap_result<T: Send, E: fmt::Display + Send>(
        &self,
        event: impl Into<Arc<Event>>,
        future: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Wrapped<Result<T, E>>, Refused> {
        wrap_result(&self.service, self.invoke(event), future).await
    }

    /// Replaces the handler for events from now on. Running executions continue with the old one; key, history and
    /// overlap rule stay the same.
    pub fn replace(&self, handler: impl Handler) {
        self.listener.slot.replace(Arc::new(handler));
    }

    /// Returns the listener that it invokes.
    pub const fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }
}

/// A registered job.
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let dim = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
/// assert!(executor.execute(dim.run_now()).await.is_ok());
/// assert!(executor.execute(dim.run_scheduled()).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct JobHandle {
    pub(crate) job: Arc<Job>,
    pub(crate) registrar: Arc<Registrar>,
    /// Not kept alive by its handles: a schedule holds one.
    pub(crate) service: Weak<dyn RunsFutures>,
}

impl JobHandle {
    /// Returns the command that runs it on demand.
    pub fn run_now(&self) -> Command {
        self.command(TriggerMode::Manual)
    }

    /// Returns the command that runs it as its schedule would.
    pub fn run_scheduled(&self) -> Command {
        self.command(TriggerMode::Schedule)
    }

    handle_methods!(job);

    /// Runs a future, which may borrow, as an execution of this job: its overlap rule, its deadline and its pause hold,
    /// and how it ends is recorded. It ends as `success` if the future returns, whatever it returns.
    ///
    /// ```
    /// # use {executor_service::*, executor_testkit::MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await?;
    /// let sum = executor.job("web", "sum").for_wrapping().register().await?;
    /// let numbers = vec![20, 22]; // borrowed by the future
    /// let wrapped = sum.wrap(async { numbers.iter().sum::<i32>() }).await?;
    /// assert_eq!(wrapped.value, Some(42));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`execute`](crate::CommandExecutor::execute); the future was dropped unpolled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the returned future drops the given one and records the execution as `cancelled`.
    pub async fn wrap<T: Send>(
        &self,
        future: impl Future<Output = T> + Send,
    ) -> Result<Wrapped<T>, Refused> {
        wrap(&self.service, self.run_now(), future).await
    }

    /// The same for a future that returns a result: an error makes the execution end as `error`, with what the error
    /// displays, and comes back as it is.
    ///
    /// # Errors
    ///
    /// As of [`wrap`](Self::wrap).
    ///
    /// # Cancel safety
    ///
    /// As of [`wrap`](Self::wrap).
    pub async fn wrap_result<T: Send, E: fmt::Display + Send>(
        &self,
        future: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Wrapped<Result<T, E>>, Refused> {
        wrap_result(&self.service, self.run_now(), future).await
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.job.slot.is_removed()
    }

    /// Replaces the handler for runs from now on. Running executions continue with the old one; key, history and
    /// overlap rule stay the same.
    pub fn replace(&self, handler: impl JobHandler) {
        self.job.slot.replace(Arc::new(handler));
    }

    /// Returns the job that it runs.
    pub const fn job(&self) -> &Arc<Job> {
        &self.job
    }

    fn command(&self, trigger_mode: TriggerMode) -> Command {
        let details = &self.job.registration.details;
        Command::ExecuteJob(ExecuteJob {
            job: Arc::clone(&self.job),
            trigger_mode,
            source_tier: details.source_tier,
            effective_timeout: details.timeout,
        })
    }
}

impl fmt::Debug for ListenerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListenerHandle")
            .field(&self.listener)
            .finish()
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobHandle").field(&self.job).finish()
    }
}
