//! Opening a database: what is there, is it ours, and how must a connection be set up?
//!
//! A file that is not ours is looked at in a way that changes nothing, and refused.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ErrorClass;
use rustix::fs::{Access, access};

use crate::address::{Target, beside, uri};
use crate::classify::{class_of, is_lock};
use crate::create;
use crate::migrate;
use crate::probe::{Probed, probe};
use crate::row_ids;
use crate::transaction::immediate;

mod error;

pub(crate) use error::Opening;
pub use error::{OpenError, SqliteError};

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

/// Opens for writing: creates and migrates where needed, and sets the connection up. `mode` is that of a file that
/// is created.
pub(crate) fn open_writer(
    target: &Target,
    patience: Patience,
    commits: Commits,
    mode: u32,
) -> Result<SqliteConnection, OpenError> {
    try_open_writer(target, patience, commits, mode).map_err(|error| error.of(target))
}

fn try_open_writer(
    target: &Target,
    patience: Patience,
    commits: Commits,
    mode: u32,
) -> Result<SqliteConnection, OpenError> {
    let mut connection = connect(target, patience, mode)?;
    refuse_newer(&mut connection)?;
    // Looked at first: migrating takes the write lock, which another process may be holding.
    if first_pending(&mut connection)?.is_some() {
        migrate::up(&mut connection).map_err(OpenError::Migrate)?;
    }
    refuse_read_only(&mut connection).opening()?;
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
/// With it comes whether it sees what is written from now on.
pub(crate) fn open_reader(target: &Target) -> Result<(SqliteConnection, bool), OpenError> {
    let Target::File(path) = target else {
        return Err(OpenError::Address {
            url: ":memory:".into(),
            why: "a database in memory has no second connection; give a path",
        });
    };
    match probe(path) {
        Probed::Nothing => return Err(OpenError::Absent { path: path.clone() }),
        Probed::Refused(error) => return Err(error),
        Probed::Ours => {}
    }
    let (mut connection, follows) = connect_reader(path).map_err(|error| error.of(target))?;
    refuse_newer(&mut connection)?;
    refuse_older(&mut connection)?;
    Ok((connection, follows))
}

/// Able to write if it may: the last connection to go then takes the WAL's files along. Who may not makes none
/// either, which would be its own and lock the recorder out: where there is no WAL, nobody changes the file.
fn connect_reader(path: &Path) -> Result<(SqliteConnection, bool), OpenError> {
    let with =
        |query| {
            let mut connection = SqliteConnection::establish(&uri(path, query)?).opening()?;
            connection.batch_execute(
            "PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192; PRAGMA query_only = ON;",
        ).opening()?;
            tables(&mut connection).opening()?;
            Ok::<_, OpenError>(connection)
        };
    let without_a_trace = || match beside(path, "-wal").exists() {
        true => Ok((with("mode=ro&readonly_shm=1")?, true)),
        false => Ok((with("mode=ro&immutable=1")?, false)),
    };
    if access(path, Access::WRITE_OK).is_err() {
        return without_a_trace();
    }
    match with("mode=rw") {
        Ok(connection) => Ok((connection, true)),
        Err(_) => without_a_trace(),
    }
}

/// A connection to a database of ours, made ours if nothing was there; not migrated.
pub(crate) fn connect(
    target: &Target,
    patience: Patience,
    mode: u32,
) -> Result<SqliteConnection, OpenError> {
    let mut connection = match target {
        Target::Memory => SqliteConnection::establish(":memory:").opening()?,
        Target::File(path) => open_or_create(path, mode)?,
    };
    connection
        .batch_execute(&format!(
            "PRAGMA busy_timeout = {}; {LAYOUT}",
            patience.ms()
        ))
        .opening()?;
    claim(&mut connection, target)?;
    switch_to_wal(&mut connection, patience)?;
    connection
        .batch_execute("PRAGMA foreign_keys = ON")
        .opening()?;
    Ok(connection)
}

/// How many times what was there when we looked may be something else when we come.
const CREATIONS_MAX: u32 = 100;

fn open_or_create(path: &Path, mode: u32) -> Result<SqliteConnection, OpenError> {
    for _ in 0..CREATIONS_MAX {
        match probe(path) {
            Probed::Refused(error) => return Err(error),
            Probed::Ours => {
                return SqliteConnection::establish(&uri(path, "mode=rw")?).opening();
            }
            Probed::Nothing => create::create(path, mode)?,
        }
    }
    Err(OpenError::Unreachable {
        path: path.to_owned(),
        source: io::Error::other("it comes and goes"),
    })
}

/// Both take only before the first write.
const LAYOUT: &str = "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;";

/// Makes an empty database ours that nobody else knows. The order matters: the application id must be in the file
/// itself before the WAL hides it from a look at the file.
pub(crate) fn set_up_new(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    connection.batch_execute(LAYOUT).opening()?;
    claim(connection, &Target::Memory)?;
    switch_to_wal(connection, Patience::None)
}

/// Makes an empty database ours. What another program has put there since we looked stays its own.
fn claim(connection: &mut SqliteConnection, target: &Target) -> Result<(), OpenError> {
    // Without the lock first: another process may be holding it.
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

/// SQLite does not wait for a lock here when another starter does the same at this moment.
fn switch_to_wal(connection: &mut SqliteConnection, patience: Patience) -> Result<(), OpenError> {
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

fn set_up_writer(
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
mod tests;
