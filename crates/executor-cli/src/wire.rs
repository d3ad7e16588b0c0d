//! Turns the address of a database into its store and its history. The only file that names a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use command_executor::migrate::{self, Migrator};
use command_executor::ports::Store;
use command_executor::{
    Copied, CopyEnd, CopyError, CopyProgress, History, HistoryError, OpenError, SqliteHistory,
    SqliteOptions, SqliteStore, copy_history,
};
#[cfg(feature = "postgres")]
use command_executor::{
    PostgresHistory, PostgresOptions, PostgresStore, ServerError, bring_server_up_to_date,
    pending_on_server, ports::state_directory_of,
};
use thiserror::Error;

/// The reason why a database was not opened.
#[derive(Debug, Error)]
pub(crate) enum CannotOpen {
    #[error(transparent)]
    File(#[from] OpenError),
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Server(#[from] ServerError),
    #[cfg(not(feature = "postgres"))]
    #[error(
        "this program was built without PostgreSQL: install it with `--features postgres`, or name a file"
    )]
    NoServers,
}

impl CannotOpen {
    /// Whether nothing is there.
    pub(crate) const fn is_absent(&self) -> bool {
        match self {
            Self::File(error) => matches!(error, OpenError::Absent { .. }),
            #[cfg(feature = "postgres")]
            Self::Server(error) => matches!(error, ServerError::Absent { .. }),
            #[cfg(not(feature = "postgres"))]
            Self::NoServers => false,
        }
    }
}

/// Where a history is.
enum Place {
    File(SqliteHistory),
    #[cfg(feature = "postgres")]
    Server(PostgresHistory),
}

/// Whatever looks as if it meant a server is none of a file: it may hold a password.
pub(crate) fn is_on_a_server(url: &str) -> bool {
    const OF_LIBPQ: [&str; 3] = ["host=", "dbname=", "password="];
    let url = url.trim().to_lowercase();
    let scheme = url.split('/').next().unwrap_or_default();
    let mut words = url.split_whitespace();
    let is_address = scheme.contains("postgres") && url[scheme.len()..].starts_with("//");
    is_address || words.any(|word| OF_LIBPQ.iter().any(|key| word.starts_with(key)))
}

#[cfg(feature = "postgres")]
fn server(url: &str) -> Result<Place, CannotOpen> {
    Ok(Place::Server(PostgresHistory::new(url)?))
}

#[cfg(not(feature = "postgres"))]
fn server(_: &str) -> Result<Place, CannotOpen> {
    Err(CannotOpen::NoServers)
}

fn place(url: &str) -> Result<Place, CannotOpen> {
    match is_on_a_server(url) {
        true => server(url),
        false => Ok(Place::File(SqliteHistory::new(url)?)),
    }
}

/// The file of a database, if it has one.
fn file(url: &str) -> Result<Option<PathBuf>, CannotOpen> {
    Ok(match place(url)? {
        Place::File(history) => history.path().map(ToOwned::to_owned),
        #[cfg(feature = "postgres")]
        Place::Server(_) => None,
    })
}

/// Refuses an address that names no database.
pub(crate) fn check(url: &str) -> Result<(), CannotOpen> {
    place(url).map(drop)
}

/// Returns an address as people may see it, which is without a password.
pub(crate) fn shown(url: &str) -> String {
    match place(url) {
        #[cfg(feature = "postgres")]
        Ok(Place::Server(history)) => history.server(),
        Err(_) if is_on_a_server(url) => "postgres://…".to_owned(),
        _ => url.to_owned(),
    }
}

/// Returns an address with its relative path put below a directory; `None` if it stays as it is.
pub(crate) fn below(url: &str, base: &Path) -> Option<String> {
    let path = file(url).ok()?.filter(|path| path.is_relative())?;
    let has_base = !base.as_os_str().is_empty();
    has_base
        .then(|| base.join(path))?
        .to_str()
        .map(|path| format!("sqlite://{path}"))
}

/// Returns whether the records die with the process.
pub(crate) fn is_in_memory(url: &str) -> Result<bool, CannotOpen> {
    Ok(match place(url)? {
        Place::File(history) => history.is_in_memory(),
        #[cfg(feature = "postgres")]
        Place::Server(_) => false,
    })
}

/// Returns whether there may be a database: a file that exists, or one on a server.
pub(crate) fn may_be_there(url: &str) -> Result<bool, CannotOpen> {
    Ok(match place(url)? {
        Place::File(history) => history.path().is_some_and(Path::exists),
        #[cfg(feature = "postgres")]
        Place::Server(_) => true,
    })
}

/// The reason why nobody knows the size of a database.
#[derive(Debug, Error)]
pub(crate) enum NoSize {
    #[error(transparent)]
    Open(#[from] CannotOpen),
    #[error(transparent)]
    Query(#[from] HistoryError),
}

/// The reason why a history was not copied.
#[derive(Debug, Error)]
pub(crate) enum NotCopied {
    #[error(transparent)]
    Open(#[from] CannotOpen),
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// Returns the size of the database, with its write-ahead log if it is a file.
pub(crate) async fn bytes(url: &str) -> Result<u64, NoSize> {
    match place(url)? {
        Place::File(history) => Ok(history.path().map_or(0, size_of) + log_bytes(url)?),
        #[cfg(feature = "postgres")]
        Place::Server(history) => Ok(history.bytes().await?),
    }
}

/// Returns the size of its write-ahead log.
pub(crate) fn log_bytes(url: &str) -> Result<u64, CannotOpen> {
    Ok(file(url)?.map_or(0, |path| {
        let mut log = path.into_os_string();
        log.push("-wal");
        size_of(Path::new(&log))
    }))
}

/// Returns the room on its disk; `None` if nobody says.
pub(crate) fn room(url: &str) -> Result<Option<u64>, CannotOpen> {
    let disk = file(url)?.and_then(|path| rustix::fs::statvfs(&path).ok());
    Ok(disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn size_of(path: &Path) -> u64 {
    path.metadata().map_or(0, |it| it.len())
}

/// Returns the history at an address, without opening it yet.
pub(crate) fn history(url: &str) -> Result<Arc<dyn History>, CannotOpen> {
    Ok(match place(url)? {
        Place::File(history) => Arc::new(history),
        #[cfg(feature = "postgres")]
        Place::Server(history) => Arc::new(history),
    })
}

/// Returns the directory of this machine's spools; `None` if there is no place for any.
pub(crate) fn spools(url: &str) -> Result<Option<PathBuf>, CannotOpen> {
    Ok(match place(url)? {
        Place::File(history) => history.path().map(|path| {
            let mut name = path.as_os_str().to_owned();
            name.push(".spool");
            PathBuf::from(name)
        }),
        #[cfg(feature = "postgres")]
        Place::Server(history) => state_directory_of(&history.name_on_this_machine()),
    })
}

/// Returns the migrations that a database lacks, the oldest first.
pub(crate) fn pending(url: &str) -> Result<Vec<String>, CannotOpen> {
    Ok(match place(url)? {
        Place::File(_) => migrate::pending(url)?,
        #[cfg(feature = "postgres")]
        Place::Server(_) => pending_on_server(url)?,
    })
}

/// Applies them, and returns them.
pub(crate) fn bring_up_to_date(url: &str) -> Result<Vec<String>, CannotOpen> {
    Ok(match place(url)? {
        Place::File(_) => {
            // Refuses what is not to be migrated.
            migrate::pending(url)?;
            let applied = Migrator::open_existing(url)?.up();
            applied.map_err(OpenError::Migrate)?
        }
        #[cfg(feature = "postgres")]
        Place::Server(_) => bring_server_up_to_date(url)?,
    })
}

/// Copies a history into an empty database.
pub(crate) async fn copy(
    from: String,
    to: String,
    mut progress: impl FnMut(CopyProgress) + Send + 'static,
) -> Result<Copied, NotCopied> {
    let copying = tokio::task::spawn_blocking(move || {
        Ok(copy_history(end(&from)?, end(&to)?, &mut progress)?)
    });
    match copying.await {
        Ok(copied) => copied,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn end(url: &str) -> Result<CopyEnd<'_>, CannotOpen> {
    Ok(match place(url)? {
        Place::File(_) => CopyEnd::File(url),
        #[cfg(feature = "postgres")]
        Place::Server(_) => CopyEnd::Server(url),
    })
}

/// Opens it for recording, and makes it where nothing is, with this mode for files.
pub(crate) async fn store(url: &str, file_mode: u32) -> Result<Arc<dyn Store>, CannotOpen> {
    Ok(match place(url)? {
        Place::File(_) => {
            let mut options = SqliteOptions::default();
            options.file_mode = file_mode;
            Arc::new(SqliteStore::open_with(url, options).await?)
        }
        #[cfg(feature = "postgres")]
        Place::Server(_) => {
            let mut options = PostgresOptions::default();
            options.file_mode = file_mode;
            // What is recorded meanwhile waits in the spool.
            options.may_be_away = true;
            Arc::new(PostgresStore::open_with(url, options).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::is_on_a_server;

    #[test]
    fn h01_a_file_is_none_of_a_server() {
        for file in [
            "telemetry.db",
            "sqlite:///var/lib/postgres/telemetry.db",
            "/srv/postgres//telemetry.db",
            "postgres/telemetry.db",
            "my-dbname=one.db",
        ] {
            assert!(!is_on_a_server(file), "{file}");
        }
    }

    #[test]
    fn h06_what_may_hold_a_password_is_no_file() {
        for address in [
            "postgres://me:secret@host/db",
            " PostgreSQL://me:secret@host/db",
            "jdbc:postgresql://host/db?password=secret",
            "dbname=db password=secret",
            "postgres//me:secret@host/db",
        ] {
            assert!(is_on_a_server(address), "{address}");
        }
    }
}
