//! Clause D8: what goes, what stays, and that its space is given back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::ports::{
    ClockTrust, History, Housekeeping, PruneRule, PruneSlice, RegistrationStore, StoredExecution,
    Window,
};
use executor_core::{ExecutionRecord, RegistrationId, Status};
use executor_testkit as kit;
use telemetry_store::SqliteStore;

use crate::support::{Database, persist};

async fn prune(store: &SqliteStore, rule: PruneRule) -> u64 {
    let slice = PruneSlice::new(rule, 1_000);
    let mut gone = 0;
    loop {
        match store.prune(slice).await.unwrap() {
            0 => return gone,
            count => gone += count,
        }
    }
}

/// One execution a second; every third failed.
fn records(count: u64) -> Vec<ExecutionRecord> {
    let listener = kit::listener("hall");
    let record = |number: u64| {
        let mut record = kit::record(&listener, None, number * 1_000);
        if number.is_multiple_of(3) {
            record.status = Status::Error;
            record.failure = Some(Arc::new(executor_core::Failure::deadline()));
        }
        record
    };
    (0..count).map(record).collect()
}

#[tokio::test]
async fn d08_by_age_and_by_outcome_the_old_ones_go_and_the_rollups_stay() {
    let database = Database::new();
    let store = database.open().await;
    let records = records(300);
    let at = |number: usize| records[number].ended_at();
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    let before = database.history().overall(Window::default()).await.unwrap();

    assert_eq!(prune(&store, PruneRule::WentWellBefore(at(150))).await, 100);
    let left = "SELECT count(*) FROM executions WHERE status = 0 AND id < (SELECT max(id) FROM executions) - 150000000";
    assert_eq!(database.number(left), 0);
    assert_eq!(prune(&store, PruneRule::EndedBefore(at(90))).await, 30);
    assert_eq!(database.number("SELECT count(*) FROM executions"), 170);
    assert_eq!(database.number("SELECT count(*) FROM execution_errors"), 70);
    assert_eq!(
        database.number("SELECT count(*) FROM execution_orphans"),
        170
    );
    let after = database.history().overall(Window::default()).await.unwrap();
    assert_eq!(after, before, "what was counted stays counted");
}

#[tokio::test]
async fn d08_what_stands_behind_a_row_that_nobody_knows_is_counted_before_it_goes() {
    let database = Database::new();
    let store = database.open().await;
    let records = records(30);
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    let unknown = "UPDATE executions SET status = 42 WHERE id = (SELECT min(id) FROM executions)";
    database.outside().execute(unknown, []).unwrap();
    let gone = prune(&store, PruneRule::EndedBefore(records[20].ended_at()));
    assert_eq!(gone.await, 20);
    let all = database.history().overall(Window::default()).await.unwrap();
    assert_eq!(all.runs(), 29, "all but the one that nobody knows");
}

#[tokio::test]
async fn d08_of_each_whose_registration_is_gone_only_the_newest_stay_too() {
    let database = Database::new();
    let store = database.open().await;
    let mut records = Vec::new();
    for number in 0..50 {
        records.push(kit::record(&kit::listener("hall"), None, number * 10));
        if number < 5 {
            records.push(kit::record(&kit::job("hall"), None, number * 10));
        }
    }
    persist(&store, &kit::session(), records).await.unwrap();
    assert_eq!(prune(&store, PruneRule::AllButNewest(10)).await, 40);
    let left = "SELECT count(*) FROM executions WHERE kind = 0 AND start_us >= \
                (SELECT max(start_us) FROM executions) - 90000";
    assert_eq!(database.number(left), 10, "the newest");
    assert_eq!(database.number("SELECT count(*) FROM executions"), 15);
}

#[tokio::test]
async fn d08_of_each_listener_and_job_only_the_newest_stay() {
    let database = Database::new();
    let store = database.open().await;
    let (hall, dim) = (kit::listener("hall"), kit::job("dim"));
    let hall_id = store.register(hall.clone()).await.unwrap();
    let dim_id = store.register(dim.clone()).await.unwrap();
    let mut records = Vec::new();
    for number in 0..50 {
        records.push(kit::record(&hall, Some(hall_id), number * 10));
        if number < 5 {
            records.push(kit::record(&dim, Some(dim_id), number * 10));
        }
    }
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    assert_eq!(prune(&store, PruneRule::AllButNewest(20)).await, 30);
    assert_eq!(prune(&store, PruneRule::AllButNewest(20)).await, 0);
    assert_eq!(
        database.number("SELECT count(*) FROM executions WHERE job_id IS NOT NULL"),
        5
    );
    let oldest = records
        .iter()
        .rev()
        .filter(|record| record.trigger.mode().is_none())
        .nth(19);
    let oldest_left =
        database.number("SELECT min(start_us) FROM executions WHERE listener_id IS NOT NULL");
    assert_eq!(oldest_left, oldest.unwrap().started_at.as_micros());
}

#[tokio::test]
async fn d08_80_mb_and_a_cap_5_mb_lower_the_oldest_go_and_the_file_shrinks() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let session = kit::session();
    let size = || {
        let wal = database.path.with_extension("db-wal");
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
        size(&database.path) + size(&wal)
    };
    let mut total = 0;
    // Two rows fill a page.
    while total < 40_000 {
        let record = |number: u64| {
            let mut record = kit::record(&listener, None, total + number);
            record.arguments_json = Some("x".repeat(1_500).into());
            record
        };
        let records = (0..1_000).map(record).collect();
        persist(&store, &session, records).await.unwrap();
        total += 1_000;
    }
    // What a shutdown leaves, so that the cap means the whole.
    prune(&store, PruneRule::LargerThan(u64::MAX)).await;
    let (full, newest) = (size(), "SELECT max(start_us) FROM executions");
    assert!(full > 80_000_000, "{full}");
    let newest_before = database.number(newest);
    let cap = full - 5_000_000;
    let gone = prune(&store, PruneRule::LargerThan(cap)).await;
    assert!(gone > 0);
    assert!(
        size() <= cap && size() >= cap * 95 / 100,
        "{full} {cap} {}",
        size()
    );
    let left = database
        .number("SELECT count(*) FROM executions")
        .unsigned_abs();
    assert_eq!(left + gone, total);
    assert!(left >= total * 85 / 100, "{left} of {total}");
    assert_eq!(database.number(newest), newest_before);
    let oldest = kit::record(&listener, None, gone).started_at.as_micros();
    assert_eq!(
        database.number("SELECT min(start_us) FROM executions"),
        oldest
    );
    let all = database.history().overall(Window::default()).await.unwrap();
    assert_eq!(all.runs(), total);
}

#[tokio::test]
async fn d08_the_hook_sees_rows_before_they_go_and_keeps_them_if_it_panics() {
    let database = Database::new();
    let store = database.open().await;
    let seen: Arc<Mutex<Vec<StoredExecution>>> = Arc::default();
    let (keeper, is_calm) = (Arc::clone(&seen), Arc::new(Mutex::new(false)));
    let calm = Arc::clone(&is_calm);
    let hook = move |rows: &[StoredExecution]| {
        assert!(*calm.lock().unwrap(), "not yet");
        keeper.lock().unwrap().extend_from_slice(rows);
    };
    store.on_prune(hook).unwrap();
    assert!(store.on_prune(|_| {}).is_err());
    let records = records(10);
    let all = PruneSlice::new(
        PruneRule::EndedBefore(
            records[9]
                .ended_at()
                .saturating_add(Duration::from_secs(60)),
        ),
        100,
    );
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    assert!(store.prune(all).await.is_err());
    assert_eq!(database.number("SELECT count(*) FROM executions"), 10);
    *is_calm.lock().unwrap() = true;
    assert_eq!(store.prune(all).await.unwrap(), 10);
    let seen: Vec<_> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|row| row.record.clone())
        .collect();
    assert_eq!(seen, records);
}

#[tokio::test]
async fn d08_each_job_keeps_its_newest_whatever_others_have() {
    let database = Database::new();
    let store = database.open().await;
    let mut records = Vec::new();
    for (name, count) in [("often", 30_u64), ("seldom", 3)] {
        let job = kit::job(name);
        let id = store.register(job.clone()).await.unwrap();
        let record = |number| kit::record(&job, Some(id), number * 10);
        records.extend((0..count).map(record));
    }
    let newest = records[29].started_at.as_micros();
    persist(&store, &kit::session(), records).await.unwrap();
    assert_eq!(prune(&store, PruneRule::AllButNewest(2)).await, 29);
    let left = "SELECT group_concat(name || n, ' ') FROM (SELECT j.name, count(*) AS n \
                FROM executions e JOIN scheduled_jobs j ON j.id = e.job_id GROUP BY j.name)";
    assert_eq!(database.text(left), "often2 seldom2");
    assert_eq!(
        database.number("SELECT max(start_us) FROM executions"),
        newest
    );
}

#[tokio::test]
async fn d08_pruning_gives_way_to_whoever_waits() {
    let database = Database::new();
    let store = Arc::new(database.open().await);
    let (begins, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let hook = move |rows: &[StoredExecution]| {
        begins.send(rows.len()).unwrap();
        may_go.lock().unwrap().recv().unwrap();
    };
    store.on_prune(hook).unwrap();
    let records = records(3);
    let end = records[2].ended_at();
    let slice = move |max_rows| {
        PruneSlice::new(
            PruneRule::EndedBefore(end.saturating_add(Duration::from_secs(60))),
            max_rows,
        )
    };
    persist(&store, &kit::session(), records[..2].to_vec())
        .await
        .unwrap();
    let theirs = Arc::clone(&store);
    let first = tokio::spawn(async move { theirs.prune(slice(1)).await });
    assert_eq!(has_begun.recv().await, Some(1));
    // The writer is busy. What is asked now is asked in this order, and served in the other.
    let session = kit::session();
    let (gone, stored, ()) = tokio::join!(
        store.prune(slice(100)),
        persist(&store, &session, records[2..].to_vec()),
        async {
            go.send(()).unwrap();
            go.send(()).unwrap();
        }
    );
    assert_eq!(stored.unwrap().len(), 1);
    assert_eq!(gone.unwrap(), 2, "with the row that was written meanwhile");
    assert_eq!(first.await.unwrap().unwrap(), 1);
}

/// Rows of forty pages each: what is deleted is measured, not counted.
#[tokio::test]
async fn d08_a_cap_takes_no_more_of_large_rows_than_is_too_much() {
    let database = Database::new();
    let store = database.open().await;
    let mut records = Vec::new();
    for number in 0..400 {
        let mut record = kit::record(&kit::listener("hall"), None, number * 10);
        record.status = Status::Error;
        record.failure = Some(Arc::new(executor_core::Failure {
            error_type: "Large".into(),
            message: "a report".into(),
            report: Some("\u{1F600}".repeat(8_000)),
        }));
        records.push(record);
    }
    persist(&store, &kit::session(), records).await.unwrap();
    prune(&store, PruneRule::LargerThan(u64::MAX)).await;
    let full = std::fs::metadata(&database.path).unwrap().len();
    let cap = full - full / 8;
    let mut slices = Vec::new();
    loop {
        match store
            .prune(PruneSlice::new(PruneRule::LargerThan(cap), 500))
            .await
            .unwrap()
        {
            0 => break,
            rows => slices.push(rows),
        }
    }
    let left = std::fs::metadata(&database.path).unwrap().len();
    assert!(left <= cap && left >= cap - cap / 20, "{full} {cap} {left}");
    // Of eight pages each, so that a slice is a moment's work.
    assert!(slices.iter().all(|rows| *rows <= 80), "{slices:?}");
}

#[tokio::test]
async fn d08_rows_dated_beyond_now_go_first_by_size_and_make_no_others_go_by_number() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let id = store.register(listener.clone()).await.unwrap();
    let record = |number: u64, seconds: u64| {
        let mut record = kit::record(&listener, Some(id), number);
        record.started_at = record
            .started_at
            .saturating_add(Duration::from_secs(seconds));
        record.arguments_json = Some("x".repeat(3_000).into());
        record
    };
    let present: Vec<_> = (0..100).map(|number| record(number, 0)).collect();
    let now = present[99].ended_at();
    let future = (100..150).map(|number| record(number, 86_400 * 365));
    let records = present.iter().cloned().chain(future).collect();
    persist(&store, &kit::session(), records).await.unwrap();
    let count = |which: &str| {
        let ended = format!("start_us + duration_us {which} {}", now.as_micros());
        database.number(&format!("SELECT count(*) FROM executions WHERE {ended}"))
    };
    let slice = |rule, clock| PruneSlice {
        now,
        clock,
        ..PruneSlice::new(rule, 7)
    };

    let newest = slice(PruneRule::AllButNewest(60), ClockTrust::Trusted);
    while store.prune(newest).await.unwrap() > 0 {}
    assert_eq!((count("<="), count(">")), (60, 50));

    let small = PruneRule::LargerThan(1);
    assert!(
        store
            .prune(slice(small, ClockTrust::Doubted))
            .await
            .unwrap()
            > 0
    );
    assert_eq!((count("<="), count(">")), (53, 50), "oldest first, as ever");
    assert!(
        store
            .prune(slice(small, ClockTrust::Trusted))
            .await
            .unwrap()
            > 0
    );
    assert_eq!((count("<="), count(">")), (53, 43));
    while store
        .prune(slice(small, ClockTrust::Trusted))
        .await
        .unwrap()
        > 0
    {}
    assert_eq!((count("<="), count(">")), (0, 0));
}

#[tokio::test]
async fn d08_rows_dated_beyond_now_whose_registration_is_gone_make_no_others_go() {
    let database = Database::new();
    let store = database.open().await;
    let records: Vec<_> = (0..20)
        .map(|number| kit::record(&kit::listener("hall"), None, number * 10))
        .collect();
    let now = records[9].ended_at();
    persist(&store, &kit::session(), records).await.unwrap();
    let slice = PruneSlice {
        now,
        ..PruneSlice::new(PruneRule::AllButNewest(4), 100)
    };
    assert_eq!(store.prune(slice).await.unwrap(), 6);
    assert_eq!(store.prune(slice).await.unwrap(), 0);
    assert_eq!(database.number("SELECT count(*) FROM executions"), 14);
}

#[tokio::test]
async fn d08_registrations_that_are_gone_for_long_go_when_they_have_no_rows() {
    let database = Database::new();
    let store = database.open().await;
    let at = |second: i64| executor_core::Timestamp::from_micros(second * 1_000_000);
    let mut ids = Vec::new();
    for name in ["gone", "with rows", "lately", "alive"] {
        ids.push(store.register(kit::listener(name)).await.unwrap());
    }
    let job = store.register(kit::job("gone")).await.unwrap();
    let row = kit::record(&kit::listener("with rows"), Some(ids[1]), 0);
    persist(&store, &kit::session(), vec![row]).await.unwrap();
    for (id, second) in [(ids[0], 9), (ids[1], 9), (ids[2], 10)] {
        store
            .mark_cancelled(RegistrationId::listener(id), at(second))
            .await
            .unwrap();
    }
    store
        .mark_cancelled(RegistrationId::job(job), at(1))
        .await
        .unwrap();
    // Retired later than it was removed: the later mark counts.
    let retired = format!(
        "UPDATE listeners SET retired_us = 20000000 WHERE id = {}",
        ids[2].get()
    );
    database.outside().execute(&retired, []).unwrap();
    assert_eq!(prune(&store, PruneRule::GoneBefore(at(10))).await, 2);
    assert_eq!(prune(&store, PruneRule::GoneBefore(at(20))).await, 0);
    let left = "SELECT group_concat(name, ', ' ORDER BY id) FROM listeners";
    assert_eq!(database.text(left), "with rows, lately, alive");
    assert_eq!(database.number("SELECT count(*) FROM scheduled_jobs"), 0);
    assert_eq!(prune(&store, PruneRule::GoneBefore(at(21))).await, 1);
}
