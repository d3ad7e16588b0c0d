//! Clauses D5, H6 and H7 about the way in: the schema, versions, addresses.

use std::process::{Command, Stdio};
use std::time::Duration;

use executor_core::ports::RegistrationStore;
use executor_testkit as kit;
use telemetry_store::{PostgresMigrator, PostgresStore, ServerError, pending_on_server};

use crate::{options, server};

#[tokio::test]
async fn d05_several_that_start_at_once_make_one_schema() {
    let Some(server) = server() else { return };
    let database = server.database();
    let open = || server.open(&database);
    let (a, b, c, d) = tokio::join!(open(), open(), open(), open());
    for store in [a, b, c, d] {
        store
            .unwrap()
            .register(kit::listener("hall"))
            .await
            .unwrap();
    }
    let versions = "SELECT count(*) FROM executor.schema_migrations";
    assert_eq!(server.ask(versions, &database).unwrap(), "1");
    let hall = "SELECT count(*) FROM executor.listeners_v";
    assert_eq!(server.ask(hall, &database).unwrap(), "1");
}

#[tokio::test]
async fn d05_what_others_keep_in_the_database_is_left_alone() {
    let Some(server) = server() else { return };
    let database = server.database();
    let foreign = "CREATE TABLE executions (id int); INSERT INTO executions VALUES (7); \
                   CREATE TABLE __diesel_schema_migrations (version text)";
    server.ask(foreign, &database).unwrap();
    let store = server.open(&database).await.unwrap();
    store.register(kit::listener("hall")).await.unwrap();
    let theirs = "SELECT id, (SELECT count(*) FROM __diesel_schema_migrations) FROM executions";
    assert_eq!(server.ask(theirs, &database).unwrap(), "7|0");
}

#[tokio::test]
async fn d05_a_newer_schema_is_refused_and_left_as_it_is() {
    let Some(server) = server() else { return };
    let database = server.database();
    drop(server.open(&database).await.unwrap());
    let newer = "INSERT INTO executor.schema_migrations (version) VALUES ('99990101000000')";
    server.ask(newer, &database).unwrap();
    let refused = server.open(&database).await.err().unwrap();
    let ServerError::Newer { found, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(found, "99990101000000");
    assert!(
        refused.to_string().ends_with("use a newer program"),
        "{refused}"
    );
}

#[tokio::test]
async fn h06_nothing_that_is_said_has_the_password() {
    let Some(server) = server() else { return };
    let database = server.database();
    let (options, _home) = options();
    let address = server
        .url(&database)
        .replace("postgres@", "nobody_there:hunter2@");
    let refused = PostgresStore::open_with(&address, options.clone())
        .await
        .err()
        .unwrap();
    let told = format!("{refused} {refused:?}");
    assert!(
        told.contains("nobody_there") && !told.contains("hunter2"),
        "{told}"
    );
    let nowhere = "postgres://me:hunter2@127.0.0.1:1/telemetry";
    let refused = tokio::time::timeout(
        Duration::from_secs(30),
        PostgresStore::open_with(nowhere, options),
    );
    let refused = refused.await.unwrap().err().unwrap();
    let told = format!("{refused} {refused:?}");
    assert!(
        told.starts_with("cannot connect to `127.0.0.1:1/telemetry`: "),
        "{told}"
    );
    assert!(!told.contains("hunter2") && !told.contains('\n'), "{told}");
}

#[tokio::test]
async fn h06_a_database_that_cannot_hold_every_text_is_refused() {
    let Some(server) = server() else { return };
    let latin = format!("latin_{}", server.database());
    let create = format!("CREATE DATABASE {latin} ENCODING 'LATIN1' TEMPLATE template0");
    server.ask(&create, "postgres").unwrap();
    let refused = server.open(&latin).await.err().unwrap();
    assert!(
        matches!(&refused, ServerError::Encoding { found, .. } if found == "LATIN1"),
        "{refused}"
    );
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname = 'executor'";
    assert_eq!(server.ask(made, &latin).unwrap(), "0");
}

#[tokio::test]
async fn d05_every_migration_can_be_reverted_and_leaves_nothing_behind() {
    let Some(server) = server() else { return };
    let database = server.database();
    let url = server.url(&database);
    let absent = pending_on_server(&url).unwrap_err();
    assert!(matches!(absent, ServerError::Absent { .. }), "{absent}");
    let mut migrator = PostgresMigrator::open(&url).unwrap();
    let applied = migrator.up().unwrap();
    assert!(!applied.is_empty() && migrator.up().unwrap().is_empty());
    assert_eq!(pending_on_server(&url).unwrap(), Vec::<String>::new());
    let things = "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = 'executor' AND c.relkind IN ('r', 'v', 'S', 'p')) \
                  + (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
                     WHERE n.nspname = 'executor')";
    let made: u32 = server.ask(things, &database).unwrap().parse().unwrap();
    assert!(made > 30, "{made}");
    let mut reverted = Vec::new();
    while let Some(name) = migrator.down().unwrap() {
        reverted.push(name);
    }
    reverted.reverse();
    assert_eq!(reverted, applied);
    // What is left is the list of migrations.
    assert_eq!(server.ask(things, &database).unwrap(), "1");
    assert_eq!(migrator.up().unwrap(), applied);
}

#[tokio::test]
async fn d05_a_schema_of_the_same_name_that_is_not_ours_is_left_as_it_is() {
    let Some(server) = server() else { return };
    let database = server.database();
    let foreign = "CREATE SCHEMA executor; CREATE TABLE executor.executions (id int); \
                   INSERT INTO executor.executions VALUES (7)";
    server.ask(foreign, &database).unwrap();
    let refused = server.open(&database).await.err().unwrap();
    assert!(matches!(refused, ServerError::Foreign { .. }), "{refused}");
    let theirs = "SELECT (SELECT string_agg(relname, ' ') FROM pg_class c JOIN pg_namespace n \
                  ON n.oid = c.relnamespace WHERE n.nspname = 'executor'), id FROM executor.executions";
    assert_eq!(server.ask(theirs, &database).unwrap(), "executions|7");
}

/// KILLS makes it more.
#[tokio::test]
async fn d05_killed_at_any_moment_of_a_migration_it_is_done_whole_or_not_at_all() {
    let Some(server) = server() else { return };
    let kills = std::env::var("KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut cut_off = 0;
    for kill in 0..kills.unwrap_or(12) {
        let database = server.database();
        let mut starting = Command::new(env!("CARGO_BIN_EXE_tortured"))
            .arg(server.url(&database))
            .args([path("spool"), path("begun"), path("returned")])
            .args(["1", "kill"])
            .env("XDG_STATE_HOME", path("state"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Some have not begun, some are done.
        std::thread::sleep(Duration::from_micros(fastrand::u64(..90_000)));
        starting.kill().unwrap();
        starting.wait().unwrap();
        let versions = "SELECT count(*) FROM executor.schema_migrations";
        let done = server.ask(versions, &database);
        cut_off += u32::from(done.is_err());
        let store = server.open(&database).await;
        let store = store.unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        store.register(kit::listener("hall")).await.unwrap();
        assert_eq!(server.ask(versions, &database).unwrap(), "1", "kill {kill}");
    }
    println!("{cut_off} were killed before it was done");
}
