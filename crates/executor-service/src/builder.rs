//! Setting a service up: what it is made of, and who knows whom.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use executor_core::ports::{Session, Store};
use executor_core::{
    BlockingPool, Clock, Durability, Redact, Redactor, RunOptions, Runner, StoreError, StoreFault,
    SystemClock,
};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::completions::CompletionBuffer;
use crate::config::{Config, SpoolPlace};
use crate::drain::{Drain, Tools};
use crate::error_handlers::ErrorHandlers;
use crate::health::HealthState;
use crate::intake::{Intake, Limits};
use crate::lifecycle::StartError;
use crate::loss_reporter::LossReporter;
#[cfg(feature = "metrics")]
use crate::metering::Metering;
use crate::recording::Policy;
use crate::recovery::Recovery;
use crate::registrar::{Applying, Registrar};
use crate::retention::Pruning;
use crate::running::Running;
use crate::schedule::Scheduler;
use crate::service::{CommandExecutor, Service};
use crate::session::{self, Heartbeat, Opening};
use crate::spooling::{self, Spooling};
use crate::tasks::{Starter, Tasks};

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
    pub(crate) fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            config: Config::default(),
            redactor: Redactor::NONE,
        }
    }

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
    /// Dropping the future starts nothing and leaves no spool behind; a session that was opened already is
    /// left open and found `crashed` by whoever looks next.
    pub async fn start(self) -> Result<CommandExecutor, StartError> {
        self.config.validate()?;
        // Also where the records wait in memory: the store writes files.
        record_spool::survive_file_size_limit();
        let session = Arc::new(session::new(self.clock.as_ref()));
        let health = Arc::<HealthState>::default();
        if self.config.durability == Durability::Power {
            self.store.sync_commits();
        }
        let spool = Unused(self.make_spool(&session, &health));
        let is_open = if self.config.wait_for_store || spool.0.is_none() {
            self.open_session(&session, spool.0.as_deref()).await?
        } else {
            false
        };
        let spooling = spool.into_use();
        Ok(CommandExecutor::new(
            self.assemble(session, health, spooling, is_open),
        ))
    }

    /// `false` if the store has no room for it and a spool was asked for: its records need none of the store's, and
    /// it gives back what it can. Where the disk is too full for a spool too, they wait in memory: what is to run
    /// matters more.
    async fn open_session(
        &self,
        session: &Arc<Session>,
        spooling: Option<&Spooling>,
    ) -> Result<bool, StartError> {
        let within = self.config.startup_timeout;
        let may_wait = self.spool_root().is_some();
        let mut last = None;
        let has_no_space = |error: &StoreError| may_wait && error.fault == StoreFault::NoSpace;
        let opened = {
            let opening = session::open(self.store.as_ref(), session, &mut last, &has_no_space);
            timeout(within, opening).await
        };
        match opened {
            Ok(Err(error)) if has_no_space(&error) => {
                if let Some(spooling) = spooling {
                    spooling.release_spares();
                }
                Ok(false)
            }
            Ok(opened) => opened.map(|()| true).map_err(StartError::Store),
            Err(_) => Err(StartError::Timeout { within, last }),
        }
    }

    fn spool_root(&self) -> Option<PathBuf> {
        match &self.config.spool {
            SpoolPlace::Beside => self.store.spool_dir(),
            SpoolPlace::At(root) => Some(root.clone()),
            SpoolPlace::Memory => None,
        }
    }

    /// A spool where there is to be one. Without it the program still runs, but is told.
    fn make_spool(&self, session: &Session, health: &HealthState) -> Option<Arc<Spooling>> {
        let root = self.spool_root()?;
        let (max_bytes, durability) = (self.config.spool_max_bytes, self.config.durability);
        let is_beside = self.config.spool == SpoolPlace::Beside;
        let mode = self.config.file_mode & 0o666;
        match Spooling::create(&root, is_beside, session, max_bytes, durability, mode) {
            Ok(spooling) => Some(Arc::new(spooling)),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let text = match cause {
                    Some(cause) => format!("{error}: {cause}"),
                    None => error.to_string(),
                };
                tracing::error!(
                    error = text,
                    "there is no spool: records wait in memory and die with the process"
                );
                health.has_no_spool(text);
                None
            }
        }
    }

    fn assemble(
        self,
        session: Arc<Session>,
        health: Arc<HealthState>,
        spooling: Option<Arc<Spooling>>,
        is_open: bool,
    ) -> Service {
        let spool_root = self.spool_root();
        let Self {
            store,
            clock,
            config,
            redactor,
        } = self;
        let has_spool = spooling.is_some();
        let intake = Arc::new(Intake::new(limits(&config), Arc::clone(&clock), spooling));
        let cancel = CancellationToken::new();
        let runner = {
            let options = RunOptions {
                slow_poll: config.slow_poll,
                cancel_grace: config.cancel_grace,
                record_backtraces: config.record_backtraces,
                redactor: redactor.clone(),
            };
            let sink = Arc::clone(&intake);
            Runner::new(sink, Arc::clone(&clock), cancel.clone(), options)
        };
        let registrar = Arc::new(Registrar::new(Arc::clone(&store), Arc::clone(&clock)));
        let completions = CompletionBuffer::new(config.completions_max);
        let time_is_up = CancellationToken::new();
        let (recovering, is_recovering) = watch::channel(has_spool);
        let starter = Starter {
            health: Arc::clone(&health),
            clock: Arc::clone(&clock),
        };
        let (drain, requests) = Drain::new(Tools {
            intake: Arc::clone(&intake),
            store: Arc::clone(&store),
            registrar: Arc::clone(&registrar),
            session: Arc::clone(&session),
            clock: Arc::clone(&clock),
            health: Arc::clone(&health),
            publisher: completions.publisher(),
            recovering: is_recovering,
            time_is_up: time_is_up.clone(),
            config: config.clone(),
        });
        let mut tasks = Tasks::start(&starter, drain);
        tasks.add(
            &starter,
            LossReporter::new(
                Arc::clone(&intake),
                Arc::clone(&store),
                session.id,
                Arc::clone(&clock),
            ),
        );
        tasks.add(
            &starter,
            Heartbeat {
                store: Arc::clone(&store),
                session: Arc::clone(&session),
                intake: Arc::clone(&intake),
                clock: Arc::clone(&clock),
                health: Arc::clone(&health),
                every: config.heartbeat_interval,
            },
        );
        tasks.add(&starter, Applying(Arc::clone(&registrar)));
        tasks.add(
            &starter,
            Pruning {
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                retention: config.retention.clone(),
                session: session.id,
                watch: None,
            },
        );
        #[cfg(feature = "metrics")]
        {
            let (intake, health) = (Arc::clone(&intake), Arc::clone(&health));
            tasks.add(&starter, Metering { intake, health });
        }
        if !is_open {
            let (store, session) = (Arc::clone(&store), Arc::clone(&session));
            tasks.add(&starter, Opening { store, session });
        }
        if let Some(root) = spool_root.filter(|_| has_spool) {
            let (own, _) = spooling::paths(&root, session.id);
            tasks.add(
                &starter,
                Recovery {
                    root,
                    own,
                    store: Arc::clone(&store),
                    intake: Arc::clone(&intake),
                    clock: Arc::clone(&clock),
                    health: Arc::clone(&health),
                    batch_max: config.batch_max,
                    patience: None,
                    recovering: recovering.clone(),
                },
            );
        }
        Service {
            scheduler: Scheduler::new(Arc::clone(&clock)),
            runner,
            intake,
            store,
            session,
            clock,
            running: Running::default(),
            blocking: BlockingPool::new(config.blocking_threads),
            cancel,
            requests,
            error_handlers: Arc::new(ErrorHandlers::new(config.error_handler_timeout, redactor)),
            registrar,
            health,
            recovering,
            completions: Mutex::new(Some(completions)),
            tasks,
            time_is_up,
            is_stopping: AtomicBool::new(false),
            report: watch::Sender::new(None),
            runtime: Handle::current(),
            room: Arc::new(Semaphore::new(config.submitted_max)),
            submitted: TaskTracker::new(),
            cut_off: AtomicUsize::new(0),
        }
    }
}

/// A spool that nothing was written to yet: whatever ends the start takes it away again.
struct Unused(Option<Arc<Spooling>>);

impl Unused {
    fn into_use(mut self) -> Option<Arc<Spooling>> {
        self.0.take()
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(spooling) = &self.0 {
            spooling.discard();
        }
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        queue_max: config.queue_max,
        batch_max: config.batch_max,
        ripe_at: config.ripe_at(),
        policy: Policy {
            app: config.record_app,
            framework: config.record_framework,
        },
    }
}
