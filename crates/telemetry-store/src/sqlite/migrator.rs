//! Migrates one database by hand.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::liveness::FILE_MODE;
use crate::sqlite::migrations::{self, MigrationError};
use crate::sqlite::open::address::Target;
use crate::sqlite::open::error::OpenError;
use crate::sqlite::open::pragma::Patience;
use crate::sqlite::open::{connect, open_any_reader};

pub use crate::sqlite::migrations::MigrationStatus;

/// Applies and reverts the migrations of one database. For maintenance; a store migrates its database itself.
pub struct Migrator {
    connection: SqliteConnection,
}

impl Migrator {
    /// Opens a database, which may be absent or empty, without migrating it.
    ///
    /// # Errors
    ///
    /// The same as those of opening a store; a foreign file is left exactly as it was.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        let target = Target::parse(url)?;
        Ok(Self {
            connection: connect(&target, Patience::Opening, FILE_MODE)?,
        })
    }

    /// Opens a database that must be there already.
    ///
    /// # Errors
    ///
    /// [`OpenError::Absent`] if there is no database, or those of [`Self::open`].
    pub fn open_existing(url: &str) -> Result<Self, OpenError> {
        match Target::parse(url)?.path() {
            Some(path) if !path.exists() => Err(OpenError::Absent {
                path: path.to_owned(),
            }),
            _ => Self::open(url),
        }
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

    /// Returns the schema as SQL: every table, index, trigger and view, in an order in which they can be
    /// created.
    ///
    /// # Errors
    ///
    /// The database could not be read.
    pub fn dump(&mut self) -> Result<String, MigrationError> {
        diesel::table! {
            sqlite_master (rowid) { rowid -> BigInt, name -> Text, sql -> Nullable<Text>, }
        }
        let all: Vec<Option<String>> = sqlite_master::table
            .filter(diesel::dsl::not(sqlite_master::name.like("sqlite%")))
            .filter(diesel::dsl::not(sqlite_master::name.like("%diesel%")))
            .order(sqlite_master::rowid)
            .select(sqlite_master::sql)
            .load(&mut self.connection)?;
        let statements = all.into_iter().flatten();
        Ok(statements.map(|sql| sql + ";\n\n").collect())
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

/// Returns the migrations that a database lacks, the oldest first. Changes nothing, and needs no permission to.
///
/// # Errors
///
/// [`OpenError::Absent`] if there is no database, or the reason why it cannot be read.
pub fn pending(url: &str) -> Result<Vec<String>, OpenError> {
    let (mut connection, _) = open_any_reader(&Target::parse(url)?)?;
    let all = migrations::status(&mut connection).map_err(OpenError::Migrate)?;
    let pending = all.into_iter().filter(|migration| !migration.applied);
    Ok(pending.map(|migration| migration.name).collect())
}
