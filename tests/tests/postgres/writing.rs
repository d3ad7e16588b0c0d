//! Clause H2: how a batch is written, and that whatever way it goes, everything adds up.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::Housekeeping;
use executor_core::ports::{
    Batch, Fate, PruneRule, PruneSlice, RecordStore, RegistrationStore, Session, SessionStore,
};
use executor_core::registration::Registration;
use executor_core::{ExecutionRecord, Failure, RowId, Status};
use executor_testkit as kit;
use telemetry_store::PostgresStore;

use crate::server;

/// A listener with its row.
struct Hall(Registration, RowId);

impl Hall {
    async fn of(store: &PostgresStore, name: &str) -> Self {
        let registration = kit::listener(name);
        let row = store.register(registration.clone()).await.unwrap();
        Self(registration, row)
    }

    fn records(&self, from: u64, count: u64) -> Vec<ExecutionRecord> {
        let all = from..from + count;
        all.map(|at| kit::record(&self.0, Some(self.1), at))
            .collect()
    }
}

async fn persist(
    store: &PostgresStore,
    session: &Arc<Session>,
    records: Vec<ExecutionRecord>,
) -> Vec<Fate> {
    let session = Arc::clone(session);
    store
        .persist(Arc::new(Batch { session, records }))
        .await
        .unwrap()
}

/// What must be the same: rows, counts of hours, rollups by hour and by day.
const SUMS: &str = "SELECT (SELECT count(*) FROM executor.executions), \
    (SELECT sum(stored - pruned) FROM executor.session_hours), \
    (SELECT sum(success + error + timed_out + cancelled + panicked + skipped + interrupted) FROM executor.rollups \
       WHERE span_us = 3600000000), \
    (SELECT sum(success + error + timed_out + cancelled + panicked + skipped + interrupted) FROM executor.rollups \
       WHERE span_us = 86400000000)";

/// So many everywhere.
fn same(count: usize) -> String {
    format!("{count}|{count}|{count}|{count}")
}

fn sums(database: &str) -> String {
    server().unwrap().ask(SUMS, database).unwrap()
}

#[tokio::test]
async fn h02_a_small_batch_is_one_statement_and_a_large_one_is_copied() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let notes = "CREATE TABLE asked (id serial, question text); \
                 CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
                 'BEGIN INSERT INTO public.asked (question) VALUES (left(current_query(), 15)); RETURN NULL; END'; \
                 CREATE TRIGGER note AFTER INSERT ON executor.executions FOR EACH STATEMENT EXECUTE FUNCTION note()";
    server.ask(notes, &database).unwrap();
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let hall = Hall::of(&store, "hall").await;
    for (from, count) in [(0, 3), (3, 1), (4, 64), (68, 65)] {
        let fates = persist(&store, &session, hall.records(from, count)).await;
        assert!(fates.iter().all(|fate| *fate == Fate::Stored), "{fates:?}");
    }
    let asked = "SELECT string_agg(question, '; ' ORDER BY id) FROM asked";
    assert_eq!(
        server.ask(asked, &database).unwrap(),
        "INSERT INTO exe; WITH rows AS (I; WITH rows AS (I; COPY \"executor\"",
        "the first one finds out about the session"
    );
    assert_eq!(sums(&database), "133|133|133|133");
}

#[tokio::test]
async fn h02_a_batch_with_a_row_that_is_there_or_bad_goes_the_careful_way_and_costs_no_other() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let refuses =
        "ALTER TABLE executor.executions ADD CHECK (error_message IS DISTINCT FROM 'bad')";
    server.ask(refuses, &database).unwrap();
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let hall = Hall::of(&store, "hall").await;
    persist(&store, &session, hall.records(0, 1)).await;
    for count in [10, 100] {
        let old = hall.records(1_000 * count, count);
        persist(&store, &session, old.clone()).await;
        let new = hall.records(1_000 * count + 500, count);
        let mixed = old.iter().chain(&new).cloned().collect();
        let fates = persist(&store, &session, mixed).await;
        let again = fates.iter().filter(|it| **it == Fate::AlreadyThere).count();
        assert_eq!((again as u64, fates.len() as u64), (count, 2 * count));
        let mut bad = hall.records(1_000 * count + 900, count);
        bad[5].status = Status::Error;
        bad[5].failure = Some(Arc::new(Failure {
            error_type: "E".into(),
            message: "bad".into(),
            report: None,
        }));
        let fates = persist(&store, &session, bad).await;
        let aside = fates
            .iter()
            .filter(|it| matches!(it, Fate::SetAside { .. }));
        assert_eq!(aside.count(), 1);
    }
    let expected = 1 + 3 * 110 - 2;
    assert_eq!(sums(&database), same(expected));
}

/// Another process takes records of the same session over, so the rollups are not what the first one remembers.
#[tokio::test]
async fn h02_what_two_write_for_one_session_adds_up() {
    let Some(server) = server() else { return };
    let database = server.database();
    let (store, other) = (
        server.open(&database).await.unwrap(),
        server.open(&database).await.unwrap(),
    );
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let (hall, attic) = (
        Hall::of(&store, "hall").await,
        Hall::of(&store, "attic").await,
    );
    let mut at = 0;
    let mut stored = 0;
    for (place, count) in [5_u64, 80, 1, 64, 65, 2, 300, 7].into_iter().enumerate() {
        for (store, hall) in [(&store, &hall), (&other, &attic), (&other, &hall)] {
            let records = hall.records(at, count);
            at += count;
            stored += persist(store, &session, records).await.len();
        }
        if place == 4 {
            server.cut(&database);
            // Whoever was cut off says so once.
            for store in [&store, &other] {
                let session = Arc::clone(&session);
                let records = Vec::new();
                let _ = store.persist(Arc::new(Batch { session, records })).await;
            }
        }
    }
    assert_eq!(sums(&database), same(stored));
    let versions = "SELECT max(version) > 8 FROM executor.rollups";
    assert_eq!(server.ask(versions, &database).unwrap(), "t");
    // Rows go, and what is counted of them stays.
    let last = hall.records(at, 1)[0].started_at;
    let slice = PruneSlice::new(
        PruneRule::EndedBefore(last.saturating_add(Duration::from_secs(1))),
        100_000,
    );
    assert_eq!(store.prune(slice).await.unwrap() as usize, stored);
    assert_eq!(sums(&database), format!("0|0|{stored}|{stored}"));
}

#[tokio::test]
async fn h02_a_detached_record_is_told_whatever_the_size_of_the_batch() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = server.open(&database).await.unwrap();
    let session = kit::session();
    store.open_session(session.clone()).await.unwrap();
    let hall = Hall::of(&store, "hall").await;
    persist(&store, &session, hall.records(0, 1)).await;
    for count in [4, 90] {
        let mut records = hall.records(count * 1_000, count);
        records.push(kit::record(
            &kit::listener("gone"),
            None,
            count * 1_000 + 999,
        ));
        let fates = persist(&store, &session, records).await;
        let (last, others) = fates.split_last().unwrap();
        assert_eq!(*last, Fate::Detached);
        assert!(
            others.iter().all(|fate| *fate == Fate::Stored),
            "{others:?}"
        );
    }
}
