//! The writer is killed, again and again, in the middle of whatever it does.

use executor_core::ports::{History, Window};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use executor_testkit::TempDatabase;
use telemetry_store::SqliteStore;

use crate::support::number;

const WRITER: &str = env!("CARGO_BIN_EXE_writer");

/// How often; the environment may ask for more.
fn kills() -> u64 {
    let asked = std::env::var("KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok());
    asked.unwrap_or(12)
}

/// Has a process write for so long, kills it, and returns what it had said to be committed.
fn write_and_kill(database: &TempDatabase, after: Duration) -> u64 {
    let mut writer = Command::new(WRITER)
        .arg(database.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut said = lines.next().unwrap().unwrap();
    std::thread::sleep(after);
    writer.kill().unwrap();
    writer.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        // The last line may be half of one.
        if line.starts_with("committed ") && line.ends_with("00") {
            said = line;
        }
    }
    said["committed ".len()..].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_a_killed_writer_loses_no_committed_row_and_its_rollups_are_its_rows() {
    let database = TempDatabase::new();
    let (mut committed, mut counted) = (0, 0);
    for kill in 0..kills() {
        // No pattern, and the same every time.
        let after = Duration::from_millis(kill.wrapping_mul(7_919) % 120);
        let said = write_and_kill(&database, after);
        let rows = number(&database.path(), "SELECT count(*) FROM executions") as u64;
        let new = rows - counted;
        // A batch may have been committed that it did not live to speak of.
        assert!(
            new == said || new == said + 500,
            "{new} rows, {said} committed"
        );
        (committed, counted) = (committed + said, rows);
    }
    assert!(counted >= committed && committed > 0);
    let whole = "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'";
    assert_eq!(number(&database.path(), whole), 1);
    let twice = "SELECT count(*) - count(DISTINCT execution_id) FROM executions";
    assert_eq!(number(&database.path(), twice), 0);
    let all = database.history().overall(Window::default()).await.unwrap();
    let cancelled = "SELECT count(*) FROM executions WHERE status = 3";
    let cancelled = number(&database.path(), cancelled) as u64;
    assert_eq!(
        (all.runs(), all.count(executor_core::Status::Cancelled)),
        (counted, cancelled)
    );

    // And when all of it is rolled up.
    let store = SqliteStore::open(database.path().to_str().unwrap())
        .await
        .unwrap();
    executor_core::ports::RecordStore::close(&store)
        .await
        .unwrap();
    let rolled_up = "SELECT sum(success + cancelled) FROM rollups WHERE span_us = 3600000000";
    assert_eq!(number(&database.path(), rolled_up) as u64, counted);
    let by_day = rolled_up.replace("3600000000", "86400000000");
    assert_eq!(number(&database.path(), &by_day) as u64, counted);
}
