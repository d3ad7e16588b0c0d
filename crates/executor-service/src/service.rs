//! The builder and the handle: what a program holds in its hands.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Session, Store};
use executor_core::{
    Clock, Command, ExecutionResult, Ledger, Refused, Runner, SessionId, SourceTier, SystemClock,
};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::drain::{Drain, Request};
use crate::intake::Intake;
use crate::lifecycle::{ShutdownReport, StartError, stop};
use crate::registrar;
use crate::registration::{JobBuilder, ListenerBuilder};
use crate::session;

/// Runs commands and records every execution. Cheap to clone; all clones are the same service.
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
    pub(crate) running: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    pending: mpsc::UnboundedSender<registrar::Entry>,
    /// Ends with the drain; may be waited for as often as one likes.
    pub(crate) drain: TaskTracker,
    pub(crate) abort_drain: AbortHandle,
    /// Tasks that have nothing to finish.
    pub(crate) abort_others: [AbortHandle; 2],
    report: OnceCell<ShutdownReport>,
}

impl Drop for Service {
    /// Nothing rests on this: without `shutdown` what waits is lost, and said to be.
    fn drop(&mut self) {
        self.abort_drain.abort();
        for task in &self.abort_others {
            task.abort();
        }
        let waiting = self.intake.ledger().waiting;
        if self.report.get().is_none() && waiting > 0 {
            tracing::warn!(
                waiting,
                "the executor was dropped without shutdown; records are lost"
            );
        }
    }
}

/// Sets a service up; made by [`CommandExecutor::builder`].
#[must_use = "nothing runs before `start` is awaited"]
pub struct Builder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: Config,
}

impl Builder {
    /// Other settings than the default ones.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
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
    /// found `crashed` after the process has ended.
    pub async fn start(self) -> Result<CommandExecutor, StartError> {
        let Self {
            store,
            clock,
            config,
        } = self;
        config.validate()?;
        let session = Arc::new(session::new(clock.as_ref()));
        timeout(
            config.startup_timeout,
            session::open(store.as_ref(), &session),
        )
        .await
        .map_err(|_| StartError::Timeout(config.startup_timeout))?
        .map_err(StartError::Store)?;
        Ok(CommandExecutor {
            service: Arc::new(spawn(store, session, clock, config)),
        })
    }
}

fn spawn(
    store: Arc<dyn Store>,
    session: Arc<Session>,
    clock: Arc<dyn Clock>,
    config: Config,
) -> Service {
    let intake = Arc::new(Intake::new(config.queue_max, config.ripe_at()));
    let cancel = CancellationToken::new();
    let sink = Arc::clone(&intake);
    let runner = Runner::new(sink, Arc::clone(&clock), cancel.clone());
    let keeper = tokio::spawn(session::keep_alive(
        Arc::clone(&store),
        Arc::clone(&session),
        Arc::clone(&intake),
        Arc::clone(&clock),
        config.heartbeat_interval,
    ));
    let (pending, entries) = mpsc::unbounded_channel();
    let registrar = tokio::spawn(registrar::run(Arc::clone(&store), entries));
    let (work, requests) = Drain::new(
        Arc::clone(&intake),
        Arc::clone(&store),
        Arc::clone(&session),
        Arc::clone(&clock),
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
        running: TaskTracker::new(),
        cancel,
        requests,
        pending,
        drain,
        abort_drain,
        abort_others: [keeper.abort_handle(), registrar.abort_handle()],
        report: OnceCell::new(),
    }
}

impl CommandExecutor {
    /// Begins to set up a service that records into `store`.
    pub fn builder(store: impl Store) -> Builder {
        Builder {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            config: Config::default(),
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
        // The token first: one that is taken before the tracker closes is waited for, one that
        // is taken after sees it closed.
        let _running = self.service.running.token();
        if self.service.running.is_closed() {
            return Err(Refused::Stopping);
        }
        Ok(self.service.runner.run(command.into()).await)
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

    /// Where every record of this session is now.
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
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the shutdown where it is; calling again goes on with it.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let report = self
            .service
            .report
            .get_or_init(|| stop(&self.service, within))
            .await;
        report.clone()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.service.store.as_ref()
    }

    pub(crate) fn register_later(&self, entry: registrar::Entry) {
        // Only after a shutdown is nobody there to take it; its records will say what they
        // belong to.
        let _ = self.service.pending.send(entry);
    }
}
