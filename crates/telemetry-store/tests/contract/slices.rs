//! Clause D8: how much goes in one slice, and which pages are given back.

use std::time::Duration;

use executor_core::ports::{ClockTrust, Housekeeping, PruneRule, PruneSlice};
use executor_core::{ExecutionRecord, Timestamp};
use executor_testkit as kit;

use crate::faults::records;
use crate::support::{Database, persist};

const FREE: &str = "SELECT freelist_count FROM pragma_freelist_count";

/// Leaves free pages in the file, as many as other work would.
fn leave_free_pages(database: &Database, pages: usize) -> i64 {
    let outside = database.outside();
    outside
        .execute_batch("CREATE TABLE large (body BLOB) STRICT")
        .unwrap();
    let body = vec![7_u8; pages * 4_096];
    outside
        .execute("INSERT INTO large VALUES (?1)", [body])
        .unwrap();
    outside.execute_batch("DROP TABLE large").unwrap();
    let free = database.number(FREE);
    assert!(free >= pages as i64, "{free}");
    free
}

fn all_but(records: &[ExecutionRecord], kept: usize) -> PruneRule {
    let at: Timestamp = records[records.len() - kept].ended_at();
    PruneRule::EndedBefore(at)
}

/// Pages that were free before are neither taken for freed ones, which would end a slice early, nor given back.
#[tokio::test]
async fn d08_a_slice_counts_and_gives_back_only_the_pages_that_it_frees() {
    let database = Database::new();
    let store = database.open().await;
    let records = records(2_000);
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    let free = leave_free_pages(&database, 700);
    let slice = |rule, rows| PruneSlice::new(rule, rows);
    // One row frees no page.
    let first = PruneRule::EndedBefore(records[1].ended_at());
    assert_eq!(store.prune(slice(first, 500)).await.unwrap(), 1);
    let after_one = database.number(FREE);
    assert!((free - 8..=free).contains(&after_one), "{free} {after_one}");
    assert_eq!(
        store
            .prune(slice(all_but(&records, 5), 1_500))
            .await
            .unwrap(),
        1_500
    );
    let after_many = database.number(FREE);
    assert!(
        after_many <= free && after_many >= free - 64,
        "{free} {after_many}"
    );
}

/// A row of the largest size is a surplus of its own: who took it for a small one would delete several.
#[tokio::test]
async fn d08_a_cap_takes_no_more_of_the_largest_rows_than_is_too_much() {
    let database = Database::new();
    let store = database.open().await;
    let mut records = records(20);
    for record in &mut records {
        record.arguments_json = Some("\u{1F600}".repeat(65_536).into());
    }
    persist(&store, &kit::session(), records).await.unwrap();
    let used = database
        .number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        - database.number(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size",
        );
    let cap = PruneRule::LargerThan(used as u64 - 290_000);
    let mut gone = 0;
    while let rows @ 1.. = store.prune(PruneSlice::new(cap, 500)).await.unwrap() {
        gone += rows;
    }
    assert!((1..=2).contains(&gone), "{gone}");
}

/// By age too, a slice of large rows has few of them.
#[tokio::test]
async fn d08_a_slice_of_large_rows_is_short() {
    let database = Database::new();
    let store = database.open().await;
    let mut records = records(300);
    for record in &mut records {
        record.arguments_json = Some("x".repeat(40_000).into());
    }
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    let slice = PruneSlice::new(all_but(&records, 5), 500);
    // Ten pages each, and 512 pages are a slice: found by steps of 64 rows.
    assert_eq!(store.prune(slice).await.unwrap(), 64);
}

/// What other work has left free is given back once nothing is too much.
#[tokio::test]
async fn d08_where_nothing_is_too_much_free_pages_are_given_back() {
    let database = Database::new();
    let store = database.open().await;
    leave_free_pages(&database, 700);
    let slice = PruneSlice::new(PruneRule::LargerThan(u64::MAX), 500);
    assert_eq!(store.prune(slice).await.unwrap(), 0);
    assert_eq!(database.number(FREE), 0);
}

/// A row is dated beyond now by its end, not by its beginning, and not by an id that had to give way to another.
#[tokio::test]
async fn d08_a_row_that_ends_beyond_now_goes_before_those_that_end_now() {
    let database = Database::new();
    let store = database.open().await;
    let mut records = records(3);
    let now = records[1].ended_at();
    for record in &mut records {
        record.started_at = now.saturating_sub(Duration::from_secs(1));
        record.duration = Duration::from_secs(1);
    }
    records[2].duration = Duration::from_secs(60);
    persist(&store, &kit::session(), records).await.unwrap();
    let slice = PruneSlice {
        now,
        clock: ClockTrust::Trusted,
        ..PruneSlice::new(PruneRule::LargerThan(1), 1)
    };
    assert_eq!(store.prune(slice).await.unwrap(), 1);
    let of_now = "SELECT count(*) FROM executions WHERE duration_us = 1000000";
    assert_eq!(database.number(of_now), 2);
    assert_eq!(database.number("SELECT count(*) FROM executions"), 2);
}
