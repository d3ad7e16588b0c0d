//! Opening a database: what is there, is it ours, and how must a connection be set up?
//!
//! A file that is not ours is looked at in a way that changes nothing, and refused.

use std::fs;
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

use crate::classify::class_of;
use crate::migrate;
use crate::transaction::immediate;

/// "cxrc" in ASCII: what `file` and other programs may know our databases by.
const APPLICATION_ID: i64 = 0x6378_7263;

/// How long the writer waits inside SQLite for another process's lock. Longer waits belong to
/// whoever retries: a thread that waits inside SQLite cannot be called back.
const WRITER_BUSY_TIMEOUT_MS: u32 = 200;
/// While opening nobody is served yet, and another starter may be migrating.
const OPENING_BUSY_TIMEOUT_MS: u32 = 10_000;
/// How soon to look again at what another process is about to finish.
const LOOK_AGAIN_MS: u32 = 20;

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

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Memory,
    File(PathBuf),
}

impl Target {
    /// Understands a path, `sqlite:PATH`, `sqlite://PATH` and `:memory:`.
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        let refuse = |why| OpenError::Address {
            url: url.to_owned(),
            why,
        };
        let path = url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"))
            .unwrap_or(url);
        match path {
            "" => Err(refuse("it names no file; give a path such as telemetry.db")),
            ":memory:" => Ok(Self::Memory),
            _ if path.starts_with("postgres") && path.contains("://") => Err(refuse(
                "this build records into SQLite only; give a path such as telemetry.db",
            )),
            _ if path.contains("://") => Err(refuse(
                "only sqlite: is known; give a path such as telemetry.db",
            )),
            _ => Ok(Self::File(PathBuf::from(path))),
        }
    }

    /// The same file under a name that neither links nor a change of directory can turn into
    /// another. To be asked when the file is there.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::File(path) => Self::File(fs::canonicalize(&path).unwrap_or(path)),
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory => None,
            Self::File(path) => Some(path),
        }
    }
}

/// What is at a path, found out without changing anything there.
enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A database of this project.
    Ours,
    Refused(OpenError),
}

/// Opens for writing: creates and migrates where needed, and sets the connection up.
pub(crate) fn open_writer(target: &Target) -> Result<SqliteConnection, OpenError> {
    try_open_writer(target).map_err(|error| error.of(target))
}

fn try_open_writer(target: &Target) -> Result<SqliteConnection, OpenError> {
    let mut connection = connect(target)?;
    refuse_newer(&mut connection)?;
    // Looked at first: migrating takes the write lock, which another process may be holding.
    if first_pending(&mut connection)?.is_some() {
        migrate::up(&mut connection).map_err(OpenError::Migrate)?;
    }
    set_up_writer(&mut connection, target)?;
    Ok(connection)
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
pub(crate) fn connect(target: &Target) -> Result<SqliteConnection, OpenError> {
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
        "PRAGMA busy_timeout = {OPENING_BUSY_TIMEOUT_MS}; PRAGMA page_size = 4096; \
         PRAGMA auto_vacuum = INCREMENTAL;"
    ))?;
    claim(&mut connection, target)?;
    switch_to_wal(&mut connection)?;
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
fn switch_to_wal(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let mut patience = OPENING_BUSY_TIMEOUT_MS / LOOK_AGAIN_MS;
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

fn set_up_writer(connection: &mut SqliteConnection, target: &Target) -> Result<(), OpenError> {
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {WRITER_BUSY_TIMEOUT_MS}; PRAGMA synchronous = NORMAL; \
         PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000;"
    ))?;
    if target.path().is_some() {
        assert_pragma(connection, "journal_mode", "wal")?;
    }
    assert_pragma(connection, "foreign_keys", "1")?;
    assert_pragma(connection, "synchronous", "1")
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

fn application_id(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let found: Number =
        diesel::sql_query("SELECT application_id AS value FROM pragma_application_id")
            .get_result(connection)?;
    Ok(found.value)
}

fn tables(connection: &mut SqliteConnection) -> QueryResult<i64> {
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

/// Looks at a path until two looks agree that it is not ours. A look ignores locks, so it may
/// see another starter's creation half-way; that takes milliseconds and leaves a journal beside
/// the file while it lasts.
fn look(path: &Path) -> Found {
    let mut refusals = 0;
    loop {
        let refused = match look_once(path) {
            Found::Refused(error) => error,
            found => return found,
        };
        refusals += 1;
        let being_written = refusals < 100 && beside(path, "-journal").exists();
        if refusals >= 2 && !being_written {
            return Found::Refused(refused);
        }
        thread::sleep(Duration::from_millis(u64::from(LOOK_AGAIN_MS)));
    }
}

fn look_once(path: &Path) -> Found {
    let unreachable = |source| {
        Found::Refused(OpenError::Unreachable {
            path: path.to_owned(),
            source,
        })
    };
    // Metadata only. Opening a live database file here and closing it again would drop the locks
    // that SQLite holds on it in this process.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return unreachable(error),
        Ok(meta) if meta.is_dir() => return unreachable(io::ErrorKind::IsADirectory.into()),
        Ok(meta) if meta.len() == 0 => return Found::Nothing,
        // Less than the smallest page; SQLite would take it for an empty database.
        Ok(meta) if meta.len() < 512 => {
            return Found::Refused(OpenError::NotADatabase {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    match id_without_touching(path) {
        Ok(APPLICATION_ID) => Found::Ours,
        Ok(_) => Found::Refused(OpenError::Foreign {
            path: path.to_owned(),
        }),
        Err(OpenError::SetUp(_)) => Found::Refused(OpenError::NotADatabase {
            path: path.to_owned(),
        }),
        Err(error) => Found::Refused(error),
    }
}

/// Immutable and read-only: no lock, no journal, no shared memory, no recovery.
fn id_without_touching(path: &Path) -> Result<i64, OpenError> {
    let mut connection = SqliteConnection::establish(&uri(path, "mode=ro&immutable=1")?)?;
    // Without the WAL the file may be shorter than its first page says: a checkpoint writes that
    // page before it has grown the file, and a kill may leave it so. This makes SQLite read it
    // all the same.
    connection.batch_execute("PRAGMA writable_schema = ON")?;
    let id = application_id(&mut connection)?;
    if id != APPLICATION_ID {
        // Tells another program's database from a file that is none.
        tables(&mut connection)?;
    }
    Ok(id)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The path as SQLite's URI, so that no character of it means anything.
fn uri(path: &Path, query: &str) -> Result<String, OpenError> {
    let text = path.to_str().ok_or_else(|| OpenError::Address {
        url: path.display().to_string(),
        why: "the path is not valid UTF-8",
    })?;
    let escaped = text
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    // An absolute path would otherwise be read as `file://authority/…` where it begins with `//`.
    let root = if text.starts_with('/') { "//" } else { "" };
    Ok(format!("file:{root}{escaped}?{query}"))
}
