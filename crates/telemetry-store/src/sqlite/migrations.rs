//! The migrations, and functions to apply and revert them. They are compiled in, so a program
//! carries the schema that it was built for.

use diesel::prelude::*;
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

pub(crate) type MigrationError = Box<dyn std::error::Error + Send + Sync>;

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

pub(crate) fn up(connection: &mut SqliteConnection) -> Result<Vec<String>, MigrationError> {
    // Immediate, so that two processes that start at once cannot collide half-way.
    connection.immediate_transaction(|connection| {
        let versions = connection.run_pending_migrations(MIGRATIONS)?;
        let names = versions.iter().map(|version| name_of(&version.to_string()));
        Ok(names.collect())
    })
}

/// Reverts the newest one; `None` if none was left.
pub(crate) fn down(connection: &mut SqliteConnection) -> Result<Option<String>, MigrationError> {
    if applied(connection)?.is_empty() {
        return Ok(None);
    }
    connection.immediate_transaction(|connection| {
        let version = connection.revert_last_migration(MIGRATIONS)?;
        Ok(Some(name_of(&version.to_string())))
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

/// Returns the versions that the database has, without creating diesel's table if it is missing.
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
