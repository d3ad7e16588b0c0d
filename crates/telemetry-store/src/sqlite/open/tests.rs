//! Opening: pragmas, modes, and what is refused.

use crate::liveness::FILE_MODE;
use std::time::Duration;

use diesel::sql_types::BigInt;

use super::*;
use crate::sqlite::open::pragma::pragma;

#[test]
fn d07_every_pragma_of_a_writer_and_of_a_reader_has_taken() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::File(directory.path().join("telemetry.db"));
    let wanted = [
        ("page_size", "4096"),
        ("auto_vacuum", "2"),
        ("application_id", "1668837987"),
        ("journal_mode", "wal"),
        ("foreign_keys", "1"),
        ("cache_size", "-65536"),
    ];
    // Made, and opened again while somebody waits.
    let ways = [
        (Patience::Opening, Commits::Written, "1"),
        (Patience::Serving, Commits::Synced, "2"),
    ];
    for (patience, commits, level) in ways {
        let mut writer = open_writer(&target, patience, commits, FILE_MODE).unwrap();
        for (name, value) in wanted.into_iter().chain([("synchronous", level)]) {
            assert_eq!(pragma(&mut writer, name).unwrap(), value, "{name}");
        }
        let row: Busy = diesel::sql_query("PRAGMA busy_timeout")
            .get_result(&mut writer)
            .unwrap();
        assert_eq!(row.timeout, 200);
        let row: Checkpoint = diesel::sql_query("PRAGMA wal_autocheckpoint")
            .get_result(&mut writer)
            .unwrap();
        assert_eq!(row.wal_autocheckpoint, 4_000);
    }
    let (mut reader, follows) = open_reader(&target).unwrap();
    assert!(follows);
    for (name, value) in [("query_only", "1"), ("cache_size", "-8192")] {
        assert_eq!(pragma(&mut reader, name).unwrap(), value, "{name}");
    }
}

// These two cannot be asked as tables.
#[derive(QueryableByName)]
struct Busy {
    #[diesel(sql_type = BigInt)]
    timeout: i64,
}

#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = BigInt)]
    wal_autocheckpoint: i64,
}

#[test]
fn d07_a_writer_that_reconnects_does_not_wait_for_another_starter() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::File(directory.path().join("telemetry.db"));
    let mut holder = open_writer(&target, Patience::Opening, Commits::Written, FILE_MODE).unwrap();
    // A database that is still to be migrated, and somebody who is at it.
    let pending = "DELETE FROM __diesel_schema_migrations; BEGIN IMMEDIATE";
    holder.batch_execute(pending).unwrap();
    let begun = std::time::Instant::now();
    assert!(open_writer(&target, Patience::Serving, Commits::Written, FILE_MODE).is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}
