//! Migrates one database on a server by hand.

use diesel::pg::PgConnection;

use crate::postgres::address::Address;
use crate::postgres::connect::{ServerError, connect, connect_reader, newer, set_up};
use crate::postgres::migrations::{self, MigrationError};
use crate::sqlite::migrations::MigrationStatus;

/// Applies and reverts the migrations of one database on a server. For maintenance; a store migrates its database
/// itself.
pub struct PostgresMigrator {
    connection: PgConnection,
}

impl PostgresMigrator {
    /// Connects to a database, without migrating it.
    ///
    /// # Errors
    ///
    /// Those of [`PostgresStore::open`](crate::PostgresStore::open).
    pub fn open(url: &str) -> Result<Self, ServerError> {
        Ok(Self {
            connection: connect(&Address::parse(url)?)?,
        })
    }

    /// Applies the pending migrations and returns their names, oldest first.
    ///
    /// # Errors
    ///
    /// Nothing was applied.
    pub fn up(&mut self) -> Result<Vec<String>, MigrationError> {
        migrations::up(&mut self.connection)
    }

    /// Reverts the newest migration and returns its name; `None` if none was left.
    ///
    /// # Errors
    ///
    /// Nothing was reverted.
    pub fn down(&mut self) -> Result<Option<String>, MigrationError> {
        migrations::down(&mut self.connection)
    }

    /// Every migration that the program or the database knows, oldest first.
    ///
    /// # Errors
    ///
    /// The database could not be read.
    pub fn status(&mut self) -> Result<Vec<MigrationStatus>, MigrationError> {
        migrations::status(&mut self.connection)
    }
}

/// Returns the migrations that a database on a server lacks, the oldest first. Changes nothing, and needs no permission
/// to.
///
/// # Errors
///
/// [`ServerError::Absent`] if there is no history, or the reason why it cannot be read.
pub fn pending_on_server(url: &str) -> Result<Vec<String>, ServerError> {
    let address = Address::parse(url)?;
    let mut connection = connect_reader(&address)?;
    let all = migrations::status(&mut connection).map_err(|error| set_up(&address, &*error))?;
    let server = || address.to_string();
    if let Some(found) = all.iter().find(|it| !it.known) {
        return Err(newer(&address, found.name.clone()));
    }
    if all.iter().all(|it| !it.applied) {
        let is_foreign = migrations::is_foreign(&mut connection);
        return Err(
            match is_foreign.map_err(|error| set_up(&address, &error))? {
                true => ServerError::Foreign { server: server() },
                false => ServerError::Absent { server: server() },
            },
        );
    }
    let lacking = all.into_iter().filter(|it| !it.applied);
    Ok(lacking.map(|it| it.name).collect())
}

/// Applies what a database on a server lacks, and returns its names.
///
/// # Errors
///
/// As [`pending_on_server`], or nothing was applied.
pub fn bring_server_up_to_date(url: &str) -> Result<Vec<String>, ServerError> {
    if pending_on_server(url)?.is_empty() {
        return Ok(Vec::new());
    }
    let address = Address::parse(url)?;
    let mut connection = connect(&address)?;
    migrations::up(&mut connection).map_err(|error| set_up(&address, &*error))
}
