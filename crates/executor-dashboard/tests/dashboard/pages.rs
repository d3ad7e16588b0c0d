//! What the pages show.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use executor_core::lines::Lines;
use executor_core::ports::{
    Batch, Gap, Housekeeping as _, MissedReason, MissedRuns, RecordStore as _,
    RegistrationStore as _, ScheduleStore as _, SessionStore as _,
};
use executor_core::{DropReason, ExecutionId, Failure, Status, Timestamp};
use executor_testkit::{MemoryStore, job, listener, record, session};
use serde_json::Value;

use crate::{PAGES, ask, dashboard, get};

/// A text that wants to be more than a text.
const HOSTILE: &str =
    "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;{{7*7}}\u{202e}\u{1b}[31m";

/// A history in which everything that can have a text has a hostile one.
async fn hostile() -> Router {
    let store = MemoryStore::new();
    let session = session();
    store.open_session(Arc::clone(&session)).await.unwrap();
    let (listener, job) = (listener(HOSTILE), job(HOSTILE));
    let row = store.register(listener.clone()).await.unwrap();
    store.register(job.clone()).await.unwrap();
    let now = jiff::Timestamp::now().as_microsecond();
    let mut failed = record(&listener, Some(row), 0);
    failed.started_at = Timestamp::from_micros(now - 60_000_000);
    failed.execution_id = ExecutionId::new(failed.started_at);
    failed.status = Status::Error;
    failed.topic = Some(HOSTILE.into());
    failed.arguments_json = Some(HOSTILE.into());
    failed.failure = Some(Arc::new(Failure {
        error_type: HOSTILE.into(),
        message: HOSTILE.into(),
        report: Some(HOSTILE.into()),
    }));
    let body = format!("10 e [] {HOSTILE}\n");
    failed.lines = Some(Arc::new(Lines::from_parts(1, 1, 9, false, body)));
    let gap = Gap {
        session: session.id,
        reason: DropReason::Overflow.into(),
        count: 3,
        first_at: failed.started_at,
        last_at: failed.started_at,
        entities: vec![(Arc::clone(&listener.entity), 3)],
    };
    let missed = MissedRuns {
        session: Some(session.id),
        entity: Arc::clone(&job.entity),
        reason: MissedReason::Asleep,
        count: 2,
        first_due: failed.started_at,
        last_due: failed.started_at,
    };
    let batch = Batch {
        session: Arc::clone(&session),
        records: vec![failed],
    };
    store.persist(Arc::new(batch)).await.unwrap();
    store.record_gaps(vec![gap]).await.unwrap();
    store.record_missed(vec![missed]).await.unwrap();
    dashboard(store).with_database(HOSTILE).router()
}

pub(crate) async fn figures(router: &Router, path: &str) -> Value {
    let got = ask(router, "GET", path, &[("accept", "application/json")], "").await;
    assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.text);
    serde_json::from_str(&got.text).unwrap()
}

#[tokio::test]
async fn j02_no_text_is_ever_markup() {
    let router = hostile().await;
    let list = figures(&router, "/executions").await;
    let id = list["executions"][0]["id"].as_str().unwrap().to_owned();
    let mut pages: Vec<String> = PAGES.iter().map(|path| (*path).to_owned()).collect();
    pages.extend([
        format!("/executions/{id}"),
        "/handlers/listener/1".into(),
        "/handlers/job/1".into(),
        "/executions?error=%3Cscript%3E&said=%22%3E%3Cscript%3E&app=%3Cscript%3E".into(),
        "/executions?id=%3Cscript%3E".into(),
        "/executions?since=%3Cscript%3E".into(),
        "/%3Cscript%3E".into(),
    ]);
    for path in pages {
        let got = get(&router, &path).await;
        for markup in [
            "<script>",
            "<img",
            "onerror=alert(2)>",
            "'><",
            "</pre><script",
            "\u{202e}",
            "\u{1b}",
        ] {
            assert!(!got.text.contains(markup), "{path} has {markup}");
        }
        if path == "/" || path.starts_with("/executions/0") {
            assert!(got.text.contains("&#60;script&#62;") || got.text.contains("&lt;script&gt;"));
        }
    }
}

#[tokio::test]
async fn j03_every_page_says_what_is_missing() {
    let router = hostile().await;
    for path in PAGES {
        let got = get(&router, path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.text);
        // The session of the test kit ended long ago.
        let wanted =
            "Incomplete: 3 records lost · 2 planned runs missed · no process ran for 1 d 00 h";
        assert!(got.text.contains(wanted), "{path}");
        let figures = figures(&router, path).await;
        let said = figures["frame"]["completeness"].as_str().unwrap();
        assert!(said.starts_with("Nothing is running since "), "{said}");
        assert!(said.ends_with(wanted), "{said}");
        assert_eq!(figures["frame"]["is_complete"], false, "{path}");
    }
    let drawn = get(&router, "/").await.text;
    assert!(drawn.contains("class=\"lost\""));
    let nothing = dashboard(MemoryStore::new()).router();
    for path in PAGES {
        let got = get(&nothing, path).await;
        assert!(got.text.contains("Complete: nothing is missing"), "{path}");
    }
}

#[tokio::test]
async fn j01_each_page_answers_with_its_figures() {
    let router = hostile().await;
    let now = figures(&router, "/").await;
    assert_eq!(
        (now["runs"].as_u64(), now["failed"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(now["failing"][0]["count"], 1);
    let executions = figures(&router, "/executions?status=error").await;
    assert_eq!(executions["executions"][0]["status"], "error");
    let none = figures(&router, "/executions?status=success").await;
    assert_eq!(none["executions"].as_array().unwrap().len(), 0);
    let failed = figures(&router, "/executions?status=failed&said=script&error=ALERT").await;
    let id = failed["executions"][0]["id"].as_str().unwrap();
    let one = figures(&router, &format!("/executions/{id}")).await;
    assert_eq!(one["error_message"], HOSTILE);
    assert_eq!(one["lines"][0]["kind"], "stderr");
    let handlers = figures(&router, "/handlers").await;
    assert_eq!(handlers["handlers"].as_array().unwrap().len(), 2);
    let ledger = figures(&router, "/ledger").await;
    assert_eq!(ledger["gaps"][0]["count"], 3);
    assert_eq!(ledger["missed"][0]["count"], 2);
    let errors = figures(&router, "/errors").await;
    assert_eq!(errors["looked_at"], 1);
    let of_it = figures(&router, "/handlers/listener/1").await;
    assert_eq!(of_it["figures"]["failed"], 1);
    assert_eq!(of_it["year_earlier"]["runs"], 0);
    assert!(of_it["slowest"].is_null());
    let slowest = figures(&router, "/handlers/listener/1?slowest=1").await;
    assert_eq!(slowest["slowest"].as_array().unwrap().len(), 1);
    let listed = figures(&router, "/executions?of=listener/1&status=failed").await;
    assert_eq!(listed["executions"].as_array().unwrap().len(), 1);
    let page = get(&router, "/executions?status=failed").await.text;
    assert_eq!(page.matches(" checked").count(), 4);
}

#[tokio::test]
async fn j01_an_id_leads_to_its_execution() {
    let router = hostile().await;
    let list = figures(&router, "/executions").await;
    let short = list["executions"][0]["short_id"].as_str().unwrap();
    let got = get(&router, &format!("/executions?id={short}&since=7d")).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    let id = list["executions"][0]["id"].as_str().unwrap();
    let to = got.headers["location"].to_str().unwrap();
    assert_eq!(to, format!("/executions/{id}?since=7d"));
    let got = get(&router, "/executions?id=ffffffffff").await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn j01_each_neighbour_is_passed_once_even_if_all_ended_at_once() {
    let (store, session, job) = (MemoryStore::new(), session(), job("dim"));
    store.open_session(Arc::clone(&session)).await.unwrap();
    let row = store.register(job.clone()).await.unwrap();
    let records: Vec<_> = (0..6).map(|_| record(&job, Some(row), 0)).collect();
    let begun = records[0].started_at;
    let records = records.into_iter().map(|mut it| {
        it.started_at = begun;
        it
    });
    let batch = Batch {
        session,
        records: records.collect(),
    };
    store.persist(Arc::new(batch)).await.unwrap();
    let router = dashboard(store.clone()).router();
    let mut ids: Vec<_> = store
        .records()
        .iter()
        .map(|it| it.execution_id.to_string())
        .collect();
    ids.sort();
    for (way, ids) in [
        ("next", ids.clone()),
        ("previous", ids.iter().rev().cloned().collect()),
    ] {
        let (mut passed, mut at) = (vec![ids[0].clone()], ids[0].clone());
        while passed.len() <= ids.len() {
            let one = figures(
                &router,
                &format!("/executions/{at}?since=2026-01-01T00:00:00Z"),
            )
            .await;
            let Some(next) = one[way]["id"].as_str() else {
                break;
            };
            at = next.to_owned();
            passed.push(at.clone());
        }
        assert_eq!(passed, ids, "{way}");
    }
}

#[tokio::test]
async fn j01_nothing_is_loaded_from_elsewhere_and_all_of_it_is_small() {
    let router = dashboard(MemoryStore::new()).router();
    let page = get(&router, "/").await.text;
    let mut bytes = 0;
    for (before, _) in page.match_indices("/assets/") {
        let path: String = page[before..].chars().take_while(|c| *c != '"').collect();
        let got = get(&router, &path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert!(
            got.headers["cache-control"]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        bytes += got.text.len();
    }
    // Without any compression.
    assert!((1_000..60_000).contains(&bytes), "{bytes}");
    for elsewhere in ["http://", "https://", "src=\"//"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[tokio::test]
async fn j05_everything_has_a_name() {
    let router = hostile().await;
    for path in PAGES.into_iter().chain(["/handlers/job/1", "/nothing"]) {
        let page = get(&router, path).await.text;
        assert_eq!(page.matches("<h1>").count(), 1, "{path}");
        assert_eq!(page.matches("<main").count(), 1, "{path}");
        assert!(page.contains("<html lang=\"en\""), "{path}");
        // Every field is within its label, every chart and table that can be scrolled has one.
        let fields = ["<input", "<select"].map(|field| page.matches(field).count());
        let hidden = page.matches("type=\"hidden\"").count();
        assert_eq!(
            page.matches("<label>").count(),
            fields[0] + fields[1] - hidden,
            "{path}"
        );
        let scrolled = page.matches("class=\"wide\"").count();
        assert_eq!(
            page.matches("role=\"region\" tabindex=\"0\" aria-label=")
                .count(),
            scrolled,
            "{path}"
        );
        assert_eq!(
            page.matches("<svg").count(),
            page.matches("<svg role=\"group\" aria-label=").count()
                + page
                    .matches("<svg role=\"img\" class=\"spark\" aria-label=")
                    .count(),
            "{path}"
        );
    }
}
