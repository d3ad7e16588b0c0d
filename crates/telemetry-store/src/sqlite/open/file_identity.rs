//! Whether the files that a connection has open are still those at their paths.
//!
//! SQLite goes on writing to a file that was deleted or replaced, and says nothing: what is committed
//! there is gone with the connection. Only the file system can tell, so it is asked before a
//! request is answered, after its work is done. Asking takes a microsecond.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sqlite::open::address::beside;

/// What a file is, whatever its name.
type Identity = (u64, u64);

/// The database's file and its write-ahead log, as they were when the connection was opened.
pub(crate) struct FileIdentity {
    files: Vec<(PathBuf, Identity)>,
}

/// What has become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileState {
    Same,
    /// The write-ahead log is gone: what is in it can still be written back.
    WalGone,
    /// The database itself is gone, and what is written goes nowhere.
    Replaced,
}

impl FileIdentity {
    /// To be called when the connection has read or written, so that both files are there.
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
fn identity(path: &Path) -> Option<Identity> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}
