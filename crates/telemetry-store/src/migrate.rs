//! The migrations, and moving a database along them. They are compiled in, so a program brings
//! the schema that it was built for.

use diesel::prelude::*;
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::address::Target;
use crate::create::FILE_MODE;
use crate::open::{OpenError, Patience, connect};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

type MigrationError = Box<dyn std::error::Error + Send + Sync>;

/// One migration, and whether a database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its name, which begins with its date.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether this program has it. A database may know newer ones.
    pub known: bool,
}

/// Moves one database along its migrations. For chores; a store migrates itself when it opens.
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
    /// There is none, or those of [`Self::open`].
    pub fn open_existing(url: &str) -> Result<Self, OpenError> {
        match Target::parse(url)?.path() {
            Some(path) if !path.exists() => Err(OpenError::Absent {
                path: path.to_owned(),
            }),
            _ => Self::open(url),
        }
    }

    /// Applies what is pending and returns the names, oldest first.
    ///
    /// # Errors
    ///
    /// Nothing was applied.
    pub fn up(&mut self) -> Result<Vec<String>, MigrationError> {
        up(&mut self.connection)
    }

    /// Reverts the newest migration and returns its name; `None` if none was left.
    ///
    /// # Errors
    ///
    /// Nothing was reverted.
    pub fn down(&mut self) -> Result<Option<String>, MigrationError> {
        if applied(&mut self.connection)?.is_empty() {
            return Ok(None);
        }
        self.connection.immediate_transaction(|connection| {
            let version = connection.revert_last_migration(MIGRATIONS)?;
            Ok(Some(name_of(&version.to_string())))
        })
    }

    /// The schema as SQL: every table, index, trigger and view of the database, in the order in which
    /// they can be made.
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
        status(&mut self.connection)
    }
}

pub(crate) fn up(connection: &mut SqliteConnection) -> Result<Vec<String>, MigrationError> {
    // Immediate, or two starters collide half-way.
    connection.immediate_transaction(|connection| {
        let versions = connection.run_pending_migrations(MIGRATIONS)?;
        let names = versions.iter().map(|version| name_of(&version.to_string()));
        Ok(names.collect())
    })
}

pub(crate) fn status(
    connection: &mut SqliteConnection,
) -> Result<Vec<MigrationStatus>, MigrationError> {
    let applied = applied(connection)?;
    let known = names()?;
    let mut all: Vec<MigrationStatus> = known
        .iter()
        .map(|name| MigrationStatus {
            name: name.clone(),
            applied: applied.iter().any(|version| *version == version_of(name)),
            known: true,
        })
        .collect();
    let unknown = applied
        .iter()
        .filter(|version| !known.iter().any(|name| version_of(name) == **version));
    all.extend(unknown.map(|version| MigrationStatus {
        name: version.clone(),
        applied: true,
        known: false,
    }));
    Ok(all)
}

/// The newest migration that this program has.
pub(crate) fn newest() -> String {
    names()
        .ok()
        .and_then(|names| names.into_iter().next_back())
        .unwrap_or_default()
}

fn names() -> Result<Vec<String>, MigrationError> {
    let migrations = diesel::migration::MigrationSource::<Sqlite>::migrations(&MIGRATIONS)?;
    let mut names: Vec<String> = migrations
        .iter()
        .map(|migration| migration.name().to_string())
        .collect();
    names.sort();
    Ok(names)
}

fn name_of(version: &str) -> String {
    let names = names().unwrap_or_default();
    let found = names.into_iter().find(|name| version_of(name) == version);
    found.unwrap_or_else(|| version.to_owned())
}

/// diesel's version of a migration: the part of its name before the underscore, digits only.
fn version_of(name: &str) -> String {
    let stamp = name.split('_').next().unwrap_or(name);
    stamp.chars().filter(char::is_ascii_digit).collect()
}

/// The versions that the database has, without creating diesel's table where it is not there.
fn applied(connection: &mut SqliteConnection) -> Result<Vec<String>, MigrationError> {
    diesel::table! {
        sqlite_master (name) { name -> Text, }
    }
    diesel::table! {
        __diesel_schema_migrations (version) { version -> Text, }
    }
    let tables: i64 = sqlite_master::table
        .filter(sqlite_master::name.eq("__diesel_schema_migrations"))
        .count()
        .get_result(connection)?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    let versions = __diesel_schema_migrations::table
        .select(__diesel_schema_migrations::version)
        .order(__diesel_schema_migrations::version)
        .load(connection)?;
    Ok(versions)
}
