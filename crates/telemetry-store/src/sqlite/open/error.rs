//! The reasons why a database was not opened, and what to do about them.

use std::error::Error;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use diesel::prelude::*;
use executor_core::StoreFault;
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::geteuid;
use thiserror::Error;

use crate::sqlite::classify::{is_absence, is_damage, is_full};
use crate::sqlite::open::address::{SUFFIXES, Target, Unaddressable, beside};

/// The reason why a database was not opened. In every case the database is unchanged.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The address does not name a SQLite database.
    #[error(transparent)]
    Address(#[from] Unaddressable),
    /// There is no database at the path.
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
        /// The system's message.
        #[source]
        source: io::Error,
    },
    /// The path does not lead to a file but to a device, a pipe, a socket or a directory.
    #[error("`{}` is a {what}, not a file; it was not opened: give another path", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The kind of file.
        what: &'static str,
    },
    /// The file is not a SQLite database.
    #[error("`{}` is not a SQLite database; it was left untouched: give another path", path.display())]
    NotADatabase {
        /// The path.
        path: PathBuf,
    },
    /// The file is another program's database.
    #[error("`{}` is another program's database; it was left untouched: give another path", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// Another program is making its database there.
    #[error(
        "another program is making its database at `{}`; it was left untouched: give another path", path.display()
    )]
    InTheMaking {
        /// The path.
        path: PathBuf,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the database has the schema {found}, but the newest that this program knows is {known}: use a newer program"
    )]
    Newer {
        /// The newest migration of the database.
        found: String,
        /// The newest migration of this program.
        known: String,
    },
    /// A history is being copied into the database, or the copy was interrupted.
    #[error(
        "a copy into the database is not finished: wait for it, or repeat the same `executor copy`; to give it up, remove \
         the file"
    )]
    Unfinished,
    /// The database needs migrations and was opened only for reading.
    #[error(
        "the database lacks the migration {missing}: open it once for writing, or run `executor migrate`"
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
        /// SQLite's message.
        #[source]
        source: Box<OpenError>,
    },
    /// A file of the database, or one beside it, may not be written to.
    #[error(
        "cannot use the database `{database}`: `{}` belongs to user {owner} with mode {mode:o}, and this is user {user}: \
         change its owner or mode; a -shm file may be removed while no program has the database open, but a -wal file holds \
         records", file.display()
    )]
    Denied {
        /// The database's address.
        database: String,
        /// The file.
        file: PathBuf,
        /// The user who owns it.
        owner: u32,
        /// Its permissions.
        mode: u32,
        /// The user of this process.
        user: u32,
    },
    /// The database is damaged.
    #[error(
        "the database `{database}` is damaged: move it aside, and a new one is created; recover what is left in it \
         with `sqlite3 {database} .recover`"
    )]
    Damaged {
        /// Its address.
        database: String,
        /// SQLite's message.
        #[source]
        source: SqliteError,
    },
    /// The database's file system has no space left.
    #[error("cannot use the database `{database}`: its disk is full; make room on it")]
    NoSpace {
        /// Its address.
        database: String,
        /// SQLite's message.
        #[source]
        source: Box<OpenError>,
    },
    /// SQLite refused the connection.
    #[error("cannot connect")]
    Connect(#[source] SqliteError),
    /// SQLite refused to set the connection up.
    #[error("cannot set up the connection")]
    SetUp(#[source] SqliteError),
    /// A pragma had no effect.
    #[error(
        "the database has {name} = {found}, but {wanted} is needed: does its file system support a WAL?"
    )]
    Pragma {
        /// The pragma.
        name: &'static str,
        /// The actual value.
        found: String,
        /// The expected value.
        wanted: String,
    },
    /// Migrating failed; nothing was changed.
    #[error("cannot migrate the database")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that writes could not be started.
    #[error("cannot start the writer thread")]
    Thread(#[source] io::Error),
}

/// SQLite's own message.
#[derive(Debug)]
pub struct SqliteError(Cause);

#[derive(Debug)]
enum Cause {
    Connection(ConnectionError),
    Statement(diesel::result::Error),
}

impl SqliteError {
    fn cause(&self) -> &(dyn Error + 'static) {
        match &self.0 {
            Cause::Connection(error) => error,
            Cause::Statement(error) => error,
        }
    }

    /// Returns whether a statement failed with an error that `like` accepts.
    fn is(&self, like: impl FnOnce(&diesel::result::Error) -> bool) -> bool {
        matches!(&self.0, Cause::Statement(error) if like(error))
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.cause(), f)
    }
}

impl Error for SqliteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().source()
    }
}

/// Converts the errors that diesel returns while a database is opened. There is no `From`, because it would put
/// diesel's errors into the public API.
pub(crate) trait Opening<T> {
    fn opening(self) -> Result<T, OpenError>;
}

impl<T> Opening<T> for Result<T, ConnectionError> {
    fn opening(self) -> Result<T, OpenError> {
        self.map_err(|error| OpenError::Connect(SqliteError(Cause::Connection(error))))
    }
}

impl<T> Opening<T> for QueryResult<T> {
    fn opening(self) -> Result<T, OpenError> {
        self.map_err(|error| OpenError::SetUp(SqliteError(Cause::Statement(error))))
    }
}

impl OpenError {
    /// Adds the database that the error is about.
    pub(crate) fn of(self, target: &Target) -> Self {
        let database = || {
            let path = target.path();
            path.map_or(":memory:".into(), |path| path.display().to_string())
        };
        let error = self.bare();
        match error {
            Self::SetUp(source) if source.is(is_damage) => Self::Damaged {
                database: database(),
                source,
            },
            Self::SetUp(_) | Self::Migrate(_) if error.is_of_space(target) => Self::NoSpace {
                database: database(),
                source: Box::new(error),
            },
            Self::Connect(_) | Self::SetUp(_) => denied(target).unwrap_or_else(|| Self::Unusable {
                database: database(),
                source: Box::new(error),
            }),
            other => other,
        }
    }

    /// Turns damage found while looking for migrations into the same error as damage found elsewhere.
    fn bare(self) -> Self {
        match self {
            Self::Migrate(source) => match source.downcast::<diesel::result::Error>() {
                Ok(source) if is_damage(&source) => {
                    Self::SetUp(SqliteError(Cause::Statement(*source)))
                }
                Ok(source) => Self::Migrate(source),
                Err(source) => Self::Migrate(source),
            },
            other => other,
        }
    }

    /// SQLite reports an I/O error where it cannot create the files beside a database.
    fn is_of_space(&self, target: &Target) -> bool {
        match self {
            Self::SetUp(error) => error.is(is_full) || error.is(is_absence) && lacks_space(target),
            _ => lacks_space(target),
        }
    }

    /// Returns whether retrying is pointless, because this program can never use what is there.
    pub(crate) const fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Address(_)
                | Self::NotAFile { .. }
                | Self::NotADatabase { .. }
                | Self::Foreign { .. }
                | Self::Newer { .. }
                | Self::Older { .. }
        )
    }

    /// Returns the fault that the store reports while its writer cannot connect.
    pub(crate) const fn fault(&self) -> StoreFault {
        match self {
            Self::NoSpace { .. } => StoreFault::NoSpace,
            Self::Damaged { .. } => StoreFault::Damaged,
            _ => StoreFault::Other,
        }
    }
}

/// Finds the first of a database's files that this process may not read and write. SQLite does not name it.
fn denied(target: &Target) -> Option<OpenError> {
    let path = target.path()?;
    let files = [""].into_iter().chain(SUFFIXES);
    let mut files = files.map(|suffix| beside(path, suffix));
    let file = files.find(|file| {
        let may = access(file, Access::READ_OK | Access::WRITE_OK);
        may == Err(Errno::ACCESS)
    })?;
    let found = fs::metadata(&file).ok()?;
    Some(OpenError::Denied {
        database: path.display().to_string(),
        owner: found.uid(),
        mode: found.mode() & 0o7777,
        user: geteuid().as_raw(),
        file,
    })
}

/// The space that SQLite needs before its first write: some pages of the log and its index.
const LEAST_SPACE: u64 = 256 * 1_024;

fn lacks_space(target: &Target) -> bool {
    let directory = target.path().and_then(Path::parent);
    let directory = directory.map(|directory| match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    });
    let free = directory.and_then(|directory| rustix::fs::statvfs(directory).ok());
    free.is_some_and(|free| free.f_bavail.saturating_mul(free.f_frsize) < LEAST_SPACE)
}
