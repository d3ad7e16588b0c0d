//! What is at a path, found out without changing anything there.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;

use crate::address::{beside, uri};
use crate::open::{APPLICATION_ID, LOOK_AGAIN_MS, OpenError, application_id, tables};

/// What a look has found.
pub(crate) enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A database of this project.
    Ours,
    Refused(OpenError),
}

/// Looks at a path until two looks agree that it is not ours. A look ignores locks, so it may
/// see another starter's creation half-way; that takes milliseconds and leaves a journal beside
/// the file while it lasts.
pub(crate) fn look(path: &Path) -> Found {
    let mut refusals = 0;
    loop {
        let refused = match look_once(path) {
            Found::Refused(error) => error,
            found => return found,
        };
        refusals += 1;
        let being_written = refusals < 100 && beside(path, "-journal").exists();
        if refusals >= 2 && !being_written {
            return Found::Refused(refused);
        }
        thread::sleep(Duration::from_millis(u64::from(LOOK_AGAIN_MS)));
    }
}

fn look_once(path: &Path) -> Found {
    let unreachable = |source| {
        Found::Refused(OpenError::Unreachable {
            path: path.to_owned(),
            source,
        })
    };
    // Metadata only. Opening a live database file here and closing it again would drop the locks
    // that SQLite holds on it in this process.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return unreachable(error),
        Ok(meta) if meta.is_dir() => return unreachable(io::ErrorKind::IsADirectory.into()),
        Ok(meta) if meta.len() == 0 => return Found::Nothing,
        // Less than the smallest page; SQLite would take it for an empty database.
        Ok(meta) if meta.len() < 512 => {
            return Found::Refused(OpenError::NotADatabase {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    match id_without_touching(path) {
        Ok(APPLICATION_ID) => Found::Ours,
        Ok(_) => Found::Refused(OpenError::Foreign {
            path: path.to_owned(),
        }),
        Err(OpenError::SetUp(_)) => Found::Refused(OpenError::NotADatabase {
            path: path.to_owned(),
        }),
        Err(error) => Found::Refused(error),
    }
}

/// Immutable and read-only: no lock, no journal, no shared memory, no recovery.
fn id_without_touching(path: &Path) -> Result<i64, OpenError> {
    let mut connection = SqliteConnection::establish(&uri(path, "mode=ro&immutable=1")?)?;
    // Without the WAL the file may be shorter than its first page says: a checkpoint writes that
    // page before it has grown the file, and a kill may leave it so. This makes SQLite read it
    // all the same.
    connection.batch_execute("PRAGMA writable_schema = ON")?;
    let id = application_id(&mut connection)?;
    if id != APPLICATION_ID {
        // Tells another program's database from a file that is none.
        tables(&mut connection)?;
    }
    Ok(id)
}
