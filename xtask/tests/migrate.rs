//! `cargo xtask migrate`, each of its words, as a person says them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

fn migrate(database: &Path, words: &[&str]) -> Output {
    Command::new(XTASK)
        .arg("migrate")
        .args(words)
        .env("DATABASE_URL", database)
        .output()
        .unwrap()
}

/// What it printed, where it did what it was told.
fn done(database: &Path, words: &[&str]) -> Vec<String> {
    let output = migrate(database, words);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{words:?}: {said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().map(ToOwned::to_owned).collect()
}

/// What it said, where it refused.
fn refused(database: &Path, words: &[&str]) -> String {
    let output = migrate(database, words);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn up_is_the_default_and_applies_what_is_pending() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("telemetry.db");
    let applied = done(&database, &[]);
    assert!(applied.len() > 1 && applied.iter().all(|line| line.starts_with("applied   20")));
    assert_eq!(done(&database, &["up"]), ["nothing to apply"]);
}

#[test]
fn down_reverts_the_newest_and_the_first_only_when_it_is_meant() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("telemetry.db");
    let applied = done(&database, &["up"]);
    for name in applied[1..].iter().rev() {
        let expected = name.replace("applied ", "reverted");
        assert_eq!(done(&database, &["down"]), [expected]);
    }
    let why = refused(&database, &["down"]);
    assert!(why.contains("say --yes if you mean it"), "{why}");
    done(&database, &["down", "--yes"]);
    assert_eq!(done(&database, &["down"]), ["nothing to revert"]);
}

#[test]
fn redo_reverts_the_newest_and_applies_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("telemetry.db");
    let newest = done(&database, &["up"]).pop().unwrap();
    let before = done(&database, &["dump"]);
    let reverted = newest.replace("applied ", "reverted");
    assert_eq!(done(&database, &["redo"]), [reverted, newest]);
    assert_eq!(done(&database, &["dump"]), before);
}

#[test]
fn status_says_which_are_applied_pending_and_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("telemetry.db");
    let why = refused(&database, &["status"]);
    assert!(why.contains("no database at"), "{why}");
    done(&database, &["up"]);
    let all = done(&database, &["status"]);
    assert!(all.iter().all(|line| line.starts_with("applied   ")));
    done(&database, &["down"]);
    let last = done(&database, &["status"]).pop().unwrap();
    assert!(last.starts_with("pending   "), "{last}");
}

#[test]
fn dump_prints_a_schema_that_makes_the_same_database() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("telemetry.db");
    done(&database, &["up"]);
    let dumped = done(&database, &["dump"]);
    assert_eq!(done(Path::new(":memory:"), &["dump"]), dumped);
    let made = rusqlite::Connection::open_in_memory().unwrap();
    made.execute_batch(&dumped.join("\n")).unwrap();
    let count = "SELECT count(*) FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%diesel%' \
                 AND name NOT LIKE 'sqlite%'";
    let there = rusqlite::Connection::open(&database).unwrap();
    let number = |connection: &rusqlite::Connection| {
        let count = connection.query_row(count, [], |row| row.get::<_, i64>(0));
        count.unwrap()
    };
    assert_eq!(number(&made), number(&there));
    assert!(
        dumped
            .iter()
            .any(|line| line.contains("CREATE TABLE executions"))
    );
}

#[test]
fn new_makes_an_empty_migration_after_all_others_and_refuses_other_names() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("unused.db");
    let at = directory.path().to_str().unwrap();
    for number in ["000001", "000002"] {
        let said = done(&database, &["new", "some_change", "--directory", at]).join("");
        assert!(said.contains(&format!("-{number}_some_change")), "{said}");
        let made = said.trim_start_matches("made ");
        for file in ["up.sql", "down.sql"] {
            let text = std::fs::read_to_string(Path::new(made).join(file)).unwrap();
            assert!(text.starts_with("-- "));
        }
    }
    let why = refused(&database, &["new", "Some Change", "--directory", at]);
    assert!(why.contains("snake case"), "{why}");
    assert!(!database.exists());
}
