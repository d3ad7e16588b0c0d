//! The migrations of the schema `executor`. diesel's own harness keeps its table without a schema, where it would
//! collide with that of the program whose database this is.

use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

pub(crate) type MigrationError = Box<dyn Error + Send + Sync>;

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    word: String,
}

fn words(connection: &mut PgConnection, question: &str) -> QueryResult<Vec<String>> {
    let words: Vec<Word> = diesel::sql_query(question).load(connection)?;
    Ok(words.into_iter().map(|it| it.word).collect())
}

/// Returns the versions that a database has. Makes nothing.
fn applied(connection: &mut PgConnection) -> QueryResult<Vec<String>> {
    let table =
        "SELECT 'there' AS word WHERE to_regclass('executor.schema_migrations') IS NOT NULL";
    if words(connection, table)?.is_empty() {
        return Ok(Vec::new());
    }
    let versions = "SELECT version AS word FROM executor.schema_migrations ORDER BY version";
    words(connection, versions)
}

fn all() -> Result<Vec<Box<dyn Migration<Pg>>>, MigrationError> {
    let mut all: Vec<Box<dyn Migration<Pg>>> = MigrationSource::<Pg>::migrations(&MIGRATIONS)?;
    all.sort_by_key(|migration| migration.name().version().as_owned());
    Ok(all)
}

fn version_of(migration: &dyn Migration<Pg>) -> String {
    migration.name().version().to_string()
}

/// Returns a version of a database that this program does not have.
pub(crate) fn unknown(connection: &mut PgConnection) -> Result<Option<String>, MigrationError> {
    let known: Vec<String> = all()?.iter().map(|it| version_of(it.as_ref())).collect();
    let mut applied = applied(connection)?.into_iter();
    Ok(applied.find(|version| !known.contains(version)))
}

/// Returns whether a database has every migration; `None` if it has none.
pub(crate) fn is_up_to_date(connection: &mut PgConnection) -> Result<Option<bool>, MigrationError> {
    let applied = applied(connection)?;
    if applied.is_empty() {
        return Ok(None);
    }
    let all = all()?;
    let mut all = all.iter().map(|it| version_of(it.as_ref()));
    Ok(Some(all.all(|version| applied.contains(&version))))
}

/// Applies what is missing, all of it or nothing, and returns its names. Of several processes that start at once one
/// migrates, and the others wait for it.
pub(crate) fn up(connection: &mut PgConnection) -> Result<Vec<String>, MigrationError> {
    const LOCK: &str = "BEGIN; SET LOCAL lock_timeout = '25s'; \
                        SELECT pg_advisory_xact_lock(hashtextextended('executor.schema_migrations', 0))";
    connection.batch_execute(LOCK)?;
    let done = all_up(connection);
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.batch_execute(end);
    done.and_then(|names| Ok(ended.map(|()| names)?))
}

fn all_up(connection: &mut PgConnection) -> Result<Vec<String>, MigrationError> {
    // `IF NOT EXISTS` asks for the right to create a schema even where it exists.
    let schema = "SELECT nspname::text AS word FROM pg_namespace WHERE nspname = 'executor'";
    if words(connection, schema)?.is_empty() {
        connection.batch_execute("CREATE SCHEMA executor")?;
    }
    connection.batch_execute(
        "CREATE TABLE IF NOT EXISTS executor.schema_migrations \
         (version text PRIMARY KEY, run_on timestamptz NOT NULL DEFAULT now())",
    )?;
    let (has, mut names) = (applied(connection)?, Vec::new());
    for migration in all()? {
        let version = version_of(migration.as_ref());
        if has.contains(&version) {
            continue;
        }
        migration.run(connection)?;
        diesel::sql_query("INSERT INTO executor.schema_migrations (version) VALUES ($1)")
            .bind::<Text, _>(&version)
            .execute(connection)?;
        names.push(migration.name().to_string());
    }
    Ok(names)
}
