//! Tells whether a session's process is alive. Each session locks a file of its own on this machine, and the system
//! releases the lock when the process dies, however it dies.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use executor_core::SessionId;

/// Proof that a session lives, for as long as this value does.
pub(crate) struct Proof {
    directory: PathBuf,
    path: PathBuf,
    /// Held, never read: closing it releases the lock.
    _file: File,
}

impl Proof {
    pub(crate) fn new(directory: &Path, id: SessionId, file_mode: u32) -> io::Result<Self> {
        make_directory(directory, file_mode)?;
        let path = directory.join(id.to_string());
        let file = match new_file(&path, file_mode) {
            // Left by an earlier attempt of this session.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_lock(&path)?,
            made => made?,
        };
        file.lock()?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            _file: file,
        })
    }
}

/// Whoever may read its files may search it. Keeps special bits inherited from its parent, such as setgid.
fn make_directory(directory: &Path, file_mode: u32) -> io::Result<()> {
    let mode = 0o700 | file_mode | (file_mode & 0o444) >> 2;
    match DirBuilder::new().mode(mode).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Ok(()) if mode != 0o700 => {
            let inherited = fs::metadata(directory)?.permissions().mode() & 0o7000;
            fs::set_permissions(directory, Permissions::from_mode(inherited | mode))
        }
        made => made,
    }
}

/// Opens only a regular file, and follows no link: anything else is not ours, and opening it can have side effects.
fn open_lock(path: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("the lock is not a regular file"));
    }
    File::open(path)
}

impl Drop for Proof {
    fn drop(&mut self) {
        // An unlocked file that stays behind means the same as no file.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Returns whether somebody holds the session's lock. An error does not prove that the session is dead.
pub(crate) fn is_alive(directory: &Path, id: SessionId) -> bool {
    let file = match open_lock(&directory.join(id.to_string())) {
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

/// The mode of a new file, unless another one is asked for.
pub(crate) const FILE_MODE: u32 = 0o600;

/// Creates a new file with this mode, whatever the process's umask.
pub(crate) fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode & FILE_MODE)
        .open(path)?;
    if mode != FILE_MODE {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    Ok(file)
}
