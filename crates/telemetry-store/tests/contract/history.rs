//! Clause D9 about single executions: filters, pages, and that what comes back is what was stored.

use std::collections::HashSet;
use std::time::Duration;

use executor_core::ports::{
    Filter, History, HistoryErrorClass, PageRequest, RecordStore, RegistrationStore, Scope, Window,
};
use executor_core::{ExecutionRecord, RegistrationId, Status, Subject, Timestamp};
use executor_testkit as kit;
use telemetry_store::SqliteHistory;

use crate::support::{Database, persist};

/// All pages of seven, in one list.
async fn all(reader: &SqliteHistory, filter: &Filter) -> Vec<ExecutionRecord> {
    let mut page = PageRequest::first(7);
    let mut all = Vec::new();
    loop {
        let found = reader
            .executions(filter.clone(), page.clone())
            .await
            .unwrap();
        assert!(found.items.len() <= 7);
        all.extend(found.items.into_iter().map(|stored| stored.record));
        match found.next {
            Some(next) => page = page.following(next),
            None => return all,
        }
    }
}

fn at_ms(ms: u64) -> Timestamp {
    kit::session()
        .started_at
        .saturating_add(Duration::from_millis(ms))
}

#[tokio::test]
async fn d09_executions_are_found_by_whose_they_are_how_and_when_they_ended() {
    let database = Database::new();
    let store = database.open().await;
    let (hall, door, dim) = (
        kit::listener("hall"),
        kit::listener("door"),
        kit::job("dim"),
    );
    let hall_id = store.register(hall.clone()).await.unwrap();
    let dim_id = store.register(dim.clone()).await.unwrap();
    let (one, other) = (kit::session(), kit::session());
    let mut records = Vec::new();
    for number in 0..60_u64 {
        let mut record = match number % 3 {
            0 => kit::record(&hall, Some(hall_id), number * 100),
            // Its listener has no row.
            1 => kit::record(&door, None, number * 100),
            _ => kit::record(&dim, Some(dim_id), number * 100),
        };
        if number % 5 == 0 {
            record.status = Status::Cancelled;
        }
        records.push(record);
    }
    persist(&store, &one, records[..30].to_vec()).await.unwrap();
    persist(&store, &other, records[30..].to_vec())
        .await
        .unwrap();
    let reader = database.history();
    let of = |scope: Scope| Filter {
        scope,
        ..Filter::default()
    };
    let ids = |records: &[ExecutionRecord]| -> Vec<_> {
        records.iter().map(|record| record.execution_id).collect()
    };
    let expected = |keep: &dyn Fn(usize) -> bool| -> Vec<_> {
        let kept = (0..60).rev().filter(|number| keep(*number));
        kept.map(|number| records[number].execution_id).collect()
    };
    let is_cancelled = |number: usize| number.is_multiple_of(5);
    let cases: [(Filter, Vec<_>); 9] = [
        (Filter::default(), expected(&|_| true)),
        (
            of(Scope::Registration(RegistrationId::listener(hall_id))),
            expected(&|n| n % 3 == 0),
        ),
        (
            of(Scope::Registration(RegistrationId::job(dim_id))),
            expected(&|n| n % 3 == 2),
        ),
        (of(Scope::App("lights".into())), expected(&|_| true)),
        (of(Scope::App("nobody".into())), expected(&|_| false)),
        (of(Scope::Session(other.id)), expected(&|n| n >= 30)),
        (
            Filter {
                statuses: vec![Status::Cancelled],
                ..of(Scope::App("lights".into()))
            },
            expected(&is_cancelled),
        ),
        (
            Filter {
                statuses: vec![Status::Success],
                ..of(Scope::Session(one.id))
            },
            expected(&|n| n < 30 && !is_cancelled(n)),
        ),
        (
            Filter {
                // They end 5 ms after they begin.
                from: Some(at_ms(1_005)),
                to: Some(at_ms(2_005)),
                ..Filter::default()
            },
            expected(&|n| (10..20).contains(&n)),
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&all(&reader, &filter).await), expected, "{filter:?}");
    }
    let unknown = of(Scope::Session(kit::session().id));
    assert_eq!(all(&reader, &unknown).await, []);
}

#[tokio::test]
async fn d09_what_is_found_is_what_was_stored() {
    let database = Database::new();
    let store = database.open().await;
    let hall = kit::listener("hall");
    let id = store.register(hall.clone()).await.unwrap();
    let session = kit::session();
    let mut records = vec![kit::record(&hall, Some(id), 0)];
    records.push(kit::record(&kit::listener("gone"), None, 10));
    records.push(kit::record(&kit::job("dim"), None, 20));
    let mut failed = kit::record(&hall, Some(id), 30);
    failed.status = Status::TimedOut;
    failed.failure = Some(std::sync::Arc::new(executor_core::Failure {
        report: Some("all of it".into()),
        ..executor_core::Failure::deadline()
    }));
    failed.flags.overran = true;
    failed.flags.timeout_origin = Some(executor_core::TimeoutOrigin::Deadline);
    failed.flags.blocked = Some(Duration::from_millis(140));
    failed.arguments_json = Some("[1]".into());
    records.push(failed);
    persist(&store, &session, records.clone()).await.unwrap();
    let reader = database.history();
    for record in &records {
        let found = reader.execution(record.execution_id).await.unwrap();
        let found = found.unwrap();
        assert_eq!((&found.record, found.session), (record, session.id));
    }
    let nobody = kit::record(&hall, None, 0).execution_id;
    assert_eq!(reader.execution(nobody).await.unwrap(), None);
    let subjects: HashSet<Subject> = records.into_iter().map(|record| record.subject).collect();
    assert_eq!(subjects.len(), 3);
}

#[tokio::test]
async fn d09_executions_that_end_at_the_same_moment_are_all_found_by_it() {
    let database = Database::new();
    let store = database.open().await;
    // The ids of all but one of them have moved up.
    let records: Vec<_> = (0..20)
        .map(|_| kit::record(&kit::listener("hall"), None, 1_000))
        .collect();
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    let ended = records[0].ended_at();
    let filter = Filter {
        from: Some(ended),
        to: Some(ended.saturating_add(Duration::from_micros(1))),
        ..Filter::default()
    };
    assert_eq!(all(&database.history(), &filter).await.len(), 20);
    let before = Filter {
        from: None,
        to: Some(ended),
        ..filter
    };
    assert_eq!(all(&database.history(), &before).await, []);
}

#[tokio::test]
async fn d09_the_executions_of_one_session_are_counted() {
    let database = Database::new();
    let store = database.open().await;
    let sessions = [kit::session(), kit::session()];
    for (session, count) in sessions.iter().zip([3, 5]) {
        let records = (0..count)
            .map(|at| kit::record(&kit::listener("hall"), None, at))
            .collect();
        persist(&store, session, records).await.unwrap();
    }
    let reader = database.history();
    for (session, count) in sessions.iter().zip([3, 5]) {
        assert_eq!(
            reader.count(Window::of_session(session.id)).await.unwrap(),
            count
        );
    }
    assert_eq!(reader.count(Window::default()).await.unwrap(), 8);
}

#[tokio::test]
async fn g02_a_question_that_takes_too_long_says_so() {
    let database = Database::new();
    let store = database.open().await;
    let record = kit::record(&kit::listener("hall"), None, 0);
    persist(&store, &kit::session(), vec![record])
        .await
        .unwrap();
    let history = database.history().with_time_limit(Duration::ZERO);
    let asked = history.executions(Filter::default(), PageRequest::default());
    let error = asked.await.unwrap_err();
    assert_eq!(error.class, HistoryErrorClass::TimedOut);
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("ask for less"), "{why}");
    let asked = history.overall(Window::default()).await.unwrap_err();
    assert_eq!(asked.class, HistoryErrorClass::TimedOut);
}

#[tokio::test]
async fn g02_a_kept_connection_sees_what_is_written_and_that_its_file_was_replaced() {
    let database = Database::new();
    let store = database.open().await;
    let history = database.history();
    let record = |at| vec![kit::record(&kit::listener("hall"), None, at)];
    let session = kit::session();
    for count in 1..=3 {
        persist(&store, &session, record(count)).await.unwrap();
        assert_eq!(history.count(Window::default()).await.unwrap(), count);
    }
    store.close().await.unwrap();
    drop(store);
    let other = Database::new();
    let store = other.open().await;
    persist(&store, &session, record(9)).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    // Whoever puts another file there takes the log of the old one away.
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.path.clone().into_os_string();
        beside.push(suffix);
        let _ = std::fs::remove_file(beside);
    }
    std::fs::rename(&other.path, &database.path).unwrap();
    assert_eq!(history.count(Window::default()).await.unwrap(), 1);
    std::fs::remove_file(&database.path).unwrap();
    let error = history.count(Window::default()).await.unwrap_err();
    assert_eq!(error.class, HistoryErrorClass::Absent);
}
