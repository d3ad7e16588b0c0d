//! Clause C4: one batch of a thousand with one bad record of each of twenty kinds. Exactly the bad ones are
//! set aside or detached, each with its reason.
//!
//! Many kinds cannot be written down in this program's types: a status that no enum knows, a negative
//! duration, a fraction, both references at once. A trigger makes them below the types, out of a
//! mark that the record carries. Text that is not UTF-8 cannot get this far; a NUL can, and is stored.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Fate, RegistrationStore};
use executor_core::{DropReason, ExecutionRecord, Failure, RowId, Status, Timestamp, Trigger};
use executor_testkit as kit;

use crate::support::{Database, persist};

/// What is done to the row of a record with this mark, and what is said of it.
const BELOW: [(&str, &str, DropReason, &str); 11] = [
    (
        "a status that no enum knows",
        "status = 99",
        DropReason::Constraint,
        "CHECK",
    ),
    (
        "a kind that no enum knows",
        "kind = 77",
        DropReason::Constraint,
        "CHECK",
    ),
    (
        "both references",
        "job_id = 1",
        DropReason::Constraint,
        "CHECK",
    ),
    (
        "a negative duration",
        "duration_us = -1",
        DropReason::Constraint,
        "CHECK",
    ),
    // What SQLite makes of NaN.
    (
        "no duration",
        "duration_us = NULL",
        DropReason::Constraint,
        "NOT NULL",
    ),
    (
        "a fraction of a time",
        "start_us = 0.5",
        DropReason::Constraint,
        "cannot store REAL",
    ),
    (
        "words for a number",
        "flags = 'many'",
        DropReason::Constraint,
        "cannot store TEXT",
    ),
    (
        "a session that dangles",
        "session_id = 999",
        DropReason::Constraint,
        "parent",
    ),
    (
        "a listener that dangles below",
        "listener_id = 999",
        DropReason::Constraint,
        "parent",
    ),
    (
        "an id that is taken",
        "execution_id = (SELECT min(execution_id) FROM executions)",
        DropReason::Constraint,
        "UNIQUE",
    ),
    (
        "a rule of another program",
        "flags = RAISE(ABORT, 'not on my watch')",
        DropReason::Unstorable,
        "not on my watch",
    ),
];

fn triggers() -> String {
    let trigger = |(number, (mark, does, ..)): (usize, &(&str, &str, DropReason, &str))| {
        format!(
            "CREATE TRIGGER bad{number} AFTER INSERT ON executions WHEN NEW.trigger_id = '{mark}' \
             BEGIN UPDATE executions SET {does} WHERE id = NEW.id; END;"
        )
    };
    let beside = "CREATE TRIGGER bad_error BEFORE INSERT ON execution_errors \
                  WHEN NEW.error_message = 'refused' \
                  BEGIN SELECT RAISE(ABORT, 'no such errors here'); END; \
                  CREATE TRIGGER bad_orphan BEFORE INSERT ON execution_orphans \
                  WHEN NEW.name = 'refused' \
                  BEGIN SELECT RAISE(ABORT, 'no such orphans here'); END;";
    BELOW.iter().enumerate().map(trigger).collect::<String>() + beside
}

/// What must become of a record.
enum Expected {
    Is(Fate),
    Aside(DropReason, &'static str),
}

type Bad = (ExecutionRecord, Expected);

fn marked(mut record: ExecutionRecord, mark: &str) -> ExecutionRecord {
    let (id, origin) = (Some(mark.into()), "outside".into());
    record.trigger = Trigger::Event { id, origin };
    record
}

fn failed(mut record: ExecutionRecord, message: &str) -> ExecutionRecord {
    record.status = Status::Error;
    record.failure = Some(Arc::new(Failure {
        message: message.into(),
        ..Failure::deadline()
    }));
    record
}

/// Twenty-two kinds. `good` makes a record that is stored if nothing is done to it.
fn bad_ones(good: &dyn Fn() -> ExecutionRecord, standing: ExecutionRecord) -> Vec<Bad> {
    let aside = |reason, says| Expected::Aside(reason, says);
    let mut bad: Vec<Bad> = BELOW
        .iter()
        .map(|(mark, _, reason, says)| (marked(good(), mark), aside(*reason, says)))
        .collect();
    let mut huge = good();
    // Two billion characters are more than SQLite holds in a row; a billion suffice.
    huge.arguments_json = Some("x".repeat(1_000_000_001).into());
    bad.push((huge, aside(DropReason::Unstorable, "too big")));
    let refused = failed(good(), "refused");
    bad.push((refused, aside(DropReason::Unstorable, "no such errors")));
    let orphan = kit::record(&kit::listener("refused"), None, 0);
    bad.push((orphan, aside(DropReason::Unstorable, "no such orphans")));
    let (gone, never) = (kit::listener("gone"), kit::job("never"));
    let mut detached = [
        kit::record(&gone, Some(RowId::new(9_999)), 0),
        kit::record(&gone, None, 0),
        kit::record(&never, Some(RowId::new(9_999)), 0),
        kit::record(&never, None, 0),
    ]
    .map(|record| (record, Expected::Is(Fate::Detached)));
    detached[0].0.attempt_number = 2;
    bad.extend(detached);
    bad.push((standing, Expected::Is(Fate::AlreadyThere)));
    let stored = || Expected::Is(Fate::Stored);
    let mut early = good();
    early.started_at = Timestamp::from_micros(-5_000_000);
    bad.push((early, stored()));
    bad.push((failed(good(), "a \0 within"), stored()));
    let twice = good();
    bad.push((twice.clone(), stored()));
    bad.push((twice, Expected::Is(Fate::AlreadyThere)));
    let mut endless = good();
    endless.duration = Duration::MAX;
    bad.push((endless, stored()));
    bad
}

#[tokio::test]
async fn c04_of_a_thousand_records_exactly_the_bad_ones_are_set_aside_each_with_its_reason() {
    let database = Database::new();
    let store = database.open().await;
    let listener = kit::listener("hall");
    let id = store.register(listener.clone()).await.unwrap();
    store.register(kit::job("dim")).await.unwrap();
    let session = kit::session();
    let good = || kit::record(&listener, Some(id), 0);
    let standing = good();
    persist(&store, &session, vec![standing.clone()])
        .await
        .unwrap();
    database.outside().execute_batch(&triggers()).unwrap();

    let mut expected: Vec<Expected> = (0..1_000).map(|_| Expected::Is(Fate::Stored)).collect();
    let mut records: Vec<ExecutionRecord> = (0..1_000).map(|_| good()).collect();
    let bad = bad_ones(&good, standing);
    assert!(bad.len() >= 20);
    for (number, (record, fate)) in bad.into_iter().enumerate() {
        // Scattered, so that each has good ones before and behind it in its statement.
        let place = 7 + number * 39;
        (records[place], expected[place]) = (record, fate);
    }
    let last = records.len() - 1;
    let fates = persist(&store, &session, records).await.unwrap();

    assert_eq!(fates.len(), last + 1);
    let mut rows = 1;
    for (place, (fate, expected)) in fates.iter().zip(&expected).enumerate() {
        match (fate, expected) {
            (fate, Expected::Is(expected)) => assert_eq!(fate, expected, "at {place}"),
            (Fate::SetAside { reason, detail }, Expected::Aside(why, says)) => {
                assert_eq!(reason, why, "at {place}: {detail}");
                assert!(detail.contains(says), "at {place}: {detail}");
            }
            (fate, Expected::Aside(why, _)) => panic!("at {place}: {fate:?}, not {why:?}"),
        }
        rows += i64::from(matches!(fate, Fate::Stored | Fate::Detached));
    }
    let count = |table| database.number(&format!("SELECT count(*) FROM {table}"));
    assert_eq!(count("executions"), rows);
    assert_eq!(
        count("execution_errors"),
        1,
        "none of a row that is not there"
    );
    assert_eq!(count("execution_orphans"), 4);
    assert_eq!(count("pragma_foreign_key_check"), 0);
    let whole = "SELECT hex(error_message) LIKE '%2000207769746869%' FROM execution_errors";
    assert_eq!(database.number(whole), 1, "a NUL hides nothing behind it");
}
