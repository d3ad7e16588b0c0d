//! Opening a database: what is there, is it ours, and how must a connection be set up?
//!
//! A file that is not ours is looked at in a way that changes nothing, and refused.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use thiserror::Error;

use executor_core::ErrorClass;

use crate::address::{Target, beside, uri};
use crate::classify::{class_of, is_lock};
use crate::look::{Found, look};
use crate::migrate;
use crate::row_ids;
use crate::transaction::immediate;

/// "cxrc" in ASCII: what `file` and other programs may know our databases by.
pub(crate) const APPLICATION_ID: i64 = 0x6378_7263;

/// How long the writer waits inside SQLite for another process's lock. Longer waits belong to
/// whoever retries: a thread that waits inside SQLite cannot be called back.
const WRITER_BUSY_TIMEOUT_MS: u32 = 200;

/// While opening nobody is served yet, and another starter may be migrating.
const OPENING_BUSY_TIMEOUT_MS: u32 = 10_000;

/// How long a connection waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Nobody is served yet.
    Opening,
    /// Somebody waits for an answer, and will ask again.
    Serving,
    /// The same, where waiting did not help before.
    LookingForAGap,
    /// The same, between two such looks.
    None,
}

impl Patience {
    const fn ms(self) -> u32 {
        match self {
            Self::Opening => OPENING_BUSY_TIMEOUT_MS,
            Self::Serving => WRITER_BUSY_TIMEOUT_MS,
            Self::LookingForAGap => WRITER_BUSY_TIMEOUT_MS / 2,
            Self::None => 0,
        }
    }

    /// Has this connection wait like this from now on.
    pub(crate) fn set(self, connection: &mut SqliteConnection) -> QueryResult<()> {
        connection.batch_execute(&format!("PRAGMA busy_timeout = {}", self.ms()))
    }
}

/// How soon to look again at what another process is about to finish.
pub(crate) const LOOK_AGAIN_MS: u32 = 20;

/// Why a database was not opened. In every case it is as it was.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address names something else than a SQLite database.
    #[error("cannot use `{url}` as a database: {why}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it, and what would be right.
        why: &'static str,
    },
    /// There is nothing at the path, and something was expected.
    #[error("no database at `{}`", path.display())]
    Absent {
        /// The path.
        path: PathBuf,
    },
    /// The file cannot be reached.
    #[error("cannot open `{}`", path.display())]
    Unreachable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no SQLite database.
    #[error("`{}` is not a SQLite database; it was left untouched, give another path", path.display())]
    NotADatabase {
        /// The path.
        path: PathBuf,
    },
    /// The file is another program's database.
    #[error("`{}` is another program's database; it was left untouched, give another path", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the database has the schema {found}, this program knows none after {known}: use the newer program"
    )]
    Newer {
        /// The newest migration of the database.
        found: String,
        /// The newest migration of this program.
        known: String,
    },
    /// The database needs migrations and was opened only for reading.
    #[error(
        "the database lacks the migration {missing}: open it once for writing, or run `migrate up`"
    )]
    Older {
        /// The first migration it lacks.
        missing: String,
    },
    /// The database cannot be reached or used as it is now.
    #[error(
        "cannot use the database `{database}` (is it held by another program, or not writable?)"
    )]
    Unusable {
        /// Its address.
        database: String,
        /// What SQLite said.
        #[source]
        source: Box<OpenError>,
    },
    /// SQLite refused the connection.
    #[error("cannot connect")]
    Connect(#[from] ConnectionError),
    /// SQLite refused to set the connection up.
    #[error("cannot set up the connection")]
    SetUp(#[from] diesel::result::Error),
    /// A pragma did not take.
    #[error(
        "the database has {name} = {found} where {wanted} is needed: is its file system able to hold a WAL?"
    )]
    Pragma {
        /// The pragma.
        name: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        wanted: String,
    },
    /// Migrating failed; nothing was changed.
    #[error("cannot migrate the database")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that writes could not be started.
    #[error("cannot start the writer thread")]
    Thread(#[source] io::Error),
}

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

/// Opens for writing: creates and migrates where needed, and sets the connection up.
pub(crate) fn open_writer(
    target: &Target,
    patience: Patience,
    commits: Commits,
) -> Result<SqliteConnection, OpenError> {
    try_open_writer(target, patience, commits).map_err(|error| error.of(target))
}

fn try_open_writer(
    target: &Target,
    patience: Patience,
    commits: Commits,
) -> Result<SqliteConnection, OpenError> {
    let mut connection = connect(target, patience)?;
    refuse_newer(&mut connection)?;
    // Looked at first: migrating takes the write lock, which another process may be holding.
    if first_pending(&mut connection)?.is_some() {
        migrate::up(&mut connection).map_err(OpenError::Migrate)?;
    }
    refuse_read_only(&mut connection)?;
    set_up_writer(&mut connection, target, commits)?;
    Ok(connection)
}

/// SQLite opens a file that it may not write to all the same, for reading. A lock that somebody holds
/// is no reason to refuse, so it is not waited for.
fn refuse_read_only(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    match connection.batch_execute("BEGIN IMMEDIATE; COMMIT") {
        Err(error) if is_lock(&error) => Ok(()),
        result => result,
    }
}

/// Opens for reading what must be there already, at the schema that this program knows.
pub(crate) fn open_reader(target: &Target) -> Result<SqliteConnection, OpenError> {
    let Target::File(path) = target else {
        return Err(OpenError::Address {
            url: ":memory:".into(),
            why: "a database in memory has no second connection; give a path",
        });
    };
    match look(path) {
        Found::Nothing => return Err(OpenError::Absent { path: path.clone() }),
        Found::Refused(error) => return Err(error),
        Found::Ours => {}
    }
    let mut connection = connect_reader(path).map_err(|error| error.of(target))?;
    refuse_newer(&mut connection)?;
    refuse_older(&mut connection)?;
    Ok(connection)
}

/// Able to write if it may: the last connection to go then takes the WAL's files along. Where it
/// may not, read-only; where not even the WAL's files can be made, as a file that nobody changes,
/// which is true if there is no WAL beside it.
fn connect_reader(path: &Path) -> Result<SqliteConnection, OpenError> {
    let with = |query| {
        let mut connection = SqliteConnection::establish(&uri(path, query)?)?;
        connection.batch_execute(
            "PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192; PRAGMA query_only = ON;",
        )?;
        tables(&mut connection)?;
        Ok(connection)
    };
    let opened = with("mode=rw").or_else(|_| with("mode=ro"));
    opened.or_else(|error| {
        if beside(path, "-wal").exists() {
            Err(error)
        } else {
            with("mode=ro&immutable=1")
        }
    })
}

impl OpenError {
    /// Says of which database SQLite speaks.
    fn of(self, target: &Target) -> Self {
        match self {
            Self::Connect(_) | Self::SetUp(_) => Self::Unusable {
                database: target
                    .path()
                    .map_or(":memory:".into(), |path| path.display().to_string()),
                source: Box::new(self),
            },
            other => other,
        }
    }
}

/// A connection to a database of ours, made ours if nothing was there; not migrated.
pub(crate) fn connect(target: &Target, patience: Patience) -> Result<SqliteConnection, OpenError> {
    let mut connection = match target {
        Target::Memory => SqliteConnection::establish(":memory:")?,
        Target::File(path) => match look(path) {
            Found::Refused(error) => return Err(error),
            Found::Nothing | Found::Ours => SqliteConnection::establish(&uri(path, "mode=rwc")?)?,
        },
    };
    // The order matters: page size and vacuum mode take only before the first write, and the
    // application id must be in the file itself before the WAL hides it from a look at the file.
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {}; PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;",
        patience.ms()
    ))?;
    claim(&mut connection, target)?;
    switch_to_wal(&mut connection, patience)?;
    connection.batch_execute("PRAGMA foreign_keys = ON")?;
    Ok(connection)
}

/// Makes an empty database ours. What another program has put there since we looked stays its own.
fn claim(connection: &mut SqliteConnection, target: &Target) -> Result<(), OpenError> {
    // Without the lock first: another process may be holding it.
    if application_id(connection)? == APPLICATION_ID {
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
    })?;
    match target.path() {
        Some(path) if is_foreign => Err(OpenError::Foreign {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// SQLite does not wait for a lock here when another starter does the same at this moment.
fn switch_to_wal(connection: &mut SqliteConnection, patience: Patience) -> Result<(), OpenError> {
    let mut patience = patience.ms() / LOOK_AGAIN_MS;
    loop {
        let switched = connection.batch_execute("PRAGMA journal_mode = WAL");
        match switched {
            Err(error) if class_of(&error) == ErrorClass::Transient && patience > 0 => {
                patience -= 1;
                thread::sleep(Duration::from_millis(u64::from(LOOK_AGAIN_MS)));
            }
            result => return Ok(result?),
        }
    }
}

fn set_up_writer(
    connection: &mut SqliteConnection,
    target: &Target,
    commits: Commits,
) -> Result<(), OpenError> {
    let level = commits.level();
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {WRITER_BUSY_TIMEOUT_MS}; PRAGMA synchronous = {level}; \
         PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000;"
    ))?;
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
    let found = pragma(connection, name)?;
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

fn pragma(connection: &mut SqliteConnection, name: &str) -> QueryResult<String> {
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

fn refuse_newer(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let all = migrate::status(connection).map_err(OpenError::Migrate)?;
    match all.into_iter().rfind(|migration| !migration.known) {
        None => Ok(()),
        Some(unknown) => Err(OpenError::Newer {
            found: unknown.name,
            known: migrate::newest(),
        }),
    }
}

fn refuse_older(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    match first_pending(connection)? {
        None => Ok(()),
        Some(missing) => Err(OpenError::Older { missing }),
    }
}

fn first_pending(connection: &mut SqliteConnection) -> Result<Option<String>, OpenError> {
    let all = migrate::status(connection).map_err(OpenError::Migrate)?;
    let pending = all.into_iter().find(|migration| !migration.applied);
    Ok(pending.map(|migration| migration.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d07_every_pragma_of_a_writer_and_of_a_reader_has_taken() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::File(directory.path().join("telemetry.db"));
        let wanted = [
            ("page_size", "4096"),
            ("auto_vacuum", "2"),
            ("application_id", "1668837987"),
            ("journal_mode", "wal"),
            ("foreign_keys", "1"),
            ("cache_size", "-65536"),
        ];
        // Made, and opened again while somebody waits.
        let ways = [
            (Patience::Opening, Commits::Written, "1"),
            (Patience::Serving, Commits::Synced, "2"),
        ];
        for (patience, commits, level) in ways {
            let mut writer = open_writer(&target, patience, commits).unwrap();
            for (name, value) in wanted.into_iter().chain([("synchronous", level)]) {
                assert_eq!(pragma(&mut writer, name).unwrap(), value, "{name}");
            }
            let row: Busy = diesel::sql_query("PRAGMA busy_timeout")
                .get_result(&mut writer)
                .unwrap();
            assert_eq!(row.timeout, 200);
            let row: Checkpoint = diesel::sql_query("PRAGMA wal_autocheckpoint")
                .get_result(&mut writer)
                .unwrap();
            assert_eq!(row.wal_autocheckpoint, 4_000);
        }
        let mut reader = open_reader(&target).unwrap();
        for (name, value) in [("query_only", "1"), ("cache_size", "-8192")] {
            assert_eq!(pragma(&mut reader, name).unwrap(), value, "{name}");
        }
    }

    // These two cannot be asked as tables.
    #[derive(QueryableByName)]
    struct Busy {
        #[diesel(sql_type = BigInt)]
        timeout: i64,
    }

    #[derive(QueryableByName)]
    struct Checkpoint {
        #[diesel(sql_type = BigInt)]
        wal_autocheckpoint: i64,
    }

    #[test]
    fn d07_a_writer_that_reconnects_does_not_wait_for_another_starter() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target::File(directory.path().join("telemetry.db"));
        let mut holder = open_writer(&target, Patience::Opening, Commits::Written).unwrap();
        // A database that is still to be migrated, and somebody who is at it.
        let pending = "DELETE FROM __diesel_schema_migrations; BEGIN IMMEDIATE";
        holder.batch_execute(pending).unwrap();
        let begun = std::time::Instant::now();
        assert!(open_writer(&target, Patience::Serving, Commits::Written).is_err());
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
}
