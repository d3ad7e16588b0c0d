//! The migrations of the schema `executor`. diesel's own harness keeps its table without a schema, where it would
//! collide with that of the program whose database this is.

use std::error::Error;

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::copy::mark::is_mark;
use crate::sqlite::migrations::MigrationStatus;

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

/// What a program makes of the migrations that a database has.
pub(crate) enum Schema {
    /// It has none.
    None,
    /// It has none, and in the schema is what another program has made.
    Foreign,
    /// It lacks some.
    Older,
    Current,
    /// It has one that the program does not know.
    Newer(String),
}

/// Looks which migrations a database has. Changes nothing.
pub(crate) fn schema(connection: &mut PgConnection) -> Result<Schema, MigrationError> {
    let all = status(connection)?;
    schema_of(connection, &all)
}

/// The same without the mark of an unfinished copy, and whether there is one.
pub(crate) fn schema_below_mark(
    connection: &mut PgConnection,
) -> Result<(Schema, bool), MigrationError> {
    let (marks, all): (Vec<_>, Vec<_>) = status(connection)?
        .into_iter()
        .partition(|it| is_mark(&it.name));
    Ok((schema_of(connection, &all)?, !marks.is_empty()))
}

fn schema_of(
    connection: &mut PgConnection,
    all: &[MigrationStatus],
) -> Result<Schema, MigrationError> {
    if let Some(unknown) = all.iter().find(|it| !it.known) {
        return Ok(Schema::Newer(unknown.name.clone()));
    }
    Ok(match () {
        () if all.iter().all(|it| !it.applied) => match is_foreign(connection)? {
            true => Schema::Foreign,
            false => Schema::None,
        },
        () if all.iter().all(|it| it.applied) => Schema::Current,
        () => Schema::Older,
    })
}

/// Returns whether the schema has anything but the list of migrations.
pub(crate) fn is_foreign(connection: &mut PgConnection) -> QueryResult<bool> {
    let others = "SELECT c.relname::text AS word FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = 'executor' AND c.relname NOT LIKE 'schema!_migrations%' ESCAPE '!' \
                  UNION ALL SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
                  WHERE n.nspname = 'executor' LIMIT 1";
    Ok(!words(connection, others)?.is_empty())
}

/// Every migration that the program or the database knows, oldest first.
pub(crate) fn status(
    connection: &mut PgConnection,
) -> Result<Vec<MigrationStatus>, MigrationError> {
    let (applied, known) = (applied(connection)?, all()?);
    let versions: Vec<String> = known.iter().map(|it| version_of(it.as_ref())).collect();
    let of_known = known
        .iter()
        .zip(&versions)
        .map(|(it, version)| MigrationStatus {
            name: it.name().to_string(),
            applied: applied.contains(version),
            known: true,
        });
    let unknown = applied.iter().filter(|it| !versions.contains(it));
    let of_unknown = unknown.map(|version| MigrationStatus {
        name: version.clone(),
        applied: true,
        known: false,
    });
    Ok(of_known.chain(of_unknown).collect())
}

/// Applies what is missing, all of it or nothing, and returns its names. Of several processes that start at once one
/// migrates, and the others wait for it.
pub(crate) fn up(connection: &mut PgConnection) -> Result<Vec<String>, MigrationError> {
    alone(connection, |connection| {
        match schema_below_mark(connection)?.0 {
            Schema::Foreign => Err(
                "the schema `executor` holds what another program has made: use another database"
                    .into(),
            ),
            Schema::Newer(found) => {
                Err(format!("the database has {found}, which this program does not know").into())
            }
            Schema::None | Schema::Older | Schema::Current => all_up(connection),
        }
    })
}

/// Reverts the newest one that the program knows; `None` if none was left.
pub(crate) fn down(connection: &mut PgConnection) -> Result<Option<String>, MigrationError> {
    if applied(connection)?.is_empty() {
        return Ok(None);
    }
    alone(connection, |connection| {
        let applied = applied(connection)?;
        let Some(newest) = applied.last() else {
            return Ok(None);
        };
        let all = all()?;
        let known = all.iter().find(|it| version_of(it.as_ref()) == *newest);
        let known = known.ok_or_else(|| format!("this program does not know {newest}"))?;
        known.revert(connection)?;
        diesel::sql_query("DELETE FROM executor.schema_migrations WHERE version = $1")
            .bind::<Text, _>(newest)
            .execute(connection)?;
        Ok(Some(known.name().to_string()))
    })
}

/// Does all of it or nothing, while nobody else does.
fn alone<T>(
    connection: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, MigrationError>,
) -> Result<T, MigrationError> {
    const LOCK: &str = "BEGIN; SET LOCAL lock_timeout = '25s'; \
                        SELECT pg_advisory_xact_lock(hashtextextended('executor.schema_migrations', 0))";
    connection.batch_execute(LOCK)?;
    let done = work(connection);
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.batch_execute(end);
    done.and_then(|value| Ok(ended.map(|()| value)?))
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
