//! Sets connections up, and reads a database's pragmas.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ErrorClass;

use crate::sqlite::classify::class_of;
use crate::sqlite::open::address::Target;
use crate::sqlite::open::error::{OpenError, Opening};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::row_ids;

/// "cxrc" in ASCII: lets `file` and other programs recognise our databases.
pub(crate) const APPLICATION_ID: i64 = 0x6378_7263;

/// The time that the writer waits inside SQLite for another process's lock. Longer waits are the
/// caller's job, because a thread that waits inside SQLite cannot be interrupted.
const WRITER_BUSY_TIMEOUT_MS: u32 = 200;

/// Longer, because nobody is served yet while opening, and another process may be migrating.
const OPENING_BUSY_TIMEOUT_MS: u32 = 10_000;

/// The patience of a connection with locks that others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Nobody is served yet.
    Opening,
    /// Somebody waits for an answer, and will ask again.
    Serving,
    /// As `Serving`, but waiting did not help before.
    LookingForAGap,
    /// As `LookingForAGap`, between two such waits.
    None,
}

impl Patience {
    pub(super) const fn ms(self) -> u32 {
        match self {
            Self::Opening => OPENING_BUSY_TIMEOUT_MS,
            Self::Serving => WRITER_BUSY_TIMEOUT_MS,
            Self::LookingForAGap => WRITER_BUSY_TIMEOUT_MS / 2,
            Self::None => 0,
        }
    }

    /// Makes this connection wait this long from now on.
    pub(crate) fn set(self, connection: &mut SqliteConnection) -> QueryResult<()> {
        connection.batch_execute(&format!("PRAGMA busy_timeout = {}", self.ms()))
    }
}

/// The pause before checking again whether another process has finished.
pub(crate) const PROBE_AGAIN_MS: u32 = 20;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commits {
    /// The log is written: it survives the process.
    Written,
    /// The log is on the medium: it survives the machine.
    Synced,
}

impl Commits {
    /// As a value of `PRAGMA synchronous`.
    const fn level(self) -> &'static str {
        match self {
            Self::Written => "1",
            Self::Synced => "2",
        }
    }
}

/// Both pragmas take effect only before the first write.
pub(super) const LAYOUT: &str = "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;";

/// Claims an empty database that nobody else knows of. The order matters: the application id must be in the file
/// itself before the WAL hides it from a probe of that file.
pub(crate) fn set_up_new(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    connection.batch_execute(LAYOUT).opening()?;
    claim(connection, &Target::Memory)?;
    switch_to_wal(connection, Patience::None)
}

/// Claims an empty database. Refuses it if another program has put something there since the probe.
pub(super) fn claim(connection: &mut SqliteConnection, target: &Target) -> Result<(), OpenError> {
    // Checked first without the lock, which another process may hold.
    if application_id(connection).opening()? == APPLICATION_ID {
        return Ok(());
    }
    let is_foreign = immediate(connection, |connection| {
        if application_id(connection)? == APPLICATION_ID {
            return Ok(false);
        }
        if tables(connection)? > 0 {
            return Ok(true);
        }
        connection.batch_execute(&format!("PRAGMA application_id = {APPLICATION_ID}"))?;
        row_ids::displaces_nothing_yet(connection)?;
        Ok(false)
    })
    .opening()?;
    match target.path() {
        Some(path) if is_foreign => Err(OpenError::Foreign {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Retries in a loop, because SQLite does not wait here for another process that does the same at this moment.
pub(super) fn switch_to_wal(
    connection: &mut SqliteConnection,
    patience: Patience,
) -> Result<(), OpenError> {
    let mut patience = patience.ms() / PROBE_AGAIN_MS;
    loop {
        let switched = connection.batch_execute("PRAGMA journal_mode = WAL");
        match switched {
            Err(error) if class_of(&error) == ErrorClass::Transient && patience > 0 => {
                patience -= 1;
                thread::sleep(Duration::from_millis(u64::from(PROBE_AGAIN_MS)));
            }
            result => return result.opening(),
        }
    }
}

pub(super) fn set_up_writer(
    connection: &mut SqliteConnection,
    target: &Target,
    commits: Commits,
) -> Result<(), OpenError> {
    let level = commits.level();
    connection
        .batch_execute(&format!(
            "PRAGMA busy_timeout = {WRITER_BUSY_TIMEOUT_MS}; PRAGMA synchronous = {level}; \
         PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000;"
        ))
        .opening()?;
    if target.path().is_some() {
        assert_pragma(connection, "journal_mode", "wal")?;
    }
    assert_pragma(connection, "foreign_keys", "1")?;
    assert_pragma(connection, "synchronous", level)
}

fn assert_pragma(
    connection: &mut SqliteConnection,
    name: &'static str,
    wanted: &str,
) -> Result<(), OpenError> {
    let found = pragma(connection, name).opening()?;
    if found == wanted {
        return Ok(());
    }
    let wanted = wanted.to_owned();
    Err(OpenError::Pragma {
        name,
        found,
        wanted,
    })
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

pub(super) fn pragma(connection: &mut SqliteConnection, name: &str) -> QueryResult<String> {
    // The table-valued form gives the column a name that can be chosen.
    let query = format!("SELECT CAST({name} AS TEXT) AS value FROM pragma_{name}");
    let found: Value = diesel::sql_query(query).get_result(connection)?;
    Ok(found.value)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

pub(crate) fn application_id(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let found: Number =
        diesel::sql_query("SELECT application_id AS value FROM pragma_application_id")
            .get_result(connection)?;
    Ok(found.value)
}

pub(crate) fn tables(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let found: Number =
        diesel::sql_query("SELECT count(*) AS value FROM sqlite_master").get_result(connection)?;
    Ok(found.value)
}
