//! Implements the port `History` for one PostgreSQL database. Each query has a connection to itself, and a transaction
//! that reads one snapshot.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use executor_core::ports::{
    Evidence, Filter, Gap, History, HistoryError, HistoryErrorClass, HistoryFuture, InForce,
    MissedRuns, PageOf, PageRequest, Pause, Progress, RecordedAction, RegistrationFilter, Scope,
    SourceCounts, Stats, StoredExecution, StoredPrune, StoredRegistration, StoredSession, Summary,
    Window,
};
use executor_core::{ExecutionId, RegistrationId, Timestamp};

use crate::postgres::address::Address;
use crate::postgres::classify::{is_gone, is_locked, is_timeout};
use crate::postgres::connect::{ServerError, connect_reader, newer, set_up};
use crate::postgres::migrations::{self, Schema};
use crate::postgres::read::asked::Asked;
use crate::postgres::read::counting::Rows;
use crate::postgres::read::spans::Days;
use crate::postgres::read::{evidence, executions, lists, sessions, size, stored};
use crate::postgres::sql::text;
use crate::postgres::transaction::reading;
use crate::read::question::{Deadline, LeftOut, QueryError};
use crate::read::summary;

/// The default time limit of a query.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What a query may take beyond its limit, for connecting and for the answer's way.
const GRACE: Duration = Duration::from_secs(6);

/// The maximum number of idle connections to keep.
const KEPT_MAX: usize = 4;

/// Reads the history in a PostgreSQL database, of a standby too. Clones share their connections.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use executor_core::ports::{History, Window};
/// use telemetry_store::PostgresHistory;
///
/// let history = PostgresHistory::new("postgres://reader@db.example/telemetry")?;
/// for summary in history.summaries(Window::default()).await? {
///     println!("{}: {} runs", summary.entity, summary.stats.runs());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresHistory {
    address: Address,
    time_limit: Duration,
    kept: Arc<Mutex<Vec<PgConnection>>>,
    left_out: Arc<LeftOut>,
}

impl fmt::Debug for PostgresHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHistory")
            .field("address", &self.address)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}

impl PostgresHistory {
    /// Returns the history at an address that [`PostgresStore::open`](crate::PostgresStore::open) would understand.
    /// Connects to nothing yet, and needs no more than the right to read the schema `executor`.
    ///
    /// # Errors
    ///
    /// [`ServerError::Address`] if the address does not name a database on a server.
    pub fn new(url: &str) -> Result<Self, ServerError> {
        Ok(Self {
            address: Address::parse(url)?,
            time_limit: TIME_LIMIT,
            kept: Arc::default(),
            left_out: Arc::default(),
        })
    }

    /// Limits each query to this time, instead of 30 seconds.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Returns the name of this database on this machine: what the machine keeps of it is below
    /// [`state_directory_of`](executor_core::ports::state_directory_of) that name.
    pub fn name_on_this_machine(&self) -> String {
        self.address.file_name()
    }

    /// Returns where the database is, without a password.
    pub fn server(&self) -> String {
        self.address.to_string()
    }

    /// Returns how many bytes the history takes on the server.
    ///
    /// # Errors
    ///
    /// As every query of [`History`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait.
    pub async fn bytes(&self) -> Result<u64, HistoryError> {
        self.ask("measuring the history", size::bytes).await
    }

    fn kept(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<PgConnection, ServerError> {
        let address = &self.address;
        let mut connection = connect_reader(address)?;
        let failed = |error: migrations::MigrationError| set_up(address, &*error);
        let schema = migrations::schema(&mut connection).map_err(failed)?;
        match refused(address, schema) {
            None => Ok(connection),
            Some(refused) => Err(refused),
        }
    }

    /// Runs a query. Keeps its connection only if the query succeeds. A kept one may have died since: then another one
    /// is asked.
    fn answer<T>(
        &self,
        locks_days: bool,
        question: impl Fn(&mut Asked<'_>) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let kept = self.kept().pop();
        if let Some(connection) = kept {
            match self.answer_on(connection, locks_days, &question) {
                Err(QueryError::Read(error)) if is_gone(&error) => self.kept().clear(),
                answer => return answer,
            }
        }
        self.answer_on(self.connect()?, locks_days, &question)
    }

    fn answer_on<T>(
        &self,
        mut connection: PgConnection,
        locks_days: bool,
        question: &impl Fn(&mut Asked<'_>) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let deadline = Deadline::after(self.time_limit);
        let answer = reading(&mut connection, self.time_limit, |connection| {
            // Before the first question: rows that move, and a day that is emptied, are gone for earlier snapshots, too.
            let locked = match locks_days {
                true => "executor.executions",
                false => "ONLY executor.executions_default",
            };
            connection.batch_execute(&format!("LOCK TABLE {locked} IN ACCESS SHARE MODE"))?;
            let days = Days::read(connection, "executions")?;
            question(&mut Asked {
                connection,
                deadline,
                left_out: &self.left_out,
                days: &days,
            })
        });
        let answer = answer.map_err(|error| match error {
            QueryError::Read(error) if is_locked(&error) => QueryError::Locked,
            QueryError::Read(error) if is_timeout(&error) => QueryError::TimedOut(self.time_limit),
            other => other,
        })?;
        let mut kept = self.kept();
        if kept.len() < KEPT_MAX {
            kept.push(connection);
        }
        Ok(answer)
    }

    fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        question: impl Fn(&mut Asked<'_>) -> Result<T, QueryError> + Send + 'static,
    ) -> HistoryFuture<'_, T> {
        self.ask_with(operation, false, question)
    }

    fn ask_with<T: Send + 'static>(
        &self,
        operation: &'static str,
        locks_days: bool,
        question: impl Fn(&mut Asked<'_>) -> Result<T, QueryError> + Send + 'static,
    ) -> HistoryFuture<'_, T> {
        let this = self.clone();
        Box::pin(async move {
            let limit = this.time_limit;
            let asked = tokio::task::spawn_blocking(move || this.answer(locks_days, question));
            // The server keeps the limit, unless it stands still.
            let Ok(asked) = tokio::time::timeout(limit.saturating_add(GRACE), asked).await else {
                let class = HistoryErrorClass::TimedOut;
                return Err(HistoryError::new(
                    class,
                    operation,
                    QueryError::TimedOut(limit),
                ));
            };
            match asked {
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

impl History for PostgresHistory {
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
            lists::schedules(asked, job)
        })
    }

    fn count(&self, window: Window) -> HistoryFuture<'_, u64> {
        self.ask("counting executions", move |asked| {
            executions::count(asked, &window)
        })
    }

    fn summaries(&self, window: Window) -> HistoryFuture<'_, Vec<Summary>> {
        self.ask("summarising executions", move |asked| {
            let (mut rows, deadline) = Rows::of(asked);
            summary::summaries(&mut rows, deadline, &window)
        })
    }

    fn overall(&self, window: Window) -> HistoryFuture<'_, Stats> {
        self.ask("summarising executions", move |asked| {
            let (mut rows, deadline) = Rows::of(asked);
            summary::overall(&mut rows, deadline, &window)
        })
    }

    fn series(&self, scope: Scope, bounds: Vec<Timestamp>) -> HistoryFuture<'_, Vec<Stats>> {
        let scope = match scope {
            Scope::App(app) => Scope::App(text(&app).into_owned()),
            other => other,
        };
        self.ask("summarising periods", move |asked| {
            let (mut rows, deadline) = Rows::of(asked);
            summary::series(&mut rows, deadline, &scope, &bounds)
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
        self.ask_with("reading what an audit looks at", true, move |asked| {
            evidence::evidence(asked, &window, &progress)
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
            lists::missed_runs(asked, &window, &page)
        })
    }

    fn pauses(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<Pause>> {
        self.ask("reading pauses", move |asked| {
            lists::pauses(asked, &window, &page)
        })
    }

    fn actions(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<RecordedAction>> {
        self.ask("reading actions", move |asked| {
            lists::actions(asked, &window, &page)
        })
    }

    fn sources(
        &self,
        window: Window,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<SourceCounts>> {
        self.ask("reading sources of events", move |asked| {
            lists::sources(asked, &window, &page)
        })
    }

    fn prunes(&self, window: Window, page: PageRequest) -> HistoryFuture<'_, PageOf<StoredPrune>> {
        self.ask("reading prunes", move |asked| {
            lists::prunes(asked, &window, &page)
        })
    }

    fn registrations(
        &self,
        filter: RegistrationFilter,
        page: PageRequest,
    ) -> HistoryFuture<'_, PageOf<StoredRegistration>> {
        self.ask("reading registrations", move |asked| {
            lists::registrations(asked, &filter, &page)
        })
    }
}

/// Why a database with this schema cannot be read.
pub(crate) fn refused(address: &Address, schema: Schema) -> Option<ServerError> {
    let server = address.to_string();
    match schema {
        Schema::Current => None,
        Schema::Older => Some(ServerError::Older { server }),
        Schema::Foreign => Some(ServerError::Foreign { server }),
        Schema::None => Some(ServerError::Absent { server }),
        Schema::Newer(found) => Some(newer(address, found)),
    }
}
