//! Setting a service up: its settings, its spool, its session.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Session, Store};
use executor_core::{Clock, Durability, Redact, Redactor, StoreError, StoreFault, SystemClock};
use thiserror::Error;
use tokio::time::timeout;

use crate::config::{Config, ConfigError, SpoolPlace};
use crate::executor::CommandExecutor;
use crate::lifecycle::assembly::Parts;
use crate::lifecycle::health::HealthState;
use crate::lifecycle::heartbeat;
use crate::spool::session_spool::SessionSpool;

/// Why the service did not start.
///
/// ```
/// use executor_service::{CommandExecutor, Config, StartError};
/// use executor_testkit::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let config = Config { queue_max: 0, ..Config::default() };
/// let started = CommandExecutor::builder(MemoryStore::new()).config(config).start().await;
/// assert!(matches!(started, Err(StartError::Config(_))));
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
    /// The store did not become ready in time.
    #[error("the store was not ready within {within:?}")]
    Timeout {
        /// The limit.
        within: Duration,
        /// What the store said last; `None` if it said nothing.
        #[source]
        last: Option<StoreError>,
    },
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
        let session = Arc::new(heartbeat::new_session(self.clock.as_ref()));
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
        let parts = Parts {
            spool_root: self.spool_root(),
            store: self.store,
            clock: self.clock,
            config: self.config,
            redactor: self.redactor,
            session,
            health,
            spool: spool.into_use(),
            is_open,
        };
        Ok(CommandExecutor::new(parts.assemble()))
    }

    /// `false` if the store has no room for it and a spool was asked for: its records need none of the store's, and
    /// it gives back what it can. Where the disk is too full for a spool too, they wait in memory: what is to run
    /// matters more.
    async fn open_session(
        &self,
        session: &Arc<Session>,
        spool: Option<&SessionSpool>,
    ) -> Result<bool, StartError> {
        let within = self.config.startup_timeout;
        let may_wait = self.spool_root().is_some();
        let mut last = None;
        let has_no_space = |error: &StoreError| may_wait && error.fault == StoreFault::NoSpace;
        let opened = {
            let opening =
                heartbeat::open_session(self.store.as_ref(), session, &mut last, &has_no_space);
            timeout(within, opening).await
        };
        match opened {
            Ok(Err(error)) if has_no_space(&error) => {
                if let Some(spool) = spool {
                    spool.release_spares();
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
    fn make_spool(&self, session: &Session, health: &HealthState) -> Option<Arc<SessionSpool>> {
        let root = self.spool_root()?;
        let (max_bytes, durability) = (self.config.spool_max_bytes, self.config.durability);
        let is_beside = self.config.spool == SpoolPlace::Beside;
        let mode = self.config.file_mode & 0o666;
        match SessionSpool::create(&root, is_beside, session, max_bytes, durability, mode) {
            Ok(spool) => Some(Arc::new(spool)),
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
}

/// A spool that nothing was written to yet: whatever ends the start takes it away again.
struct Unused(Option<Arc<SessionSpool>>);

impl Unused {
    fn into_use(mut self) -> Option<Arc<SessionSpool>> {
        self.0.take()
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(spool) = &self.0 {
            spool.discard();
        }
    }
}
