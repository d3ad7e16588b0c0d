//! The schema: its migrations there and back, and that `schema.rs` is what they make.

use std::collections::BTreeMap;
use std::time::Duration;

use executor_core::DropReason;
use executor_core::ports::{Gap, History, Housekeeping, SessionStore, Window};
use executor_testkit as kit;

use telemetry_store::migrate::Migrator;

use crate::support::{Database, cause, persist};

/// Every table, view, index and trigger as SQL.
fn schema(database: &Database) -> BTreeMap<String, String> {
    let query = "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'";
    let outside = database.outside();
    let mut statement = outside.prepare(query).unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn migrations_go_up_down_and_up_again() {
    let database = Database::new();
    let mut migrator = Migrator::open(database.url()).unwrap();
    assert!(
        migrator
            .status()
            .unwrap()
            .iter()
            .all(|migration| !migration.applied)
    );
    let applied = migrator.up().unwrap();
    assert!(
        migrator
            .status()
            .unwrap()
            .iter()
            .all(|migration| migration.applied)
    );
    let there = schema(&database);
    let mut reverted = Vec::new();
    while let Some(name) = migrator.down().unwrap() {
        reverted.push(name);
    }
    reverted.reverse();
    assert_eq!(reverted, applied);
    let left: Vec<String> = schema(&database).into_keys().collect();
    assert_eq!(left, ["__diesel_schema_migrations"]);
    assert_eq!(migrator.up().unwrap(), applied);
    assert_eq!(schema(&database), there);
    assert_eq!(migrator.up().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn going_one_down_and_up_keeps_every_row() {
    let database = Database::new();
    let store = database.open().await;
    let records = (0..50)
        .map(|at| kit::record(&kit::listener("hall"), None, at))
        .collect();
    persist(&store, &kit::session(), records).await.unwrap();
    drop(store);
    let mut migrator = Migrator::open(database.url()).unwrap();
    assert!(migrator.down().unwrap().is_some());
    assert_eq!(database.number("SELECT count(*) FROM executions"), 50);
    migrator.up().unwrap();
    assert_eq!(database.number("SELECT count(*) FROM executions_v"), 50);
}

#[tokio::test]
async fn an_older_database_is_not_read_before_it_is_migrated() {
    let database = Database::new();
    Migrator::open(database.url()).unwrap().up().unwrap();
    Migrator::open(database.url()).unwrap().down().unwrap();
    let error = database
        .history()
        .summaries(Window::default())
        .await
        .unwrap_err();
    let error = cause(&error);
    assert!(
        error.contains("lacks the migration") && error.contains("_answers"),
        "{error}"
    );
}

/// The columns that `schema.rs` declares, by table.
fn declared() -> BTreeMap<String, Vec<(String, String)>> {
    let source = include_str!("../../src/sqlite/schema.rs");
    let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut table = String::new();
    let lines = source.lines().map(str::trim);
    for line in lines.filter(|line| !line.starts_with("diesel::")) {
        if let Some((name, _)) = line
            .strip_suffix(" {")
            .and_then(|line| line.split_once(" ("))
        {
            table = name.to_owned();
        } else if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            let columns = tables.entry(table.clone()).or_default();
            columns.push((column.to_owned(), kind.to_owned()));
        }
    }
    tables
}

#[test]
fn the_declared_tables_are_those_of_the_catalogue() {
    let database = Database::new();
    Migrator::open(database.url()).unwrap().up().unwrap();
    let outside = database.outside();
    let declared = declared();
    assert_eq!(declared.len(), 24);
    for (table, columns) in &declared {
        let query = "SELECT name, CASE type WHEN 'INTEGER' THEN 'BigInt' WHEN 'TEXT' THEN 'Text' \
                     WHEN 'BLOB' THEN 'Binary' END, \"notnull\" OR pk FROM pragma_table_info(?1)";
        let mut statement = outside.prepare(query).unwrap();
        let rows = statement.query_map([table], |row| {
            let (name, kind, set): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((
                name,
                if set {
                    kind
                } else {
                    format!("Nullable<{kind}>")
                },
            ))
        });
        let found: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
        assert_eq!(&found, columns, "{table}");
    }
}

#[test]
fn tables_are_strict_and_every_reference_says_what_a_deletion_does() {
    let database = Database::new();
    Migrator::open(database.url()).unwrap().up().unwrap();
    let lax = "SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND NOT strict \
               AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_\\_diesel%' ESCAPE '\\'";
    assert_eq!(database.number(lax), 0);
    let silent = "SELECT count(*) FROM pragma_table_list t, pragma_foreign_key_list(t.name) f \
                  WHERE f.on_delete = 'NO ACTION'";
    assert_eq!(database.number(silent), 0);
}

#[tokio::test]
async fn sessions_and_gaps_can_be_read_by_people() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let gap = Gap {
        session: session.id,
        reason: DropReason::Overflow.into(),
        count: 3,
        first_at: session.started_at,
        last_at: session
            .started_at
            .saturating_add(Duration::from_millis(1_500)),
        entities: vec![(kit::listener("hall").entity, 2)],
    };
    store.record_gaps(vec![gap]).await.unwrap();
    let row = "SELECT concat_ws('|', session_id, host, pid, status, started, heartbeat, \
               coalesce(stopped, '-'), lasted_s, dropped) FROM sessions_v";
    let at = "2026-01-01 00:00:00.000000";
    let expected = format!("{}|testhost|4711|running|{at}|{at}|-|0.0|0", session.id);
    assert_eq!(database.text(row), expected);
    let row = "SELECT concat_ws('|', session_id, reason, count, first, last, kind, name, topic, of_it) \
               FROM gaps_v";
    let expected = format!(
        "{}|overflow|3|{at}|2026-01-01 00:00:01.500000|handler|hall|motion.hall|2",
        session.id
    );
    assert_eq!(database.text(row), expected);
}

#[tokio::test]
async fn a_migration_that_fails_half_way_changes_nothing() {
    let database = Database::new();
    let store = database.open().await;
    let batch = vec![kit::record(&kit::listener("hall"), None, 0)];
    persist(&store, &kit::session(), batch).await.unwrap();
    drop(store);
    while Migrator::open(database.url())
        .unwrap()
        .status()
        .unwrap()
        .iter()
        .filter(|migration| migration.applied)
        .count()
        > 2
    {
        Migrator::open(database.url()).unwrap().down().unwrap();
    }
    // The last statement of the last migration finds its name taken.
    let taken = "CREATE TABLE gaps_v (name TEXT)";
    database.outside().execute(taken, []).unwrap();
    let before = schema(&database);
    assert!(Migrator::open(database.url()).unwrap().up().is_err());
    assert_eq!(schema(&database), before);
    database.outside().execute("DROP TABLE gaps_v", []).unwrap();
    database.open().await;
    assert_eq!(database.number("SELECT count(*) FROM executions_v"), 1);
}
