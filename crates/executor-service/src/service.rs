//! The builder and the handle: what a program holds in its hands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use executor_core::ports::{Session, Store};
use executor_core::{
    BlockingPool, Clock, Command, ErrorHandler, ExecutionResult, LeakedThread, Ledger, Redact,
    Redactor, Refused, RunOptions, Runner, SessionId, SourceTier, SystemClock,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::drain::{Drain, Request};
use crate::error_handlers::ErrorHandlers;
use crate::intake::Intake;
use crate::lifecycle::{ShutdownReport, StartError, stop};
use crate::registrar::{Entry, Registrar};
use crate::registration::{JobBuilder, ListenerBuilder};
use crate::retention::keep_in_bounds;
use crate::running::Running;
use crate::session;

/// Runs commands and records every execution. Cheap to clone; all clones are the same service.
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
    service: Arc<Service>,
}

/// What all handles share.
pub(crate) struct Service {
    runner: Runner,
    pub(crate) intake: Arc<Intake>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) session: Arc<Session>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts what runs, and is closed when nothing may begin any more.
    pub(crate) running: Running,
    pub(crate) blocking: BlockingPool,
    pub(crate) cancel: CancellationToken,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    pub(crate) error_handlers: Arc<ErrorHandlers>,
    registrar: Arc<Registrar>,
    /// Ends with the drain; may be waited for as often as one likes.
    pub(crate) drain: TaskTracker,
    pub(crate) abort_drain: AbortHandle,
    /// Has the drain end after the try in hand.
    pub(crate) time_is_up: CancellationToken,
    /// Tasks that have nothing to finish.
    pub(crate) abort_others: [AbortHandle; 3],
    is_stopping: AtomicBool,
    report: watch::Sender<Option<ShutdownReport>>,
}

impl Drop for Service {
    /// Nothing rests on this: without `shutdown` what waits is lost, and said to be.
    fn drop(&mut self) {
        self.abort_drain.abort();
        for task in &self.abort_others {
            task.abort();
        }
        let waiting = self.intake.ledger().waiting;
        if waiting > 0 {
            tracing::warn!(
                waiting,
                "the executor was dropped without shutdown; records are lost"
            );
        }
    }
}

/// Sets a service up; made by [`CommandExecutor::builder`].
///
/// ```
/// use executor_service::{CommandExecutor, Config};
/// use executor_testkit::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_service::StartError> {
/// let config = Config { queue_max: 100_000, ..Config::default() };
/// let executor = CommandExecutor::builder(MemoryStore::new()).config(config).start().await?;
/// assert_eq!(executor.running(), 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing runs before `start` is awaited"]
pub struct Builder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: Config,
    redactor: Redactor,
}

impl Builder {
    /// Other settings than the default ones.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The hook through which every text goes before it is recorded or logged. Default: none, and
    /// texts are kept as they are.
    pub fn redact(mut self, hook: impl Redact) -> Self {
        self.redactor = Redactor::new(Arc::new(hook));
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Starts the service and returns when it is ready. To be called on a tokio runtime with time
    /// enabled; the service's tasks run there.
    ///
    /// # Errors
    ///
    /// The settings make no sense, or the store was not ready within `startup_timeout`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future starts nothing; a session that was opened already is left open and
    /// found `crashed` by whoever looks next.
    pub async fn start(self) -> Result<CommandExecutor, StartError> {
        let Self {
            store,
            clock,
            config,
            redactor,
        } = self;
        config.validate()?;
        let session = Arc::new(session::new(clock.as_ref()));
        let within = config.startup_timeout;
        let mut last = None;
        let opened = {
            let opening = session::open(store.as_ref(), &session, &mut last);
            timeout(within, opening).await
        };
        match opened {
            Ok(opened) => opened.map_err(StartError::Store)?,
            Err(_) => return Err(StartError::Timeout { within, last }),
        }
        Ok(CommandExecutor {
            service: Arc::new(spawn(store, session, clock, config, redactor)),
        })
    }
}

fn spawn(
    store: Arc<dyn Store>,
    session: Arc<Session>,
    clock: Arc<dyn Clock>,
    config: Config,
    redactor: Redactor,
) -> Service {
    let intake = Arc::new(Intake::new(config.queue_max, config.ripe_at()));
    let cancel = CancellationToken::new();
    let sink = Arc::clone(&intake);
    let options = RunOptions {
        slow_poll: config.slow_poll,
        cancel_grace: config.cancel_grace,
        redactor: redactor.clone(),
    };
    let runner = Runner::new(sink, Arc::clone(&clock), cancel.clone(), options);
    let error_handlers = Arc::new(ErrorHandlers::new(config.error_handler_timeout, redactor));
    let blocking = BlockingPool::new(config.blocking_threads);
    let keeper = tokio::spawn(session::keep_alive(
        Arc::clone(&store),
        Arc::clone(&session),
        Arc::clone(&intake),
        Arc::clone(&clock),
        config.heartbeat_interval,
    ));
    let registrar = Arc::new(Registrar::default());
    let (applying, its_store) = (Arc::clone(&registrar), Arc::clone(&store));
    let applying = tokio::spawn(async move { applying.run(its_store.as_ref()).await });
    let pruning = tokio::spawn(keep_in_bounds(
        Arc::clone(&store),
        Arc::clone(&clock),
        config.retention.clone(),
    ));
    let time_is_up = CancellationToken::new();
    let (work, requests) = Drain::new(
        Arc::clone(&intake),
        (Arc::clone(&store), Arc::clone(&registrar)),
        Arc::clone(&session),
        Arc::clone(&clock),
        time_is_up.clone(),
        config,
    );
    let drain = TaskTracker::new();
    let abort_drain = drain.spawn(work.run()).abort_handle();
    drain.close();
    Service {
        runner,
        intake,
        store,
        session,
        clock,
        running: Running::default(),
        blocking,
        cancel,
        requests,
        error_handlers,
        registrar,
        drain,
        abort_drain,
        time_is_up,
        abort_others: [keeper, applying, pruning].map(|task| task.abort_handle()),
        is_stopping: AtomicBool::new(false),
        report: watch::Sender::new(None),
    }
}

impl CommandExecutor {
    /// Begins to set up a service that records into `store`.
    pub fn builder(store: impl Store) -> Builder {
        Builder {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            config: Config::default(),
            redactor: Redactor::NONE,
        }
    }

    /// Runs a command. Errors, panics and timeouts are outcomes inside `Ok`.
    ///
    /// # Errors
    ///
    /// [`Refused`]: the service is stopping. Nothing ran and nothing is recorded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before its first poll does nothing; after it, the handler is dropped
    /// and the execution recorded as `cancelled`. A future passed to [`std::mem::forget`] records
    /// nothing.
    pub async fn execute(&self, command: impl Into<Command>) -> Result<ExecutionResult, Refused> {
        self.run(command.into(), None).await
    }

    /// Runs a command until it ends or `cancel` is cancelled. The handler sees that as
    /// [`cancellation`](executor_core::context::cancellation) and has `cancel_grace` to return; if it
    /// does, its own result is the outcome, else the execution is `cancelled`.
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
    pub async fn execute_until(
        &self,
        command: impl Into<Command>,
        cancel: &CancellationToken,
    ) -> Result<ExecutionResult, Refused> {
        self.run(command.into(), Some(cancel)).await
    }

    async fn run(
        &self,
        command: Command,
        cancel: Option<&CancellationToken>,
    ) -> Result<ExecutionResult, Refused> {
        let service = &self.service;
        let Some(_inside) = service.running.enter() else {
            return Err(Refused::Stopping);
        };
        let of_apps = service.error_handlers.as_of_now();
        let ended = service.runner.run(command, cancel).await;
        if let Some(failure) = ended.failure {
            service.error_handlers.start(failure, of_apps.as_ref());
        }
        Ok(ended.result)
    }

    /// Begins to register a listener of the app tier.
    pub fn listener(&self, app: impl Into<String>, name: impl Into<String>) -> ListenerBuilder {
        ListenerBuilder::new(self.clone(), app.into(), name.into(), SourceTier::App)
    }

    /// Begins to register a listener of the framework tier.
    pub fn framework_listener(
        &self,
        app: impl Into<String>,
        name: impl Into<String>,
    ) -> ListenerBuilder {
        ListenerBuilder::new(self.clone(), app.into(), name.into(), SourceTier::Framework)
    }

    /// Begins to register a job of the app tier.
    pub fn job(&self, app: impl Into<String>, name: impl Into<String>) -> JobBuilder {
        JobBuilder::new(self.clone(), app.into(), name.into(), SourceTier::App)
    }

    /// Begins to register a job of the framework tier.
    pub fn framework_job(&self, app: impl Into<String>, name: impl Into<String>) -> JobBuilder {
        JobBuilder::new(self.clone(), app.into(), name.into(), SourceTier::Framework)
    }

    /// Sets what is told when an execution of this app fails whose registration has no error
    /// handler of its own. Executions that are running already keep the one they began with.
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

    /// How many error handlers failed, panicked or ran out of time.
    pub fn error_handler_failures(&self) -> u64 {
        self.service.error_handlers.failures()
    }

    /// How many failures no error handler was told of, because the one of the same listener or
    /// job was running and another failure was waiting for it.
    pub fn error_handlers_suppressed(&self) -> u64 {
        self.service.error_handlers.suppressed()
    }

    /// Threads of blocking handlers that still run though their executions have ended. Their
    /// number is bounded, so this is short.
    pub fn leaked_threads(&self) -> Vec<LeakedThread> {
        self.service.blocking.leaked()
    }

    pub(crate) fn redactor(&self) -> &Redactor {
        &self.service.error_handlers.redactor
    }

    pub(crate) fn blocking(&self) -> &BlockingPool {
        &self.service.blocking
    }

    /// Where every record of this session is now.
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

    /// The session under which this service records.
    pub fn session_id(&self) -> SessionId {
        self.service.session.id
    }

    /// How many executions are running.
    pub fn running(&self) -> usize {
        self.service.running.len()
    }

    /// Waits until every record that was offered before the call is stored or given up. While the
    /// store is away this lasts as long as the retries do.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// # let job = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
    /// executor.execute(job.run_now()).await?;
    /// executor.flush().await;
    /// assert_eq!(executor.ledger().stored, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting, nothing else.
    pub async fn flush(&self) {
        let (reply, done) = oneshot::channel();
        if self.service.requests.send(Request::Flush(reply)).is_ok() {
            // An error says that the drain has ended, and then nothing waits any more.
            let _ = done.await;
        }
    }

    /// Stops the service within a deadline: refuses new commands, gives running ones half the
    /// time to end, cancels the rest, writes what waits, closes the session and the store.
    ///
    /// A second call returns the same report; calls at the same time wait for the same shutdown.
    /// A handler that awaits this is waited for in its turn: for half of the time, then it is
    /// cancelled.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting; the shutdown goes on.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let mut report = self.service.report.subscribe();
        if !self.service.is_stopping.swap(true, Ordering::SeqCst) {
            let service = Arc::clone(&self.service);
            // A task of its own: whoever asked may be cancelled by it, or go away.
            tokio::spawn(async move {
                let report = stop(&service, within).await;
                service.report.send_replace(Some(report));
            });
        }
        let report = report.wait_for(Option::is_some).await;
        let report = report.expect("the service that sends it is held by this handle");
        report.clone().expect("just waited for")
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.service.store.as_ref()
    }

    /// Whether registrations wait for the store.
    pub(crate) fn has_pending(&self) -> bool {
        self.service.registrar.has_waiting()
    }

    pub(crate) fn register_later(&self, entry: Entry) {
        self.service.registrar.keep(entry);
    }
}
