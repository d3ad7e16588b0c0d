//! Finds out what is at a path without changing anything there.

use std::fs::{self, File, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use crate::sqlite::open::address::{SUFFIXES, beside, uri};
use crate::sqlite::open::error::{OpenError, Opening};
use crate::sqlite::open::pragma::{APPLICATION_ID, PROBE_AGAIN_MS, application_id, tables};
use crate::sqlite::write::row_ids::has_version;

/// The result of a probe.
pub(crate) enum Probed {
    /// Nothing, or a file with nothing in it.
    Nothing,
    /// A database of this project.
    Ours,
    Refused(OpenError),
}

/// Probes a path until two probes agree that it is not ours. A probe ignores locks, so it may see
/// another process's creation half-way; that takes milliseconds, with a journal beside the file
/// meanwhile.
pub(crate) fn probe(path: &Path) -> Probed {
    let mut refusals = 0;
    loop {
        let refused = match probe_once(path) {
            Probed::Refused(error) => error,
            found => return found,
        };
        refusals += 1;
        let is_begun = matches!(refused, OpenError::InTheMaking { .. });
        let being_written = refusals < 100 && (is_begun || beside(path, "-journal").exists());
        if refusals >= 2 && !being_written {
            return Probed::Refused(refused);
        }
        thread::sleep(Duration::from_millis(u64::from(PROBE_AGAIN_MS)));
    }
}

fn probe_once(path: &Path) -> Probed {
    let unreachable = |source| {
        Probed::Refused(OpenError::Unreachable {
            path: path.to_owned(),
            source,
        })
    };
    // Metadata only. Opening a live database file here and closing it again would drop the locks
    // that SQLite holds on it in this process; and opening a device or a pipe has side effects.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Probed::Nothing,
        Err(error) => return unreachable(error),
        Ok(meta) if !meta.is_file() => return not_a_file(path, meta.file_type()),
        Ok(meta) => {
            if let Some(refused) = probe_beside(path) {
                return refused;
            }
            match meta.len() {
                0 if is_locked(path) => {
                    return Probed::Refused(OpenError::InTheMaking {
                        path: path.to_owned(),
                    });
                }
                0 => return Probed::Nothing,
                // Less than the smallest page; SQLite would take it for an empty database.
                1..512 => {
                    return Probed::Refused(OpenError::NotADatabase {
                        path: path.to_owned(),
                    });
                }
                _ => {}
            }
        }
    }
    match owner_without_touching(path) {
        Ok(Owner::Ours) => Probed::Ours,
        Ok(Owner::Nobodys) => Probed::Nothing,
        Ok(Owner::Theirs) => Probed::Refused(OpenError::Foreign {
            path: path.to_owned(),
        }),
        Err(OpenError::SetUp(_)) => Probed::Refused(OpenError::NotADatabase {
            path: path.to_owned(),
        }),
        Err(error) => Probed::Refused(error),
    }
}

/// Refuses non-files beside the database: SQLite opens those too, and would block on a pipe.
fn probe_beside(path: &Path) -> Option<Probed> {
    let real = fs::canonicalize(path).ok()?;
    SUFFIXES.into_iter().find_map(|suffix| {
        let path = beside(&real, suffix);
        let kind = fs::symlink_metadata(&path).ok()?.file_type();
        (!kind.is_file()).then(|| not_a_file(&path, kind))
    })
}

fn not_a_file(path: &Path, kind: FileType) -> Probed {
    let kinds = [
        (kind.is_dir(), "directory"),
        (kind.is_symlink(), "link"),
        (kind.is_fifo(), "pipe"),
        (kind.is_socket(), "socket"),
        (kind.is_block_device() || kind.is_char_device(), "device"),
    ];
    let known = kinds.into_iter().find(|(is_it, _)| *is_it);
    Probed::Refused(OpenError::NotAFile {
        path: path.to_owned(),
        what: known.map_or("special file", |(_, what)| what),
    })
}

/// The owner of a database file.
enum Owner {
    Ours,
    Theirs,
    /// The file has nothing in it, not even a sign of its owner. Earlier versions of this program left such files
    /// when they were killed at the wrong moment.
    Nobodys,
}

/// Returns whether there is a file with nothing in it, not even a sign of its owner.
pub(crate) fn is_blank(path: &Path) -> bool {
    let is_empty = |meta: fs::Metadata| meta.is_file() && meta.len() == 0;
    fs::metadata(path).is_ok_and(is_empty) && !is_locked(path)
        || matches!(owner_without_touching(path), Ok(Owner::Nobodys))
}

/// The start and the length of the bytes that SQLite locks, as its file format documents them.
const LOCKED_BYTES: (u64, u64) = (0x4000_0000, 512);

/// Returns whether another process has an SQLite lock on an empty file and so is about to fill it. No database of
/// this process is such a file, so closing it drops no lock.
fn is_locked(path: &Path) -> bool {
    let (start, length) = LOCKED_BYTES;
    let lock = Flock {
        start,
        length,
        typ: FlockType::WriteLock,
        ..Flock::from(FlockType::WriteLock)
    };
    let file = File::open(path);
    file.is_ok_and(|file| matches!(fcntl_getlk(&file, &lock), Ok(Some(_))))
}

/// Immutable and read-only: no lock, no journal, no shared memory, no recovery.
fn owner_without_touching(path: &Path) -> Result<Owner, OpenError> {
    let mut connection =
        SqliteConnection::establish(&uri(path, "mode=ro&immutable=1")?).opening()?;
    // Without the WAL the file may be shorter than its first page says: a checkpoint writes that
    // page before it has grown the file, and a kill may leave it so. This makes SQLite read it
    // all the same.
    connection
        .batch_execute("PRAGMA writable_schema = ON")
        .opening()?;
    let id = application_id(&mut connection).opening()?;
    if id == APPLICATION_ID {
        return Ok(Owner::Ours);
    }
    // Distinguishes another program's database from a file that is not a database.
    let is_empty = tables(&mut connection).opening()? == 0
        && id == 0
        && !has_version(&mut connection).opening()?;
    // Data that another program has put into a log or a journal is not visible here.
    let is_empty = is_empty
        && !SUFFIXES
            .into_iter()
            .any(|suffix| beside(path, suffix).exists());
    Ok(if is_empty {
        Owner::Nobodys
    } else {
        Owner::Theirs
    })
}
