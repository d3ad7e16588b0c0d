//! Making a database: beside its path under a name of its own, whole, and only then under its name. So whatever ends
//! a creation, at any instant, there is nothing at the path, or a database.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use diesel::Connection;
use diesel::sqlite::SqliteConnection;
use executor_core::{SessionId, Timestamp};

use crate::sqlite::open::address::{FILE_MODE, SUFFIXES, beside, uri};
use crate::sqlite::open::error::{OpenError, Opening};
use crate::sqlite::open::pragma::{PROBE_AGAIN_MS, set_up_new};
use crate::sqlite::open::probe::is_blank;

/// How many links a path may lead through.
const LINKS_MAX: u32 = 40;

/// Makes an empty database of ours where nothing is, or a file without anything in it. Whoever is faster, another starter or
/// another program, has the path; the caller looks again.
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
            // What stays behind is removed by the next one that makes it.
            let _ = fs::remove_file(beside(&unfinished, suffix));
        }
        if made? == Made::Done {
            return Ok(());
        }
    }
    Err(unreachable(io::Error::other(
        "what is made there is taken away",
    )))
}

/// How often others may take away what is being made.
const TRIES_MAX: u32 = 20;

#[derive(PartialEq, Eq)]
enum Made {
    Done,
    /// Another starter took it for one whose maker is gone: it looked in a moment in which it was not locked.
    TakenAway,
}

fn make(path: &Path, unfinished: &Path, mode: u32) -> Result<Made, OpenError> {
    let unreachable = |source| OpenError::Unreachable {
        path: path.to_owned(),
        source,
    };
    let file = new_file(unfinished, mode).map_err(unreachable)?;
    // Says that its maker lives.
    file.lock().map_err(unreachable)?;
    if !unfinished.exists() {
        return Ok(Made::TakenAway);
    }
    let mut connection = SqliteConnection::establish(&uri(unfinished, "mode=rw")?).opening()?;
    set_up_new(&mut connection)?;
    drop(connection);
    // Before it has its name: closing a file drops the locks that SQLite holds on it in this process.
    drop(file);
    // One starter at a time: what lies at the path stays as it is looked at.
    let _alone = lock_directory(path);
    match give_name(unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Made::TakenAway),
        named => named.map(|()| Made::Done).map_err(unreachable),
    }
}

/// A file that was not there, with this mode whatever the process's mask.
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

/// How many times a starter looks whether another one is done. A lock that stays is somebody else's.
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

/// Nothing that is at the path by now is replaced, but a file without anything in it, whose mode stays.
fn give_name(unfinished: &Path, path: &Path) -> io::Result<()> {
    if fs::exists(path)? {
        if !is_blank(path) {
            return Ok(());
        }
        move_leftovers_aside(path)?;
        fs::set_permissions(unfinished, fs::metadata(path)?.permissions())?;
        return match fs::rename(unfinished, path) {
            // It is mounted there by itself, as containers do. A page at once is there whole or not at all.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                fs::write(path, fs::read(unfinished)?)
            }
            renamed => renamed,
        };
    }
    move_leftovers_aside(path)?;
    match fs::hard_link(unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some file systems know no links.
        Err(error) if is_without_links(&error) => fs::rename(unfinished, path),
        linked => linked,
    }
}

/// SQLite would take the log or the journal of a database that is gone for one of the new database, and damage it.
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
            "moved aside what belongs to a database that is gone"
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

/// Where a path leads: its links followed, to a file that may not be there.
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
    Err(io::Error::other("it leads through links in a circle"))
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

/// Removes what was left by those that were killed while they made this database.
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
        // Held until it is gone: a maker that gets its lock later finds that it was taken away.
        let Some(_held) = abandoned(&entry) else {
            continue;
        };
        for suffix in SUFFIXES.into_iter().chain([""]) {
            let _ = fs::remove_file(beside(&entry.path(), suffix));
        }
    }
}

/// The file, locked, if its maker is gone. Nobody but its maker ever has such a file open.
fn abandoned(entry: &fs::DirEntry) -> Option<File> {
    let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
    let file = is_file.then(|| File::open(entry.path()).ok())??;
    file.try_lock().is_ok().then_some(file)
}
