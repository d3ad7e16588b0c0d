//! Whether a session's process lives: each holds a lock on a file of its own beside the database,
//! and the system lets go of it when the process dies, however it dies.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use executor_core::SessionId;

/// The directory of the lock files, `DATABASE.sessions`.
pub(crate) fn directory_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sessions");
    PathBuf::from(name)
}

/// Proof that a session lives, for as long as this value does.
pub(crate) struct Proof {
    directory: PathBuf,
    path: PathBuf,
    /// Held, not read: closing it is what lets go of the lock.
    _file: File,
}

impl Proof {
    pub(crate) fn new(directory: &Path, id: SessionId) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(id.to_string());
        let file = File::create(&path)?;
        file.lock()?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            _file: file,
        })
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        // What stays behind is an unlocked file, which says the same as none.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Whether somebody holds the session's lock. An error is no proof of death.
pub(crate) fn is_alive(directory: &Path, id: SessionId) -> bool {
    let file = match File::open(directory.join(id.to_string())) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}

/// Removes the lock file that a dead session left.
pub(crate) fn forget(directory: &Path, id: SessionId) {
    let _ = fs::remove_file(directory.join(id.to_string()));
}
