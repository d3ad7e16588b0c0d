//! Recognises a spool's directory: something in it bears our mark. Anything else in the place where spools are kept
//! belongs to somebody else and is neither read, moved nor removed.

use std::fs::{OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use crate::frame::HeaderRead;
use crate::fs::{self, Fs, LOCK_MARK, RealFs, open_file, read_path};
use crate::recover::headers;
use crate::spool::{LOCK_NAME, segment_names};

/// Returns whether a directory is a spool of any version: its lock or one of its segments bears our mark. A link to a
/// spool does not count, nor does a directory that cannot be read.
pub fn is_spool(dir: &Path) -> bool {
    let is_directory = std::fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    is_directory && (has_lock(dir).unwrap_or(false) || has_segment(dir).unwrap_or(false))
}

/// Returns whether a living process holds the spool in this directory. A directory without a lock of ours is nobody's.
///
/// # Errors
///
/// The lock is there and cannot be opened.
pub fn is_held(dir: &Path) -> io::Result<bool> {
    let lock = match open_file(&dir.join(LOCK_NAME), OpenOptions::new().read(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        lock => lock?,
    };
    // Shared, and given back at once: whoever wants it for itself tries again after a moment.
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes a write past a file size limit return an error, as on a full disk, instead of ending the process. Child
/// programs still end as usual. Starting a service does this by itself; call it earlier if a database is created
/// before that, which may already exceed the limit. Idempotent.
pub fn survive_file_size_limit() {
    fs::survive_file_size_limit();
}

fn has_lock(dir: &Path) -> io::Result<bool> {
    let lock = open_file(&dir.join(LOCK_NAME), OpenOptions::new().read(true))?;
    let mut mark = Vec::new();
    lock.take(LOCK_MARK.len() as u64).read_to_end(&mut mark)?;
    Ok(mark == LOCK_MARK)
}

fn has_segment(dir: &Path) -> io::Result<bool> {
    let names = segment_names(&RealFs::default() as &dyn Fs, dir)?;
    let bears_mark = |path: &Path| {
        read_path(path).is_ok_and(|(map, length)| {
            let read = headers(&map, length);
            read.iter()
                .any(|read| matches!(read, HeaderRead::Good(_) | HeaderRead::Foreign(_)))
        })
    };
    Ok(names.iter().any(|(_, path)| bears_mark(path)))
}
