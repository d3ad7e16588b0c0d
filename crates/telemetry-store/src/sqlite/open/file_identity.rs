//! Checks whether the files that a connection has open are still those at their paths.
//!
//! SQLite silently goes on writing to a file that was deleted or replaced, and its commits are lost with
//! the connection. Only the file system can tell, so the writer checks after each request's work and
//! before the answer. A check takes a microsecond.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sqlite::open::address::beside;

/// A file's device and inode, which identify it whatever its name.
pub(crate) type Identity = (u64, u64);

/// The database's file and its write-ahead log, as they were when the connection was opened.
pub(crate) struct FileIdentity {
    files: Vec<(PathBuf, Identity)>,
}

/// The current state of these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    Same,
    /// The write-ahead log is gone; its content can still be written back.
    WalGone,
    /// The database itself is gone, and anything written is lost.
    Replaced,
}

impl FileIdentity {
    /// Must be called after the connection has read or written, so that both files exist.
    pub(crate) fn new(database: Option<&Path>) -> Self {
        let paths = database.map(|path| [path.to_owned(), beside(path, "-wal")]);
        let files = paths.into_iter().flatten();
        Self {
            files: files
                .filter_map(|path| identity(&path).map(|identity| (path, identity)))
                .collect(),
        }
    }

    pub(crate) fn file_state(&self) -> FileState {
        let lost = |(path, identity): &(PathBuf, Identity)| self::identity(path) != Some(*identity);
        match self.files.iter().position(lost) {
            None => FileState::Same,
            Some(0) => FileState::Replaced,
            Some(_) => FileState::WalGone,
        }
    }
}

/// Metadata only: opening and closing the file would drop SQLite's locks on it.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}
