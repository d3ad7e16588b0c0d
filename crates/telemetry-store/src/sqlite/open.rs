//! Opens a database: probes what is at the path, creates or migrates it, and sets the connection up.
//!
//! Probing a file that is not ours changes nothing; the file is refused.

use std::io;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::copy::mark::is_mark;
use crate::sqlite::classify::is_lock;
use crate::sqlite::migrations;
use crate::sqlite::open::address::{Target, Unaddressable, beside, uri};
use crate::sqlite::open::create::create;
use crate::sqlite::open::error::{OpenError, Opening};
use crate::sqlite::open::pragma::{
    Commits, LAYOUT, Patience, claim, set_up_writer, switch_to_wal, tables,
};
use crate::sqlite::open::probe::{Probed, probe};

pub(crate) mod address;

pub(crate) mod error;

pub(crate) mod pragma;

pub(crate) mod probe;

pub(crate) mod create;

pub(crate) mod file_identity;

/// Opens a database for writing: creates and migrates it if needed, and sets the connection up. A new file gets
/// `mode`.
pub(crate) fn open_writer(
    target: &Target,
    patience: Patience,
    commits: Commits,
    mode: u32,
) -> Result<SqliteConnection, OpenError> {
    try_open_writer(target, patience, commits, mode).map_err(|error| error.of(target))
}

fn try_open_writer(
    target: &Target,
    patience: Patience,
    commits: Commits,
    mode: u32,
) -> Result<SqliteConnection, OpenError> {
    let mut connection = connect(target, patience, mode)?;
    refuse_newer(&mut connection)?;
    // Checked first, because migrating takes the write lock, which another process may hold.
    if first_pending(&mut connection)?.is_some() {
        migrations::up(&mut connection).map_err(OpenError::Migrate)?;
    }
    refuse_read_only(&mut connection).opening()?;
    set_up_writer(&mut connection, target, commits)?;
    Ok(connection)
}

/// Refuses a file that is not writable, because SQLite would silently open it for reading. A held lock is no
/// reason to refuse, so this does not wait for it.
fn refuse_read_only(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    match connection.batch_execute("BEGIN IMMEDIATE; COMMIT") {
        Err(error) if is_lock(&error) => Ok(()),
        result => result,
    }
}

/// Opens an existing database for reading. It must have the schema that this program knows.
/// Also returns whether the connection sees later writes.
pub(crate) fn open_reader(target: &Target) -> Result<(SqliteConnection, bool), OpenError> {
    let (mut connection, follows) = open_any_reader(target)?;
    refuse_older(&mut connection)?;
    Ok((connection, follows))
}

/// Opens it for reading although it may lack migrations.
pub(crate) fn open_any_reader(target: &Target) -> Result<(SqliteConnection, bool), OpenError> {
    let Target::File(path) = target else {
        return Err(OpenError::Address(Unaddressable {
            url: ":memory:".into(),
            why: "an in-memory database cannot be opened a second time; give a path",
        }));
    };
    // SQLite says the same of every obstacle.
    if let Err(Errno::ACCESS) = access(path, Access::READ_OK) {
        return Err(OpenError::Unreachable {
            path: path.clone(),
            source: Errno::ACCESS.into(),
        });
    }
    match probe(path) {
        Probed::Nothing => return Err(OpenError::Absent { path: path.clone() }),
        Probed::Refused(error) => return Err(error),
        Probed::Ours => {}
    }
    let (mut connection, follows) = connect_reader(path).map_err(|error| error.of(target))?;
    refuse_newer(&mut connection)?;
    Ok((connection, follows))
}

/// Opens read-write if permitted, so that the last connection to close removes the WAL's files. Otherwise it creates
/// no such files: they would belong to this user and lock the recorder out. Without a WAL nobody changes the file.
fn connect_reader(path: &Path) -> Result<(SqliteConnection, bool), OpenError> {
    let with =
        |query| {
            let mut connection = SqliteConnection::establish(&uri(path, query)?).opening()?;
            connection.batch_execute(
            "PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192; PRAGMA query_only = ON;",
        ).opening()?;
            tables(&mut connection).opening()?;
            Ok::<_, OpenError>(connection)
        };
    let without_a_trace = || match beside(path, "-wal").exists() {
        true => Ok((with("mode=ro&readonly_shm=1")?, true)),
        false => Ok((with("mode=ro&immutable=1")?, false)),
    };
    if access(path, Access::WRITE_OK).is_err() {
        return without_a_trace();
    }
    match with("mode=rw") {
        Ok(connection) => Ok((connection, true)),
        Err(_) => without_a_trace(),
    }
}

/// Connects to a database of ours and creates it if nothing is there. Does not migrate it.
pub(crate) fn connect(
    target: &Target,
    patience: Patience,
    mode: u32,
) -> Result<SqliteConnection, OpenError> {
    let mut connection = match target {
        Target::Memory => SqliteConnection::establish(":memory:").opening()?,
        Target::File(path) => open_or_create(path, mode)?,
    };
    connection
        .batch_execute(&format!(
            "PRAGMA busy_timeout = {}; {LAYOUT}",
            patience.ms()
        ))
        .opening()?;
    claim(&mut connection, target)?;
    switch_to_wal(&mut connection, patience)?;
    connection
        .batch_execute("PRAGMA foreign_keys = ON")
        .opening()?;
    Ok(connection)
}

/// The number of times that the path may change between the probe and the open.
const CREATIONS_MAX: u32 = 100;

fn open_or_create(path: &Path, mode: u32) -> Result<SqliteConnection, OpenError> {
    for _ in 0..CREATIONS_MAX {
        match probe(path) {
            Probed::Refused(error) => return Err(error),
            Probed::Ours => {
                return SqliteConnection::establish(&uri(path, "mode=rw")?).opening();
            }
            Probed::Nothing => create(path, mode)?,
        }
    }
    Err(OpenError::Unreachable {
        path: path.to_owned(),
        source: io::Error::other("the file keeps appearing and disappearing"),
    })
}

/// Returns whether the database exists and becomes usable as soon as there is space.
pub(crate) fn may_pass(error: &OpenError, target: &Target) -> bool {
    let is_ours = |path| matches!(probe(path), Probed::Ours);
    matches!(error, OpenError::NoSpace { .. }) && target.path().is_some_and(is_ours)
}

fn refuse_newer(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let all = migrations::status(connection).map_err(OpenError::Migrate)?;
    match all.into_iter().rfind(|migration| !migration.known) {
        None => Ok(()),
        Some(unknown) if is_mark(&unknown.name) => Err(OpenError::Unfinished),
        Some(unknown) => Err(OpenError::Newer {
            found: unknown.name,
            known: migrations::newest(),
        }),
    }
}

/// Migrates a database that is new, or an unfinished copy. Returns `false` if it is neither, and lacks migrations.
pub(crate) fn up_for_a_copy(connection: &mut SqliteConnection) -> Result<bool, OpenError> {
    let mut all = migrations::status(connection).map_err(OpenError::Migrate)?;
    let is_copy = all.iter().any(|migration| is_mark(&migration.name));
    all.retain(|migration| !is_mark(&migration.name));
    if let Some(unknown) = all.iter().find(|migration| !migration.known) {
        return Err(OpenError::Newer {
            found: unknown.name.clone(),
            known: migrations::newest(),
        });
    }
    let is_new = all.iter().all(|migration| !migration.applied);
    let is_current = all.iter().all(|migration| migration.applied);
    if !is_current && (is_new || is_copy) {
        migrations::up(connection).map_err(OpenError::Migrate)?;
    }
    Ok(is_current || is_new || is_copy)
}

fn refuse_older(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    match first_pending(connection)? {
        None => Ok(()),
        Some(missing) => Err(OpenError::Older { missing }),
    }
}

fn first_pending(connection: &mut SqliteConnection) -> Result<Option<String>, OpenError> {
    let all = migrations::status(connection).map_err(OpenError::Migrate)?;
    let pending = all.into_iter().find(|migration| !migration.applied);
    Ok(pending.map(|migration| migration.name))
}

#[cfg(test)]
mod tests;
