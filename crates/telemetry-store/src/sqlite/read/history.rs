//! Implements the port `History` for one SQLite database.
//!
//! Connections are reused as long as their file is still the one at its path. Each query has a connection to itself,
//! so that no reader blocks another or the writer.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::sqlite::SqliteConnection;
use executor_core::ports::{
    Evidence, Filter, Gap, History, HistoryError, HistoryErrorClass, HistoryFuture, InForce,
    MissedRuns, PageOf, PageRequest, Pause, Progress, RecordedAction, RegistrationFilter, Scope,
    SourceCounts, Stats, StoredExecution, StoredPrune, StoredRegistration, StoredSession, Summary,
    Window,
};
use executor_core::{ExecutionId, RegistrationId, Timestamp};

use crate::read::question::{Deadline, LeftOut, QueryError};
use crate::read::summary;
use crate::sqlite::open::address::Target;
use crate::sqlite::open::error::OpenError;
use crate::sqlite::open::file_identity::{FileIdentity, FileState};
use crate::sqlite::open::open_reader;
use crate::sqlite::read::asked::Asked;
use crate::sqlite::read::counting::of_one_snapshot;
use crate::sqlite::read::executions;
use crate::sqlite::read::{
    actions, evidence, integrity, prunes, registrations, schedules, sessions, sources, stored,
};

/// The default time limit of a query.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The maximum number of idle connections to keep.
const KEPT_MAX: usize = 4;

/// Reads the history of one database. Clones share their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use executor_core::ports::{History, Window};
/// use telemetry_store::SqliteHistory;
///
/// let history = SqliteHistory::new("telemetry.db")?;
/// for summary in history.summaries(Window::default()).await? {
///     println!("{}: {} runs", summary.entity, summary.stats.runs());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteHistory {
    target: Target,
    time_limit: Duration,
    kept: Arc<Mutex<Vec<Reader>>>,
    left_out: Arc<LeftOut>,
}

impl SqliteHistory {
    /// Returns the history at an address that [`SqliteStore::open`](crate::SqliteStore::open) would understand.
    /// Opens nothing yet.
    ///
    /// # Errors
    ///
    /// [`OpenError::Address`] if the address does not name a SQLite database.
    pub fn new(url: &str) -> Result<Self, OpenError> {
        Ok(Self {
            target: Target::parse(url)?,
            time_limit: TIME_LIMIT,
            kept: Arc::default(),
            left_out: Arc::default(),
        })
    }

    /// Limits each query to this time, instead of 30 seconds.
    #[must_use]
    pub fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Returns whether the database is in memory, where no second connection can reach it.
    pub const fn is_in_memory(&self) -> bool {
        matches!(self.target, Target::Memory)
    }

    /// Returns the path of the database, whether or not it exists; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.target.path()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the file that is there now.
    fn reader(&self) -> Result<Reader, QueryError> {
        while let Some(reader) = self.kept().pop() {
            if reader.identity.file_state() == FileState::Same {
                return Ok(reader);
            }
        }
        Ok(Reader::open(&self.target)?)
    }

    /// Runs a query. Keeps its connection only if the query succeeds.
    fn answer<T>(
        &self,
        question: impl FnOnce(&mut Asked<'_>) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let mut reader = self.reader()?;
        let met = self.left_out.met();
        let answer = question(&mut Asked {
            connection: &mut reader.connection,
            deadline: Deadline::after(self.time_limit),
            left_out: &self.left_out,
        })?;
        let mut kept = self.kept();
        // A connection that has met damage may not be able to end its transaction.
        let met_none = self.left_out.met() == met;
        if reader.follows_the_file && met_none && kept.len() < KEPT_MAX {
            kept.push(reader);
        }
        Ok(answer)
    }

    fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        question: impl FnOnce(&mut Asked<'_>) -> Result<T, QueryError> + Send + 'static,
    ) -> HistoryFuture<'_, T> {
        let this = self.clone();
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || this.answer(question));
            match asked.await {
                Ok(answer) => {
                    answer.map_err(|error| HistoryError::new(error.class(), operation, error))
                }
                // The task ended with its runtime.
                Err(ended) => {
                    let class = HistoryErrorClass::Unavailable;
                    Err(HistoryError::new(class, operation, ended))
                }
            }
        })
    }
}

/// A connection, and the file that it reads.
struct Reader {
    connection: SqliteConnection,
    identity: FileIdentity,
    /// Whether the connection sees later writes.
    follows_the_file: bool,
}

impl Reader {
    fn open(target: &Target) -> Result<Self, OpenError> {
        let (connection, follows_the_file) = open_reader(target)?;
        Ok(Self {
            connection,
            identity: FileIdentity::new(target.clone().canonical().path()),
            follows_the_file,
        })
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl History for SqliteHistory {
    fn executions(
        &self,
        filter: Filter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredExecution>> {
        self.ask("reading executions", move |asked| {
            executions::executions(asked, &filter, &page)
        })
    }

    fn execution(&self, id: ExecutionId) -> HistoryFuture<'_, Option<StoredExecution>> {
        self.ask("reading an execution", move |asked| {
            stored::by_execution_id(asked, id)
        })
    }

    fn find(&self, text: String, limit: u32) -> HistoryFuture<'_, Vec<StoredExecution>> {
        self.ask("finding an execution", move |asked| {
            executions::find(asked, &text, limit)
        })
    }

    fn schedules(&self, job: RegistrationId) -> HistoryFuture<'_, Vec<InForce>> {
        self.ask("reading schedules", move |asked| {
            schedules::of_job(asked.connection, job)
        })
    }

    fn count(&self, window: Window) -> HistoryFuture<'_, u64> {
        self.ask("counting executions", move |asked| {
            executions::count(asked.connection, &window)
        })
    }

    fn summaries(&self, window: Window) -> HistoryFuture<'_, Vec<Summary>> {
        self.ask("summarising executions", move |asked| {
            of_one_snapshot(asked, |rows, deadline| {
                summary::summaries(rows, deadline, &window)
            })
        })
    }

    fn overall(&self, window: Window) -> HistoryFuture<'_, Stats> {
        self.ask("summarising executions", move |asked| {
            of_one_snapshot(asked, |rows, deadline| {
                summary::overall(rows, deadline, &window)
            })
        })
    }

    fn series(&self, scope: Scope, bounds: Vec<Timestamp>) -> HistoryFuture<'_, Vec<Stats>> {
        self.ask("summarising periods", move |asked| {
            of_one_snapshot(asked, |rows, deadline| {
                summary::series(rows, deadline, &scope, &bounds)
            })
        })
    }

    fn sessions(&self, page: PageRequest) -> HistoryFuture<'_, PageOf<StoredSession>> {
        self.ask("reading sessions", move |asked| {
            sessions::sessions(asked, &page)
        })
    }

    fn gaps(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<Gap>> {
        self.ask("reading gaps", move |asked| {
            sessions::gaps(asked, &window, &page)
        })
    }

    fn evidence(&self, window: Window, progress: Progress) -> HistoryFuture<'_, Evidence> {
        self.ask("reading what an audit looks at", move |asked| {
            evidence::evidence(asked, &window, &progress)
        })
    }

    fn integrity(&self) -> HistoryFuture<'_, Vec<String>> {
        self.ask("checking the database", |asked| {
            integrity::integrity(asked.connection)
        })
    }

    fn left_out(&self) -> Vec<String> {
        self.left_out.all()
    }

    fn missed_runs(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<MissedRuns>> {
        self.ask("reading missed runs", move |asked| {
            schedules::missed_runs(asked, &window, &page)
        })
    }

    fn pauses(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<Pause>> {
        self.ask("reading pauses", move |asked| {
            schedules::pauses(asked, &window, &page)
        })
    }

    fn actions(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<RecordedAction>> {
        self.ask("reading actions", move |asked| {
            actions::actions(asked, &window, &page)
        })
    }

    fn sources(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<SourceCounts>> {
        self.ask("reading sources of events", move |asked| {
            sources::sources(asked, &window, &page)
        })
    }

    fn prunes(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<StoredPrune>> {
        self.ask("reading prunes", move |asked| {
            prunes::prunes(asked, &window, &page)
        })
    }

    fn registrations(
        &self,
        filter: RegistrationFilter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredRegistration>> {
        self.ask("reading registrations", move |asked| {
            registrations::registrations(asked, &filter, &page)
        })
    }
}
