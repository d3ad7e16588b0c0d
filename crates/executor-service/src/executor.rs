//! [`CommandExecutor`], the handle that a program uses.

use std::sync::Arc;

use executor_core::ports::{Apply, Reconciled, Store};
use executor_core::{
    Command, Entity, ErrorHandler, ExecutionResult, LeakedThread, Ledger, Refused, SessionId,
    SourceTier, StoreError,
};
use tokio_util::sync::CancellationToken;

use crate::completions::{CompletionBuffer, Completions};
use crate::lifecycle::builder::Builder;
use crate::lifecycle::health::{Health, Measured};
use crate::lifecycle::shared::{Service, run};
use crate::registration::builders::{JobBuilder, ListenerBuilder};
use crate::schedule::missed_log::Paused;

mod acting;

mod draining;

mod live_state;

mod publishing;

mod schedules;

mod sources;

pub use draining::{NotDrained, NotSynced};
pub use publishing::Published;
pub use sources::Source;

/// Runs commands and records every execution. Cheap to clone; all clones share one service.
///
/// ```
/// use std::time::Duration;
/// use executor_service::CommandExecutor;
/// use executor_testkit::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let executor = CommandExecutor::builder(store.clone()).start().await?;
/// let job = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
/// let result = executor.execute(job.run_now()).await?;
/// executor.shutdown(Duration::from_secs(5)).await;
/// assert_eq!(store.records()[0].execution_id, result.execution_id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CommandExecutor {
    pub(crate) service: Arc<Service>,
}

impl CommandExecutor {
    pub(crate) fn new(service: Service) -> Self {
        let service = Arc::new(service);
        Self { service }
    }

    /// Returns a builder for a service that records into `store`.
    pub fn builder(store: impl Store) -> Builder {
        Builder::new(store)
    }

    /// Runs a command. Errors, panics and timeouts are outcomes inside `Ok`. The command is converted at
    /// once; everything else begins at the future's first poll.
    ///
    /// # Errors
    ///
    /// [`Refused`]: the service is stopping or paused, or the target is paused or removed. Nothing ran or was
    /// recorded, and the refusal is counted ([`refused`](Self::refused)).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before its first poll does nothing; after it, the handler is dropped
    /// and the execution recorded as `cancelled`. A future passed to [`std::mem::forget`] records
    /// nothing.
    pub fn execute<C: Into<Command>>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<ExecutionResult, Refused>> + Send + use<C> {
        run(Arc::clone(&self.service), command.into(), None)
    }

    /// Runs a command until it ends or `cancel` is cancelled. The handler sees the latter as
    /// [`cancellation`](executor_core::context::cancellation) and has `cancel_grace` to return; if it does, its own
    /// result is the outcome, otherwise the execution is `cancelled`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// use executor_core::Status;
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let job = executor.job("lights", "wait").handler_fn(std::future::pending::<()>);
    /// let (job, cancel) = (job.register().await?, CancellationToken::new());
    /// cancel.cancel(); // as the caller's own shutdown would
    /// let result = executor.execute_until(job.run_now(), &cancel).await?;
    /// assert_eq!(result.status(), Status::Cancelled);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Like [`execute`](Self::execute).
    ///
    /// # Cancel safety
    ///
    /// Like [`execute`](Self::execute).
    pub fn execute_until<C: Into<Command>>(
        &self,
        command: C,
        cancel: &CancellationToken,
    ) -> impl Future<Output = Result<ExecutionResult, Refused>> + Send + use<C> {
        run(
            Arc::clone(&self.service),
            command.into(),
            Some(cancel.clone()),
        )
    }

    /// Returns a builder for a listener of the app tier.
    pub fn listener(&self, app: impl Into<String>, name: impl Into<String>) -> ListenerBuilder {
        ListenerBuilder::new(
            Arc::clone(&self.service),
            app.into(),
            name.into(),
            SourceTier::App,
        )
    }

    /// Returns a builder for a listener of the framework tier.
    pub fn framework_listener(
        &self,
        app: impl Into<String>,
        name: impl Into<String>,
    ) -> ListenerBuilder {
        ListenerBuilder::new(
            Arc::clone(&self.service),
            app.into(),
            name.into(),
            SourceTier::Framework,
        )
    }

    /// Returns a builder for a job of the app tier.
    pub fn job(&self, app: impl Into<String>, name: impl Into<String>) -> JobBuilder {
        JobBuilder::new(
            Arc::clone(&self.service),
            app.into(),
            name.into(),
            SourceTier::App,
        )
    }

    /// Returns a builder for a job of the framework tier.
    pub fn framework_job(&self, app: impl Into<String>, name: impl Into<String>) -> JobBuilder {
        JobBuilder::new(
            Arc::clone(&self.service),
            app.into(),
            name.into(),
            SourceTier::Framework,
        )
    }

    /// Sets the error handler for executions of this app that fail and have no error handler of their own.
    /// Executions that are already running keep the handler they began with.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// executor.on_app_error("lights", |failure: executor_core::HandlerFailure| async move {
    ///     eprintln!("{} ended as {}", failure.name(), failure.status.as_str());
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_app_error(&self, app: impl Into<String>, handler: impl ErrorHandler) {
        self.service
            .error_handlers
            .set(app.into(), Arc::new(handler));
    }

    /// Returns how many error handlers failed, panicked or ran out of time.
    pub fn error_handler_failures(&self) -> u64 {
        self.service.error_handlers.failures()
    }

    /// Returns how many failures were not passed to an error handler, because the handler of the same listener or job
    /// was running and another failure was already waiting for it.
    pub fn error_handlers_suppressed(&self) -> u64 {
        self.service.error_handlers.suppressed()
    }

    /// Returns the threads of blocking handlers that are still running although their executions have ended. Their
    /// number is bounded, so the list is short.
    pub fn leaked_threads(&self) -> Vec<LeakedThread> {
        self.service.blocking.leaked()
    }

    /// Returns the ledger, which accounts for every record of this session.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// let ledger = executor.ledger();
    /// assert!(ledger.is_balanced());
    /// println!("{ledger}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn ledger(&self) -> Ledger {
        self.service.intake.ledger()
    }

    /// Returns the session under which this service records.
    pub fn session_id(&self) -> SessionId {
        self.service.session.id
    }

    /// Returns how many commands were refused because the executor was stopping or paused. The ledger does not
    /// include them: nothing ran.
    pub fn refused(&self) -> u64 {
        self.service.running.refused()
    }

    /// Refuses new commands until [`resume`](Self::resume). Running executions continue. Idempotent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// # let job = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
    /// use executor_core::Refused;
    ///
    /// executor.pause();
    /// assert_eq!(executor.execute(job.run_now()).await.unwrap_err(), Refused::Paused);
    /// executor.resume();
    /// assert!(executor.execute(job.run_now()).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause(&self) {
        self.service.running.pause();
        let now = self.service.clock.now().wall;
        self.service.missed.pause(Paused::Executor, now);
    }

    /// Ends a pause. Idempotent.
    pub fn resume(&self) {
        self.service.running.resume();
        let now = self.service.clock.now().wall;
        self.service.missed.resume(&Paused::Executor, now);
    }

    /// Returns how many executions the recording policy left out, by listener and job. The ledger has the sum as
    /// `filtered`.
    pub fn filtered(&self) -> Vec<(Arc<Entity>, u64)> {
        self.service.intake.filtered()
    }

    /// Subscribes to completion events: one for each app-tier record stored from now on. A subscriber that falls
    /// behind by more than `completions_max` events misses the oldest ones; the executor never waits for it.
    pub fn completions(&self) -> Completions {
        match self.service.completions().as_ref() {
            Some(completions) => completions.subscribe(),
            // The drain has ended, so nothing more will be stored.
            None => CompletionBuffer::new(1).subscribe(),
        }
    }

    /// Returns the current health of the executor.
    pub fn health(&self) -> Health {
        let service = &self.service;
        let (waiting, queue_max) = service.intake.fill();
        let usage = service.intake.usage();
        service.health.assess(Measured {
            waiting,
            queue_max,
            lost_lately: service.intake.lost_lately(service.clock.monotonic()),
            stalled: service.stalled_since(),
            leaked: service.blocking.leaked().len(),
            spool: usage.as_ref().map(|usage| (usage.bytes, usage.max_bytes)),
            sync_error: usage.and_then(|usage| usage.sync_error),
        })
    }

    /// Returns how often a part of the executor failed and was restarted.
    pub fn restarts(&self) -> u64 {
        self.service.health.restarts()
    }

    /// Returns how many executions are running.
    pub fn running(&self) -> usize {
        self.service.running.len()
    }

    /// Deletes or retires an app's stale registrations in the store: those that the app has not registered, or has
    /// cancelled. Stale registrations with history are retired, the others deleted. Call this once the app has
    /// registered everything. Returns what was done.
    ///
    /// # Errors
    ///
    /// The store is unavailable or refuses; nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the change is made completely or not at all.
    pub async fn reconcile(&self, app: &str) -> Result<Reconciled, StoreError> {
        let Service {
            registrar, session, ..
        } = self.service.as_ref();
        registrar.reconcile(app, session.id, Apply::Now).await
    }

    /// Returns what [`reconcile`](Self::reconcile) would do. Changes nothing.
    ///
    /// # Errors
    ///
    /// The store is unavailable or refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn would_reconcile(&self, app: &str) -> Result<Reconciled, StoreError> {
        let Service {
            registrar, session, ..
        } = self.service.as_ref();
        registrar.reconcile(app, session.id, Apply::DryRun).await
    }
}
