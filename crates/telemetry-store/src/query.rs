//! Questions to the history. Each opens a connection of its own, so no reader stands in the
//! writer's way.

use std::path::Path;

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use executor_core::ports::Gap;
use executor_core::{ExecutionId, SessionId};
use thiserror::Error;

use crate::address::Target;
use crate::history::{self, Filter, PageOf, PageRequest, StoredExecution};
use crate::listing::{self, StoredSession};
use crate::open::{OpenError, open_reader};
use crate::registered::{self, RegistrationFilter, StoredRegistration};
use crate::schema::{executions, sessions};
use crate::summary::{self, Stats, Summary, Window};

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The database could not be opened for reading.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not be read.
    #[error("cannot read the history")]
    Read(#[from] diesel::result::Error),
    /// A row holds what no version of this program up to this one writes.
    #[error("row {row} of {table} has the {what} {value}, which this program does not know")]
    Unknown {
        /// The table.
        table: &'static str,
        /// The row's id in it.
        row: i64,
        /// Which column.
        what: &'static str,
        /// Its value, as text.
        value: String,
    },
    /// The task that read was ended with its runtime.
    #[error("reading the history was cut off")]
    CutOff(#[from] tokio::task::JoinError),
}

impl QueryError {
    pub(crate) fn unknown(
        table: &'static str,
        row: i64,
        what: &'static str,
        value: &impl ToString,
    ) -> Self {
        let value = value.to_string();
        Self::Unknown {
            table,
            row,
            what,
            value,
        }
    }
}

/// Reads the history of one database. Cheap: it holds an address, not a connection.
#[derive(Clone, Debug)]
pub struct SqliteReader {
    target: Target,
}

impl SqliteReader {
    /// A reader for the database at this address, which is understood as by
    /// [`SqliteStore::open`](crate::SqliteStore::open). Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// The address names no SQLite database.
    pub fn new(url: &str) -> Result<Self, OpenError> {
        Ok(Self {
            target: Target::parse(url)?,
        })
    }

    /// Whether the database is in memory, where no second connection reaches it.
    pub const fn is_in_memory(&self) -> bool {
        matches!(self.target, Target::Memory)
    }

    /// Where the database is or would be; `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.target.path()
    }

    /// A summary per listener and job, in order of kind, app, instance and name.
    ///
    /// Whole hours and days come from the rollups, which outlive the rows; what is left at the edges
    /// comes from the rows, or where those are gone, from their whole hour.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn summaries(&self, window: Window) -> Result<Vec<Summary>, QueryError> {
        self.ask(move |connection| summary::summaries(connection, &window))
            .await
    }

    /// The same over all listeners and jobs together.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn overall(&self, window: Window) -> Result<Stats, QueryError> {
        self.ask(move |connection| summary::overall(connection, &window))
            .await
    }

    /// One page of executions, the latest first.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn executions(
        &self,
        filter: Filter,
        page: PageRequest,
    ) -> Result<PageOf<StoredExecution>, QueryError> {
        self.ask(move |connection| history::executions(connection, &filter, page))
            .await
    }

    /// One execution; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn execution(&self, id: ExecutionId) -> Result<Option<StoredExecution>, QueryError> {
        self.ask(move |connection| history::execution(connection, id))
            .await
    }

    /// How many executions are stored, of one session or of all.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn count(&self, session: Option<SessionId>) -> Result<u64, QueryError> {
        self.ask(move |connection| {
            let all = executions::table
                .inner_join(sessions::table)
                .select(count_star());
            let counted: i64 = match session {
                None => executions::table
                    .select(count_star())
                    .get_result(connection)?,
                Some(id) => all
                    .filter(sessions::session_uuid.eq(id.0.as_bytes().to_vec()))
                    .get_result(connection)?,
            };
            Ok(counted.unsigned_abs())
        })
        .await
    }

    /// One page of sessions, the latest first, each with its ledger.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn sessions(&self, page: PageRequest) -> Result<PageOf<StoredSession>, QueryError> {
        self.ask(move |connection| listing::sessions(connection, page))
            .await
    }

    /// One page of episodes of loss, the latest first: those that ended at or after the beginning of the
    /// window and began before its end.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn gaps(&self, window: Window, page: PageRequest) -> Result<PageOf<Gap>, QueryError> {
        self.ask(move |connection| listing::gaps(connection, &window, page))
            .await
    }

    /// One page of listeners or jobs, the latest registered first.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the answer; nothing was changed by the question.
    pub async fn registrations(
        &self,
        filter: RegistrationFilter,
        page: PageRequest,
    ) -> Result<PageOf<StoredRegistration>, QueryError> {
        self.ask(move |connection| registered::registrations(connection, &filter, page))
            .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut SqliteConnection) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let target = self.target.clone();
        tokio::task::spawn_blocking(move || question(&mut open_reader(&target)?)).await?
    }
}
