//! Several processes open one database, and some are killed while they migrate it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use executor_core::ports::{Batch, RecordStore};
use executor_testkit::{TempDatabase, listener, record, session};
use telemetry_store::migrate::Migrator;

use crate::support::number;

const OPENER: &str = env!("CARGO_BIN_EXE_opener");

fn opener(database: &Path) -> Child {
    let mut opener = Command::new(OPENER);
    opener.arg(database).stdout(Stdio::null());
    opener.spawn().unwrap()
}

const APPLIED: &str = "SELECT count(*) FROM __diesel_schema_migrations";

#[test]
fn d05_processes_that_start_at_once_on_an_absent_file_all_open_it() {
    for _ in 0..5 {
        let database = TempDatabase::absent();
        let starters: Vec<_> = (0..4).map(|_| opener(&database.path())).collect();
        for mut starter in starters {
            assert!(starter.wait().unwrap().success());
        }
        let known = Migrator::open(&database.url()).unwrap().status().unwrap();
        assert_eq!(
            number(&database.path(), APPLIED).unsigned_abs(),
            known.len() as u64
        );
    }
}

/// A database of an older version, with rows in it.
async fn older() -> TempDatabase {
    let database = TempDatabase::new();
    let store = database.open().await.unwrap();
    let records = (0..2_000)
        .map(|at| record(&listener("hall"), None, at))
        .collect();
    let batch = Batch {
        session: session(),
        records,
    };
    store.persist(batch.into()).await.unwrap();
    store.close().await.unwrap();
    let mut migrator = Migrator::open(&database.url()).unwrap();
    while migrator
        .status()
        .unwrap()
        .iter()
        .filter(|migration| migration.applied)
        .count()
        > 2
    {
        migrator.down().unwrap();
    }
    database
}

#[tokio::test]
async fn d05_killed_in_the_middle_of_a_migration_it_is_whole_and_the_next_one_migrates() {
    let older = older().await;
    let whole = TempDatabase::absent();
    std::fs::copy(older.path(), whole.path()).unwrap();
    let begun = Instant::now();
    assert!(opener(&whole.path()).wait().unwrap().success());
    let takes = begun.elapsed();
    let mut half_way = 0;
    for kill in 0..40 {
        let database = TempDatabase::absent();
        std::fs::copy(older.path(), database.path()).unwrap();
        let mut victim = opener(&database.path());
        // From the first instant to the last.
        std::thread::sleep(takes.mul_f64(f64::from(kill) / 40.0));
        let died = victim.try_wait().unwrap().is_none();
        victim.kill().unwrap();
        victim.wait().unwrap();
        half_way += u32::from(died);
        let applied = number(&database.path(), APPLIED);
        let all = Migrator::open(&database.url()).unwrap().status().unwrap();
        assert!(applied == 2 || applied.unsigned_abs() == all.len() as u64);
        let store = database.open().await.unwrap();
        store.close().await.unwrap();
        let rows = "SELECT count(*) FROM executions_v";
        assert_eq!(number(&database.path(), rows), 2_000);
        let rolled_up = "SELECT sum(success) FROM rollups WHERE span_us = 3600000000";
        assert_eq!(number(&database.path(), rolled_up), 2_000);
        let sound = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'";
        assert_eq!(number(&database.path(), sound), 1);
    }
    assert!(half_way > 0, "none was killed in time ({takes:?})");
    assert!(takes < Duration::from_secs(30));
}
