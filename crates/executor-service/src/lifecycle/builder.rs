//! Sets up a service: its settings, its spool and its session.

#[cfg(feature = "process")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "process")]
use executor_core::ports::Orphan;
use executor_core::ports::{Session, Store};
use executor_core::{Clock, Durability, Redact, Redactor, StoreError, StoreFault, SystemClock};
use thiserror::Error;
use tokio::time::timeout;

use crate::config::{Config, ConfigError};
use crate::executor::CommandExecutor;
use crate::lifecycle::assembly::Parts;
use crate::lifecycle::health::HealthState;
use crate::lifecycle::heartbeat;
#[cfg(feature = "process")]
use crate::recovery::left_running::left_running;
use crate::spool::root::SpoolRoot;
use crate::spool::session_spool::SessionSpool;

/// The reason why the service did not start.
///
/// ```
/// use executor_service::{CommandExecutor, Config, StartError};
/// use executor_testkit::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let config = Config::default().with_queue_max(0);
/// let started = CommandExecutor::builder(MemoryStore::new()).config(config).start().await;
/// assert!(matches!(started, Err(StartError::Config(_))));
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are invalid.
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
        /// The store's last error; `None` if it gave none.
        #[source]
        last: Option<StoreError>,
    },
}

/// Sets up a service; created by [`CommandExecutor::builder`].
///
/// ```
/// use executor_service::{CommandExecutor, Config};
/// use executor_testkit::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_service::StartError> {
/// let config = Config::default().with_queue_max(100_000);
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
    version: Option<String>,
    config_hash: Option<String>,
}

impl Builder {
    pub(crate) fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            config: Config::default(),
            redactor: Redactor::NONE,
            version: None,
            config_hash: None,
        }
    }

    /// Replaces the default settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the hook that every text passes before it is recorded or logged. Default: none; texts are kept as they
    /// are.
    pub fn redact(mut self, hook: impl Redact) -> Self {
        self.redactor = Redactor::new(Arc::new(hook));
        self
    }

    /// Sets the version of the program, which the history keeps with each session, up to 100 characters. Default:
    /// none.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(shortened(version.into()));
        self
    }

    /// Sets a hash of the program's configuration, up to 100 characters, so that the history shows which sessions had
    /// a different one. Default: none.
    pub fn config_hash(mut self, hash: impl Into<String>) -> Self {
        self.config_hash = Some(shortened(hash.into()));
        self
    }

    /// Replaces the clock, for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Starts the service and returns when it is ready. Call it on a tokio runtime with time enabled; the
    /// service's tasks run there.
    ///
    /// # Errors
    ///
    /// The settings are invalid, or the store was not ready within `startup_timeout`.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future starts nothing and leaves no spool behind; a session that was already opened stays open
    /// until another process marks it `crashed`.
    pub async fn start(self) -> Result<CommandExecutor, StartError> {
        self.config.validate()?;
        // Needed even if records wait in memory: the store writes files.
        record_spool::survive_file_size_limit();
        let session = Arc::new(Session {
            version: self.version.clone(),
            config_hash: self.config_hash.clone(),
            ..heartbeat::new_session(self.clock.as_ref())
        });
        let health = Arc::<HealthState>::default();
        if self.config.durability == Durability::Power {
            self.store.sync_commits();
        }
        let root = SpoolRoot::of(&self.config.spool, self.store.spool_home());
        let spool = Unused(self.make_spool(&root, &session, &health));
        let is_open = if self.config.wait_for_store || spool.0.is_none() {
            let may_wait = root.path().is_some();
            self.open_session(&session, spool.0.as_deref(), may_wait)
                .await?
        } else {
            false
        };
        #[cfg(feature = "process")]
        let orphans = left_running_below(root.path(), self.config.startup_timeout).await;
        let parts = Parts {
            spool_root: root.path().cloned(),
            store: self.store,
            clock: self.clock,
            config: self.config,
            redactor: self.redactor,
            session,
            health,
            spool: spool.into_use(),
            is_open,
        };
        let service = parts.assemble();
        // Before the first registration, or what it begins would run beside them.
        #[cfg(feature = "process")]
        service.registrar.found(orphans);
        Ok(CommandExecutor::new(service))
    }

    /// Opens the session. Returns `false` if a spool was configured and the store's disk is full: records need no
    /// space in the store yet, and the spool gives back what it can. If the disk is too full for a spool as well,
    /// records wait in memory: running executions matters more.
    async fn open_session(
        &self,
        session: &Arc<Session>,
        spool: Option<&SessionSpool>,
        may_wait: bool,
    ) -> Result<bool, StartError> {
        let within = self.config.startup_timeout;
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

    /// Creates the spool if there is a place for one. On failure the program still runs, but the failure is reported.
    fn make_spool(
        &self,
        root: &SpoolRoot,
        session: &Session,
        health: &HealthState,
    ) -> Option<Arc<SessionSpool>> {
        let made = match root {
            SpoolRoot::InMemory => return None,
            SpoolRoot::Nowhere => Err(NOWHERE.to_owned()),
            SpoolRoot::At { root, is_own } => {
                let (max_bytes, durability) = (self.config.spool_max_bytes, self.config.durability);
                let mode = self.config.file_mode & 0o666;
                SessionSpool::create(root, *is_own, session, max_bytes, durability, mode)
                    .map_err(|error| with_cause(&error))
            }
        };
        made.map(Arc::new)
            .inspect_err(|error| {
                tracing::error!(
                    error,
                    "there is no spool: records wait in memory and die with the process"
                );
                health.has_no_spool(error.clone());
            })
            .ok()
    }
}

/// Returns the beginning of a text that must fit into the head of a spool.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(100) {
        text.truncate(end);
    }
    text
}

/// The store has no files here, and the environment names no directory for state.
const NOWHERE: &str = "this machine has no place for it: set `spool` to a directory, or STATE_DIRECTORY, \
                       XDG_STATE_HOME or HOME to an absolute path; the store's name must be a file name";

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A spool without any content: it is removed if the start fails.
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

/// Programs that dead processes left running. They are read before recovery removes their spools.
#[cfg(feature = "process")]
async fn left_running_below(root: Option<&PathBuf>, within: Duration) -> Vec<Orphan> {
    let Some(root) = root.cloned() else {
        return Vec::new();
    };
    let looking = tokio::task::spawn_blocking(move || left_running(&root));
    match timeout(within, looking).await {
        Ok(found) => found.unwrap_or_default(),
        Err(_) => {
            tracing::warn!(
                "looking for programs of earlier processes takes too long; recovery goes on with it"
            );
            Vec::new()
        }
    }
}
