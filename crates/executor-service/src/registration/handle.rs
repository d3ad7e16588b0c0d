//! The handles of what is registered: with them it is run, replaced, paused and cancelled.

use std::fmt;
use std::sync::Arc;

use executor_core::{
    Command, Event, ExecuteJob, Handler, InvokeHandler, Job, JobHandler, Listener, StoreError,
    TriggerMode,
};

use crate::registration::registrar::Registrar;

macro_rules! handle_methods {
    ($what:ident) => {
        /// Refuses its commands until [`resume`](Self::resume). What runs goes on. Idempotent.
        pub fn pause(&self) {
            self.$what.slot.pause();
        }

        /// Ends a pause. Idempotent.
        pub fn resume(&self) {
            self.$what.slot.resume();
        }

        /// Removes it: its commands are refused from now on, what runs goes on, a schedule that it had
        /// is over, and the history says when it was removed. While the store is away that is kept and
        /// written later. If the same
        /// entity is registered anew, before or after, it lives. Idempotent.
        ///
        /// # Errors
        ///
        /// The store refuses to mark it; its commands are refused all the same.
        ///
        /// # Cancel safety
        ///
        /// Once polled its commands are refused; dropping the future may leave the history without
        /// the mark.
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
}

impl ListenerHandle {
    /// The command that invokes its handler for an event, with its tier and its deadline.
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

    /// From now on another handler runs for an event. What runs already goes on with the old one;
    /// key, history and overlap rule stay the same.
    pub fn replace(&self, handler: impl Handler) {
        self.listener.slot.replace(Arc::new(handler));
    }

    /// What it invokes.
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
}

impl JobHandle {
    /// The command that runs it because somebody wants it now.
    pub fn run_now(&self) -> Command {
        self.command(TriggerMode::Manual)
    }

    /// The command that runs it because its schedule says so.
    pub fn run_scheduled(&self) -> Command {
        self.command(TriggerMode::Schedule)
    }

    handle_methods!(job);

    pub(crate) fn is_cancelled(&self) -> bool {
        self.job.slot.is_removed()
    }

    /// From now on another handler runs. What runs already goes on with the old one; key, history
    /// and overlap rule stay the same.
    pub fn replace(&self, handler: impl JobHandler) {
        self.job.slot.replace(Arc::new(handler));
    }

    /// What it runs.
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
