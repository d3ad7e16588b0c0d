//! Creates a database completely under a temporary name beside its path, and only then gives it its name. So if a
//! creation is interrupted at any instant, there is either nothing or a whole database at the path.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use diesel::Connection;
use diesel::sqlite::SqliteConnection;
use executor_core::{SessionId, Timestamp};

use crate::liveness::new_file;
use crate::sqlite::open::address::{SUFFIXES, beside, uri};
use crate::sqlite::open::error::{OpenError, Opening};
use crate::sqlite::open::pragma::{PROBE_AGAIN_MS, set_up_new};
use crate::sqlite::open::probe::is_blank;

/// How many links a path may lead through.
const LINKS_MAX: u32 = 40;

/// Creates an empty database of ours where there is nothing, or a file with nothing in it. If another process is
/// faster, it keeps the path, and the caller probes again.
pub(crate) fn create(path: &Path, mode: u32) -> Result<(), OpenError> {
    let unreachable = |source| OpenError::Unreachable {
        path: path.to_owned(),
        source,
    };
    let path = followed(path).map_err(unreachable)?;
    remove_unfinished(&path);
    for _ in 0..TRIES_MAX {
        let unfinished = unfinished_name(&path);
        let made = make(&path, &unfinished, mode);
        for suffix in SUFFIXES.into_iter().chain([""]) {
            // The next process that creates this database removes whatever stays behind.
            let _ = fs::remove_file(beside(&unfinished, suffix));
        }
        if made? == Made::Done {
            return Ok(());
        }
    }
    Err(unreachable(io::Error::other(
        "other processes keep removing the unfinished database",
    )))
}

/// The number of times that others may remove the unfinished database.
const TRIES_MAX: u32 = 20;

#[derive(PartialEq, Eq)]
enum Made {
    Done,
    /// Another process took the file for abandoned and removed it: it looked before the file was locked.
    TakenAway,
}

fn make(path: &Path, unfinished: &Path, mode: u32) -> Result<Made, OpenError> {
    let unreachable = |source| OpenError::Unreachable {
        path: path.to_owned(),
        source,
    };
    let file = new_file(unfinished, mode).map_err(unreachable)?;
    // Shows others that its creator is alive.
    file.lock().map_err(unreachable)?;
    if !unfinished.exists() {
        return Ok(Made::TakenAway);
    }
    let mut connection = SqliteConnection::establish(&uri(unfinished, "mode=rw")?).opening()?;
    set_up_new(&mut connection)?;
    drop(connection);
    // Before it gets its name, because closing a file drops the locks that SQLite holds on it in this process.
    drop(file);
    // One process at a time, so that the path does not change between the check and the rename.
    let _alone = lock_directory(path);
    match give_name(unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Made::TakenAway),
        named => named.map(|()| Made::Done).map_err(unreachable),
    }
}

/// The number of times to check whether another process is done. A lock held longer is not one of ours.
const LOCK_TRIES_MAX: u32 = 250;

/// `None` where the directory cannot be locked: a rare race is better than no database.
fn lock_directory(path: &Path) -> Option<File> {
    let directory = File::open(path.parent()?).ok()?;
    for _ in 0..LOCK_TRIES_MAX {
        match directory.try_lock() {
            Ok(()) => return Some(directory),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(Duration::from_millis(u64::from(PROBE_AGAIN_MS)));
            }
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Moves the database to its path, where it replaces only a file with nothing in it and keeps that file's mode.
fn give_name(unfinished: &Path, path: &Path) -> io::Result<()> {
    if fs::exists(path)? {
        if !is_blank(path) {
            return Ok(());
        }
        move_leftovers_aside(path)?;
        fs::set_permissions(unfinished, fs::metadata(path)?.permissions())?;
        return match fs::rename(unfinished, path) {
            // The file itself is a mount point, as in containers. One page is written whole or not at all.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                fs::write(path, fs::read(unfinished)?)
            }
            renamed => renamed,
        };
    }
    move_leftovers_aside(path)?;
    match fs::hard_link(unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some file systems do not support hard links.
        Err(error) if is_without_links(&error) => fs::rename(unfinished, path),
        linked => linked,
    }
}

/// Moves the log and the journal of a vanished database aside: SQLite would apply them to the new one and damage it.
fn move_leftovers_aside(path: &Path) -> io::Result<()> {
    for suffix in SUFFIXES {
        let left = beside(path, suffix);
        if fs::symlink_metadata(&left).is_err() {
            continue;
        }
        let aside = beside(&left, &format!(".orphan-{}", unique()));
        fs::rename(&left, &aside)?;
        tracing::warn!(
            path = %left.display(),
            aside = %aside.display(),
            "moved aside leftover files of a missing database"
        );
    }
    Ok(())
}

fn is_without_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks
    )
}

/// Follows the links of a path to a file, which need not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&path) else {
            let directory = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => fs::canonicalize(parent)?,
                _ => fs::canonicalize(".")?,
            };
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            return Ok(directory.join(name));
        };
        path = match path.parent() {
            Some(parent) => parent.join(target),
            None => target,
        };
    }
    Err(io::Error::other("it leads through too many links"))
}

fn prefix_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(format!(".{name}.new-"))
}

/// A name that nothing else has, beside the path.
fn unfinished_name(path: &Path) -> PathBuf {
    let name = prefix_of(path).unwrap_or_else(|| ".new-".into());
    path.with_file_name(format!("{name}{}", unique()))
}

/// An id of a session serves.
fn unique() -> SessionId {
    SessionId::new(Timestamp::from(std::time::SystemTime::now()))
}

/// Removes the files of processes that were killed while they created this database.
fn remove_unfinished(path: &Path) {
    let (Some(prefix), Some(directory)) = (prefix_of(path), path.parent()) else {
        return;
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_ours = |name: &str| {
            let id = name.strip_prefix(&prefix)?;
            uuid::Uuid::try_parse(id).ok()
        };
        let name = entry.file_name();
        if name.to_str().and_then(is_ours).is_none() {
            continue;
        }
        // Locked until the file is gone: a creator that gets the lock later notices that its file was removed.
        let Some(_held) = abandoned(&entry) else {
            continue;
        };
        for suffix in SUFFIXES.into_iter().chain([""]) {
            let _ = fs::remove_file(beside(&entry.path(), suffix));
        }
    }
}

/// Returns the file, locked, if its creator is gone. Only its creator ever has such a file open.
fn abandoned(entry: &fs::DirEntry) -> Option<File> {
    let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
    let file = is_file.then(|| File::open(entry.path()).ok())??;
    file.try_lock().is_ok().then_some(file)
}
