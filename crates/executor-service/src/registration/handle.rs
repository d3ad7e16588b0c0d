//! Handles that run, replace, pause and cancel registered listeners and jobs.

use std::fmt;
use std::sync::{Arc, Weak};

use executor_core::{
    Command, Event, ExecuteJob, Handler, InvokeHandler, Job, JobHandler, Listener, Refused,
    StoreError, Timestamp, TriggerMode,
};

use crate::registration::registrar::Registrar;
use crate::registration::wrapped::{RunsFutures, Wrapped, wrap, wrap_result};

macro_rules! handle_methods {
    // What else a cancellation does, besides removing it.
    ($what:ident, $on_cancel:expr) => {
        /// Refuses its commands until [`resume`](Self::resume). Running executions continue. Idempotent.
        pub fn pause(&self) {
            self.$what.slot.pause();
            self.registrar.paused(&self.$what.registration.entity);
        }

        /// Ends a pause. Idempotent.
        pub fn resume(&self) {
            self.$what.slot.resume();
            self.registrar.resumed(&self.$what.registration.entity);
        }

        /// Removes the registration: its commands are refused and its schedule ends, but running executions continue.
        /// The history shows the time of the removal; if the store is unavailable, it is written later. An entity
        /// that is registered again, before or after, is not marked as removed. Idempotent.
        ///
        /// # Errors
        ///
        /// The store refuses to mark it as removed; its commands are refused anyway.
        ///
        /// # Cancel safety
        ///
        /// From the first poll on, its commands are refused. Dropping the future may leave the history without the
        /// mark.
        pub async fn cancel(&self) -> Result<(), StoreError> {
            let removed = self.registrar.remove(Arc::clone(&self.$what) as _);
            let on_cancel: fn(&Self) = $on_cancel;
            on_cancel(self);
            removed.await
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
    /// Weak, because schedules hold handles.
    pub(crate) service: Weak<dyn RunsFutures>,
}

impl ListenerHandle {
    /// Stops publishing events to it.
    fn unsubscribe(&self) {
        if let Some(service) = self.service.upgrade() {
            service.unsubscribe(&self.listener);
        }
    }

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

    handle_methods!(listener, Self::unsubscribe);

    /// Runs a future, which may borrow, as an execution of this listener, subject to its overlap rule, deadline and
    /// pause, and records the outcome. If the future returns, the outcome is `success`, whatever it returns.
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
    /// Like [`execute`](crate::CommandExecutor::execute); the future was dropped without being polled.
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

    /// Does the same for a future that returns a result. If it returns an error, the execution ends as `error` and
    /// the caller receives the error unchanged. The record has the error's type and its text in the alternate form
    /// (`{:#}`, in which `anyhow` includes the causes). Because the error is only displayed, it never counts as a
    /// timeout or a known error.
    ///
    /// # Errors
    ///
    /// Like [`wrap`](Self::wrap).
    ///
    /// # Cancel safety
    ///
    /// Like [`wrap`](Self::wrap).
    pub async fn wrap_result<T: Send, E: fmt::Display + Send>(
        &self,
        event: impl Into<Arc<Event>>,
        future: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Wrapped<Result<T, E>>, Refused> {
        wrap_result(&self.service, self.invoke(event), future).await
    }

    /// Replaces the handler for future events. Running executions continue with the old one; key, history and overlap
    /// rule stay the same.
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
/// let due = executor_core::Timestamp::from_micros(1_767_225_600_000_000);
/// assert!(executor.execute(dim.run_scheduled(due)).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct JobHandle {
    pub(crate) job: Arc<Job>,
    pub(crate) registrar: Arc<Registrar>,
    /// Weak, because schedules hold handles.
    pub(crate) service: Weak<dyn RunsFutures>,
}

impl JobHandle {
    /// Returns the command that runs it on demand.
    pub fn run_now(&self) -> Command {
        self.command(TriggerMode::Manual, None)
    }

    /// Returns the command that runs it as its schedule would, for a run that was due at this time.
    pub fn run_scheduled(&self, due_at: Timestamp) -> Command {
        self.command(TriggerMode::Schedule, Some(due_at))
    }

    handle_methods!(job, Self::unschedule);

    /// Ends its schedule, unless that belongs to a later job with the same key.
    fn unschedule(&self) {
        if let Some(service) = self.service.upgrade() {
            service.unschedule(&self.job);
        }
    }

    /// Runs a future, which may borrow, as an execution of this job, subject to its overlap rule, deadline and pause,
    /// and records the outcome. If the future returns, the outcome is `success`, whatever it returns.
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
    /// Like [`execute`](crate::CommandExecutor::execute); the future was dropped without being polled.
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

    /// Does the same for a future that returns a result. If it returns an error, the execution ends as `error` and
    /// the caller receives the error unchanged. The record has the error's type and its text in the alternate form
    /// (`{:#}`, in which `anyhow` includes the causes). Because the error is only displayed, it never counts as a
    /// timeout or a known error.
    ///
    /// # Errors
    ///
    /// Like [`wrap`](Self::wrap).
    ///
    /// # Cancel safety
    ///
    /// Like [`wrap`](Self::wrap).
    pub async fn wrap_result<T: Send, E: fmt::Display + Send>(
        &self,
        future: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<Wrapped<Result<T, E>>, Refused> {
        wrap_result(&self.service, self.run_now(), future).await
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.job.slot.is_removed()
    }

    /// Replaces the handler for future runs. Running executions continue with the old one; key, history and overlap
    /// rule stay the same.
    pub fn replace(&self, handler: impl JobHandler) {
        self.job.slot.replace(Arc::new(handler));
    }

    /// Returns the job that it runs.
    pub const fn job(&self) -> &Arc<Job> {
        &self.job
    }

    fn command(&self, trigger_mode: TriggerMode, due_at: Option<Timestamp>) -> Command {
        let details = &self.job.registration.details;
        Command::ExecuteJob(ExecuteJob {
            job: Arc::clone(&self.job),
            trigger_mode,
            due_at,
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
