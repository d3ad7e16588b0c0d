//! What the pages say of a history in which everything they show has happened.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use executor_core::ports::{
    BadLine, Batch, RecordStore as _, RegistrationStore as _, Session, SessionEnd, SessionStatus,
    SessionStore as _, SourceCounts, SourceStore as _, UnheardTopic,
};
use executor_core::registration::{Details, Registration};
use executor_core::{
    Entity, ExecutionId, ExecutionRecord, Failure, Ledger, RowId, SourceTier, Status, Timestamp,
};
use executor_testkit::{MemoryStore, record, session};
use serde_json::Value;

use crate::pages::figures;
use crate::{dashboard, get};

const MINUTE: Duration = Duration::from_secs(60);

/// Two listeners of one name, and a job with a deadline, in a store.
struct Given {
    session: Arc<Session>,
    store: MemoryStore,
    now: Timestamp,
    job: (Registration, RowId),
    halls: [(Registration, RowId); 2],
}

impl Given {
    async fn new() -> Self {
        let store = MemoryStore::new();
        let session = session();
        store.open_session(Arc::clone(&session)).await.unwrap();
        let register = async |entity, timeout| {
            let details = Details {
                timeout,
                ..Details::new(SourceTier::App)
            };
            let registration = Registration::new(entity, details);
            let row = store.register(registration.clone()).await.unwrap();
            (registration, row)
        };
        let hall = |topic: &str| Entity::listener("lights", 0, "hall", topic);
        let deadline = Some(Duration::from_secs(10));
        Self {
            job: register(Entity::job("house", 0, "report"), deadline).await,
            halls: [
                register(hall("motion"), None).await,
                register(hall("door"), None).await,
            ],
            now: Timestamp::from_micros(jiff::Timestamp::now().as_microsecond()),
            store,
            session,
        }
    }

    /// One that ended so many minutes ago.
    fn ended(&self, of: &(Registration, RowId), minutes: u32, took: Duration) -> ExecutionRecord {
        let mut record = record(&of.0, Some(of.1), 0);
        record.duration = took;
        record.started_at = self.now.saturating_sub(MINUTE * minutes + took);
        record.execution_id = ExecutionId::new(record.started_at);
        record
    }

    async fn keep(&self, records: Vec<ExecutionRecord>) {
        let session = Arc::clone(&self.session);
        let batch = Batch { session, records };
        self.store.persist(Arc::new(batch)).await.unwrap();
    }

    fn router(&self) -> Router {
        dashboard(self.store.clone()).router()
    }
}

fn found<'v>(list: &'v Value, name: &str, value: &str) -> &'v Value {
    let mut all = list.as_array().unwrap().iter();
    all.find(|it| it[name] == value)
        .unwrap_or_else(|| panic!("{value} in {list}"))
}

#[tokio::test]
async fn j03_listeners_of_one_name_have_their_own_trends() {
    let given = Given::new().await;
    let [motion, door] = &given.halls;
    let ms = Duration::from_millis(5);
    let mut records: Vec<_> = (1..=6).map(|it| given.ended(motion, it, ms)).collect();
    records.push(given.ended(door, 3, ms));
    records[0].status = Status::Error;
    given.keep(records).await;
    let handlers = figures(&given.router(), "/handlers?since=1h").await;
    for (topic, runs, failed) in [("motion", 6, 1), ("door", 1, 0)] {
        let one = found(&handlers["handlers"], "topic", topic);
        assert_eq!(
            (&one["runs"], &one["failed"]),
            (&runs.into(), &failed.into())
        );
        let trend = one["trend"].as_array().unwrap();
        let sum = |place: usize| {
            trend
                .iter()
                .map(|it| it[place].as_u64().unwrap())
                .sum::<u64>()
        };
        assert_eq!((sum(0), sum(1)), (runs, failed), "{topic}");
        assert!((2..=13).contains(&trend.len()), "{}", trend.len());
    }
}

#[tokio::test]
async fn j03_an_execution_is_seen_beside_what_is_usual() {
    let given = Given::new().await;
    let second = Duration::from_secs(1);
    let mut records: Vec<_> = (10..30)
        .map(|it| given.ended(&given.job, it, second))
        .collect();
    for (number, minutes) in [9, 5, 2].into_iter().enumerate() {
        let mut failed = given.ended(&given.job, minutes, 4 * second);
        failed.due_at = Some(failed.started_at.saturating_sub(second));
        failed.status = Status::Error;
        failed.failure = Some(Arc::new(Failure {
            error_type: "ManifestError".into(),
            message: format!("manifest {number} has no rooms"),
            report: None,
        }));
        records.push(failed);
    }
    let beside = given.ended(&given.halls[0], 2, second);
    let (last, beside_id) = (records[22].execution_id, beside.execution_id);
    records.push(beside);
    given.keep(records.clone()).await;
    let router = given.router();
    let one = figures(&router, &format!("/executions/{last}")).await;
    assert_eq!(
        (&one["alike"]["count"], &one["alike"]["at_least"]),
        (&3.into(), &false.into())
    );
    assert_eq!(one["alike"]["last_id"], last.to_string());
    assert_eq!(one["previous"]["id"], records[21].execution_id.to_string());
    assert_eq!(
        one["last_success"]["id"],
        records[0].execution_id.to_string()
    );
    assert_eq!(one["beside"][0]["id"], beside_id.to_string());
    let page = get(&router, &format!("/executions/{last}")).await.text;
    for wanted in [
        "half within 1.0 s, 95 of 100 within 4.0 s",
        "late by 1.0 s",
        "ran for 4.0 s",
        "class=\"deadline\"",
        "<title>lights/hall: success",
        "This time on the timeline",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    // A success has no kind of failure.
    let success = records[0].execution_id;
    let success = figures(&router, &format!("/executions/{success}")).await;
    assert!(success["alike"].is_null());
    let now = figures(&router, "/?since=28m").await;
    assert_eq!(
        now["slower_than"],
        "in the second half of this time than in the first, as too little ran before"
    );
    assert_eq!(now["failing"][0]["places"][0], "house/report");
}

#[tokio::test]
async fn j03_what_held_a_thread_is_named() {
    let given = Given::new().await;
    let second = Duration::from_secs(1);
    let mut records: Vec<_> = (1..5)
        .map(|it| given.ended(&given.job, it, second))
        .collect();
    records[1].flags.blocked = Some(Duration::from_millis(300));
    records[2].flags.blocked = Some(Duration::from_millis(700));
    records[3].flags.thread_leaked = true;
    given.keep(records.clone()).await;
    let job = figures(&given.router(), "/handlers/job/1").await;
    let held: Vec<_> = job["holding"].as_array().unwrap().iter().collect();
    let longest: Vec<_> = held
        .iter()
        .map(|it| it["longest_poll_us"].as_u64().unwrap())
        .collect();
    assert_eq!(longest, [700_000, 300_000, 0]);
    assert_eq!(held[2]["thread_leaked"], true);
    assert_eq!(held[2]["row"]["id"], records[3].execution_id.to_string());
    assert_eq!(job["looked_at"], 4);
    let settings = job["settings"].as_array().unwrap();
    assert!(
        settings.contains(&serde_json::json!(["deadline", "10.0 s"])),
        "{settings:?}"
    );
}

#[tokio::test]
async fn j03_health_says_what_is_not_as_it_should_be() {
    let given = Given::new().await;
    let router = given.router();
    let says = async |wanted: &str| {
        let health = figures(&router, "/health").await;
        let findings = health["findings"].to_string();
        assert!(findings.contains(wanted), "{wanted}: {findings}");
        health
    };
    says("no process is running").await;
    let topic = UnheardTopic {
        hour_at: given.now,
        last_hour_at: given.now,
        topic: "rain".into(),
        count: 3,
    };
    let bad = BadLine {
        line: 7,
        at: given.now,
        problem: "no topic".into(),
        text: "{}".into(),
    };
    let source = SourceCounts {
        session: given.session.id,
        name: "hub".into(),
        lines: 9,
        events: 8,
        bad_lines: 1,
        unheard: 3,
        topics: vec![topic],
        first_bad_lines: vec![bad],
    };
    given.store.note_sources(vec![source]).await.unwrap();
    let health = says("1 line of sources were no events").await;
    assert_eq!(health["sources"][0]["topics"][0], "rain ×3");
    assert_eq!(health["sources"][0]["bad_line"], "line 7: no topic: {}");
    let report = found(&health["registered"], "what", "house/report");
    assert_eq!(report["path"], "/handlers/job/1");
    assert_eq!(
        health["settings"][5][1],
        "nobody: this dashboard only shows"
    );
    // One that has crashed, as long as that is within the time.
    let end = SessionEnd {
        at: given.now,
        status: SessionStatus::Crashed,
        failure: None,
        ledger: Ledger::default(),
    };
    given
        .store
        .close_session(given.session.id, end)
        .await
        .unwrap();
    says(" crashed today ").await;
    let earlier = figures(&router, "/health?since=2h&until=1h").await;
    assert!(
        !earlier["findings"].to_string().contains("crashed"),
        "{}",
        earlier["findings"]
    );
}
