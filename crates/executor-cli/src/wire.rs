//! Turns the address of a database into its store and its history. The only file that names a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use command_executor::migrate::{self, Migrator};
use command_executor::ports::Store;
use command_executor::{History, OpenError, SqliteHistory, SqliteOptions, SqliteStore};

/// Refuses an address that names no database.
pub(crate) fn check(url: &str) -> Result<(), OpenError> {
    SqliteHistory::new(url).map(drop)
}

/// Returns an address with its relative path put below a directory; `None` if it stays as it is.
pub(crate) fn below(url: &str, base: &Path) -> Option<String> {
    let history = SqliteHistory::new(url).ok()?;
    let path = history.path().filter(|path| path.is_relative())?;
    let has_base = !base.as_os_str().is_empty();
    has_base
        .then(|| base.join(path))?
        .to_str()
        .map(|path| format!("sqlite://{path}"))
}

/// Returns whether the records die with the process.
pub(crate) fn is_in_memory(url: &str) -> Result<bool, OpenError> {
    Ok(SqliteHistory::new(url)?.is_in_memory())
}

/// Returns whether the database file exists.
pub(crate) fn is_there(url: &str) -> Result<bool, OpenError> {
    Ok(SqliteHistory::new(url)?.path().is_some_and(Path::exists))
}

/// Returns the size of the database, with its write-ahead log.
pub(crate) fn bytes(url: &str) -> Result<u64, OpenError> {
    let history = SqliteHistory::new(url)?;
    Ok(history.path().map_or(0, size_of) + log_bytes(url)?)
}

/// Returns the size of its write-ahead log.
pub(crate) fn log_bytes(url: &str) -> Result<u64, OpenError> {
    let history = SqliteHistory::new(url)?;
    Ok(history.path().map_or(0, |path| {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        size_of(Path::new(&log))
    }))
}

/// Returns the room on its disk; `None` if nobody says.
pub(crate) fn room(url: &str) -> Result<Option<u64>, OpenError> {
    let history = SqliteHistory::new(url)?;
    let disk = history
        .path()
        .and_then(|path| rustix::fs::statvfs(path).ok());
    Ok(disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn size_of(path: &Path) -> u64 {
    path.metadata().map_or(0, |it| it.len())
}

/// Returns the history at an address, without opening it yet.
pub(crate) fn history(url: &str) -> Result<Arc<dyn History>, OpenError> {
    Ok(Arc::new(SqliteHistory::new(url)?))
}

/// Returns the directory of this machine's spools beside the database; `None` in memory.
pub(crate) fn spools(url: &str) -> Result<Option<PathBuf>, OpenError> {
    let history = SqliteHistory::new(url)?;
    Ok(history.path().map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".spool");
        PathBuf::from(name)
    }))
}

/// Returns the migrations that a database lacks, the oldest first.
pub(crate) fn pending(url: &str) -> Result<Vec<String>, OpenError> {
    migrate::pending(url)
}

/// Applies them, and returns them.
pub(crate) fn bring_up_to_date(url: &str) -> Result<Vec<String>, OpenError> {
    let applied = Migrator::open_existing(url)?.up();
    applied.map_err(OpenError::Migrate)
}

/// Opens it for recording, and makes it where nothing is, with this mode.
pub(crate) async fn store(url: &str, file_mode: u32) -> Result<Arc<dyn Store>, OpenError> {
    let mut options = SqliteOptions::default();
    options.file_mode = file_mode;
    Ok(Arc::new(SqliteStore::open_with(url, options).await?))
}
