//! A database with something in every column of every table, and what is in a database, table by table.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

/// Tables that have no rows of a history, or say of themselves how far they are.
const OTHERS: [&str; 4] = [
    "history",
    "rollup_progress",
    "sqlite_sequence",
    "__diesel_schema_migrations",
];

/// Fills a database that has only its tables. No text has a NUL, which a server cannot hold.
pub(crate) fn fill(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(EVERYTHING).unwrap();
    // Databases for tests are copies of one.
    let name = "UPDATE history SET history_id = randomblob(16)";
    connection.execute_batch(name).unwrap();
    for (table, columns) in tables(&connection) {
        for column in columns {
            let question = format!("SELECT count({column}) FROM {table}");
            let filled: i64 = connection
                .query_row(&question, [], |row| row.get(0))
                .unwrap();
            assert!(filled > 0, "{table}.{column} is empty everywhere");
        }
    }
}

/// Says in which row two databases differ.
pub(crate) fn assert_same(one: &[String], other: &[String]) {
    let mut pairs = one.iter().zip(other);
    let differ = pairs.find(|(one, other)| one != other);
    assert_eq!(differ, None);
    assert_eq!(one.len(), other.len());
}

/// Every row of every table.
pub(crate) fn dump(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let tables = tables(&connection).into_iter();
    let rows = tables.flat_map(|(table, columns)| rows(&connection, &table, &columns));
    rows.collect()
}

fn tables(connection: &Connection) -> Vec<(String, Vec<String>)> {
    let question = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c \
                    WHERE m.type = 'table' ORDER BY m.name, c.cid";
    let mut statement = connection.prepare(question).unwrap();
    let columns = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let mut tables: Vec<(String, Vec<String>)> = Vec::new();
    for column in columns {
        let (table, column): (String, String) = column.unwrap();
        match tables.last_mut() {
            Some((last, columns)) if *last == table => columns.push(column),
            _ => tables.push((table, vec![column])),
        }
    }
    tables.retain(|(table, _)| !OTHERS.contains(&table.as_str()));
    tables
}

fn rows(connection: &Connection, table: &str, columns: &[String]) -> Vec<String> {
    let question = format!("SELECT * FROM {table}");
    let mut statement = connection.prepare(&question).unwrap();
    let rows = statement.query_map([], |row| {
        let values = (0..columns.len()).map(|at| row.get::<_, Value>(at).unwrap());
        let values = columns.iter().zip(values);
        let values: Vec<String> = values.map(|(name, it)| format!("{name}={it:?}")).collect();
        Ok(format!("{table}: {}", values.join(" ")))
    });
    let mut rows: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
    rows.sort();
    rows
}

const EVERYTHING: &str = r#"
PRAGMA foreign_keys = ON;
BEGIN;
INSERT INTO sessions VALUES
    (1, x'0192aaaaaaaa7aaa8aaaaaaaaaaaaaa1', 'attic', 41, 1000, 9000, 9500, 'failure', 'Broken', 'it broke', 'at 3', 20,
     1, 15, 2, 3, 4, 5, 6, 7, 8, 9, 10, 'power', 1, 3, 2, 'final', 8000, 'house', '1.2', 'c0ffee'),
    (7, x'0192aaaaaaaa7aaa8aaaaaaaaaaaaaa7', 'größe 🏠', 42, 10000, 20000, NULL, 'running', NULL, NULL, NULL, 5, 0, 5, 0,
     0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO listeners VALUES
    (1, 'lights', 0, 'hall', 'motion', 'one', 'app', 3000000, 'turns on', 'if dark', 'a.rs:3', 'macro', 'light.hall', 'queue', 4,
     -2, 1, 100, 200, 'house', '{"a":1}'),
    (2, 'lights', 1, 'hall', 'motion', NULL, 'framework', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL,
     NULL, NULL),
    (3, 'lights', 0, 'gone', 'door', NULL, 'app', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL);
INSERT INTO scheduled_jobs VALUES
    (1, 'house', 0, 'backup', 'back_up', 'cron', 'nightly', '0 3 * * *', 'night', '{}', 'one', 'app', 60000000, 'copies',
     'if idle', 'b.rs:9', 'config', 'disk', 'skip', 2, 3, 1, 300, 400, 5000, 6000, 'house', '[]'),
    (2, 'house', 0, 'gone', NULL, 'every', NULL, NULL, NULL, NULL, NULL, 'app', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     0, 0, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO topics VALUES (1, 'motion/hall');
INSERT INTO executions VALUES
    (3000000, x'0192bbbbbbbb7bbb8bbbbbbbbbbbbbb1', 0, 0, 1, 1, NULL, 2000000, 1000000, 3, 17, 2, 3, 'event 9', 'bus', 'replay',
     '[1]', 1, 1500000, -9),
    (3000001, x'0192bbbbbbbb7bbb8bbbbbbbbbbbbbb2', 1, 1, 1, NULL, 1, 2000001, 1000000, 0, NULL, 0, 1, NULL, NULL, 'schedule',
     NULL, NULL, NULL, NULL),
    (3000002, x'0192bbbbbbbb7bbb8bbbbbbbbbbbbbb3', 0, 5, 7, 3, NULL, 3000002, 0, 8, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL),
    (3000003, x'0192bbbbbbbb7bbb8bbbbbbbbbbbbbb4', 1, 6, 7, NULL, 2, 3000003, 0, 0, NULL, 0, 1, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL);
INSERT INTO execution_errors VALUES (3000001, 'Timeout', 'it took "long" \', 'trace'), (3000003, 'Killed', '', NULL);
DELETE FROM listeners WHERE id = 3;
DELETE FROM scheduled_jobs WHERE id = 2;
INSERT INTO execution_lines VALUES (3000001, 2, 5, 77, 1, '1 o [] one; two');
INSERT INTO gaps VALUES (1, 1, 'overflow', 3, 100, 200), (2, 7, 'rolled_back', 1, 300, 300);
INSERT INTO gap_entities VALUES (1, 0, 'lights', 0, 'hall', 'motion', 2), (1, 1, 'house', 0, 'unknown', '', 1);
INSERT INTO session_hours VALUES (1, 0, 9, 7), (7, -3600000000, 1, 0), (7, 0, 2, 1);
INSERT INTO rollup_entities VALUES (1, 0, 'lights', 0, 'hall', 'motion'), (2, 1, 'house', 0, 'backup', '');
INSERT INTO rollups VALUES
    (3600000000, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, x'010203', 10, 'Timeout: it took'),
    (86400000000, -86400000000, 2, 1, 0, 0, 0, 0, 0, 0, 8, 9, x'0100', NULL, NULL);
UPDATE rollup_progress SET rolled_up_to = 9223372036854775807;
INSERT INTO missed_runs VALUES (1, 'house', 0, 'backup', 'asleep', 2, 500, 600, 7),
    (2, 'house', 0, 'gone', 'down', 1, 700, 700, NULL);
INSERT INTO pauses VALUES (1, 1, 'house', 0, 'backup', 800, 900), (2, 7, NULL, NULL, NULL, 1000, NULL);
INSERT INTO prunes VALUES (1, 1, 'max_age', 0, 5, 10, 20), (2, NULL, 'by_hand', 0, 2, 30, 40);
INSERT INTO sources VALUES (1, 1, 'bus', 10, 8, 1, 3), (2, 7, 'bus', 1, 1, 0, 0);
INSERT INTO source_topics VALUES (1, 0, 'unheard', 3);
INSERT INTO source_bad_lines VALUES (1, 4, 50, 'no JSON', '{');
INSERT INTO actions VALUES (1, 7, 60, 'someone', '127.0.0.1', 'run', 'house/backup', 'done'),
    (2, NULL, 61, 'someone', '::1', 'pause', 'all', 'refused');
INSERT INTO schedules VALUES (1, 1, 70, 80, 'every 5m', NULL, 0, 'skip', 0), (2, 1, 80, NULL, '0 3 * * *', 'UTC', 9, 'once', 1);
INSERT INTO session_registrations VALUES (1, 0, 1, 90, 95), (7, 1, 1, 96, NULL);
COMMIT;
"#;
