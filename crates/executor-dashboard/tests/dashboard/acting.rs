//! What people may do, and who may not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use executor_core::Status;
use executor_core::ports::{Actions, History as _, PageRequest, RecordedAction, Window};
use executor_dashboard::{Access, Dashboard, Token, Visitor};
use executor_service::{CommandExecutor, JobHandle};
use executor_testkit::MemoryStore;
use serde_json::Value;

use crate::{Got, TOKEN, ask, get, guarded};

/// An executor with a job, and its dashboard.
struct House {
    store: MemoryStore,
    executor: CommandExecutor,
    job: JobHandle,
    router: Router,
}

const COOKIE: (&str, &str) = ("cookie", "executor_7979=0123456789abcdef0123456789abcdef");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const OWN: (&str, &str) = ("origin", "http://127.0.0.1:7979");
const JOB: &str = "/handlers/job/1";
const ACT: &str = "/handlers/job/1/act";

impl House {
    async fn new() -> Self {
        let store = MemoryStore::new();
        let executor = CommandExecutor::builder(store.clone()).start().await;
        let executor = executor.unwrap();
        let job = executor.job("house", "backup").handler_fn(|| async {});
        let job = job.register().await.unwrap();
        let router = acting(&store, &executor).router();
        Self {
            store,
            executor,
            job,
            router,
        }
    }

    /// What a form of this page has to show.
    async fn nonce(&self, path: &str) -> String {
        nonce_of(&self.page(path).await)
    }

    async fn page(&self, path: &str) -> String {
        ask(&self.router, "GET", path, &[COOKIE], "").await.text
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let headers: Vec<_> = headers.iter().copied().chain([FORM]).collect();
        ask(&self.router, "POST", path, &headers, body).await
    }

    async fn recorded(&self) -> Vec<RecordedAction> {
        let page = self
            .store
            .actions(Window::default(), PageRequest::default());
        page.await.unwrap().items
    }
}

fn acting(store: &MemoryStore, executor: &CommandExecutor) -> Dashboard {
    let access = Access::Token(Token::new(TOKEN).unwrap());
    Dashboard::new(Arc::new(store.clone()), access)
        .with_live_state(Arc::new(executor.clone()))
        .with_actions(Arc::new(executor.clone()))
        .for_port(7979)
}

fn nonce_of(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"nonce\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn j02_a_person_runs_pauses_and_resumes_a_job() {
    let house = House::new().await;
    let nonce = house.nonce(JOB).await;
    let act = async |action: &str| {
        let body = format!("action={action}&nonce={nonce}");
        house.post(ACT, &[COOKIE, OWN], &body).await
    };
    let ran = act("run").await;
    assert_eq!(ran.status, StatusCode::SEE_OTHER);
    assert_eq!(ran.headers["location"], JOB);
    assert_eq!(act("pause").await.status, StatusCode::SEE_OTHER);
    let entity = &house.job.job().registration.entity;
    assert_eq!(house.executor.is_paused(entity), Some(true));
    let refused = act("run").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("is paused"), "{}", refused.text);
    let paused = house.page(JOB).await;
    assert!(paused.contains("It is paused") && paused.contains("Resume"));
    assert_eq!(act("resume").await.status, StatusCode::SEE_OTHER);
    assert_eq!(house.executor.is_paused(entity), Some(false));
    house.executor.flush().await.unwrap();
    assert_eq!(house.store.records().len(), 1);
    // Who asked for what is on the pages.
    for path in [JOB, "/ledger"] {
        let page = house.page(path).await;
        assert_eq!(page.matches("somebody with the token").count(), 4, "{path}");
        assert!(page.contains("an unknown address"));
    }
    let nothing = act("explode").await;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
    assert_eq!(house.recorded().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn j02_a_person_pauses_a_job_while_the_history_cannot_be_read() {
    let house = House::new().await;
    let page = house.page(JOB).await;
    for (name, value) in [
        ("app", "house"),
        ("instance", "0"),
        ("name", "backup"),
        ("topic", ""),
    ] {
        assert!(
            page.contains(&format!("name=\"{name}\" value=\"{value}\"")),
            "{name}"
        );
    }
    let body = format!(
        "action=pause&app=house&instance=0&name=backup&topic=&nonce={}",
        nonce_of(&page)
    );
    house.store.go_away();
    let paused = house.post(ACT, &[COOKIE, OWN], &body).await;
    assert_eq!(paused.status, StatusCode::OK, "it is not to be done again");
    assert!(
        paused
            .text
            .contains("It was done, but who asked for it is only in"),
        "{}",
        paused.text
    );
    assert!(paused.text.contains(&format!("href=\"{JOB}\"")));
    let entity = &house.job.job().registration.entity;
    assert_eq!(house.executor.is_paused(entity), Some(true));
    let refused = house
        .post(ACT, &[COOKIE, OWN], &body.replace("pause", "run"))
        .await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(
        refused
            .text
            .contains("is paused; who asked for it is only in"),
        "{}",
        refused.text
    );
    // What only the history knows is not there.
    let bearer = format!("Bearer {TOKEN}");
    let unknown = house
        .post(ACT, &[("authorization", &bearer)], "action=pause")
        .await;
    assert_eq!(unknown.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn j02_a_run_that_is_sent_away_at_once_is_no_success() {
    let house = House::new().await;
    let slow = house.executor.job("house", "slow");
    let slow = slow.handler_fn(std::future::pending::<()>).register().await;
    let running = house.executor.submit(slow.unwrap().run_now()).unwrap();
    let bearer = format!("Bearer {TOKEN}");
    let again = house
        .post(
            "/handlers/job/2/act",
            &[("authorization", &bearer)],
            "action=run",
        )
        .await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(
        again.text.contains("ended at once as skipped"),
        "{}",
        again.text
    );
    assert!(
        house.recorded().await[0]
            .outcome
            .contains("ended at once as skipped")
    );
    running.cancel();
    running.await;
}

#[tokio::test]
async fn j02_the_address_says_what_is_acted_on() {
    let house = House::new().await;
    let other = house.executor.job("house", "other").handler_fn(|| async {});
    let _other = other.register().await.unwrap();
    let bearer = format!("bearer {TOKEN}");
    let body = "action=pause&app=house&instance=0&name=backup&topic=";
    let paused = house
        .post("/handlers/job/2/act", &[("authorization", &bearer)], body)
        .await;
    assert_eq!(paused.status, StatusCode::SEE_OTHER);
    assert_eq!(house.recorded().await[0].target, "job house/other");
    let health = house.page("/health").await;
    assert!(health.contains("house/other is paused") && !health.contains("backup is paused"));
    // Whoever has to show the token first comes to the page, not to what was posted.
    let asked = ask(&house.router, "POST", ACT, &[OWN, FORM], "action=run").await;
    assert!(
        asked.text.contains("name=\"to\" value=\"/handlers/job/1\""),
        "{}",
        asked.text
    );
}

#[tokio::test]
async fn j02_a_person_cancels_what_runs() {
    let house = House::new().await;
    let slow = house.executor.job("house", "slow");
    let slow = slow.handler_fn(std::future::pending::<()>).register().await;
    let running = house.executor.submit(slow.unwrap().run_now()).unwrap();
    let nonce = house.nonce(JOB).await;
    let path = format!("/executions/{}/cancel", running.execution_id());
    let body = format!("nonce={nonce}");
    let cancelled = house.post(&path, &[COOKIE, OWN], &body).await;
    assert_eq!(cancelled.status, StatusCode::SEE_OTHER);
    assert_eq!(running.await.status(), Status::Cancelled);
    house.executor.flush().await.unwrap();
    let page = house.page(path.strip_suffix("/cancel").unwrap()).await;
    assert!(page.contains("told to end") && page.contains("somebody with the token"));
    let again = house.post(&path, &[COOKIE, OWN], &body).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let wrong = house
        .post("/executions/x/cancel", &[COOKIE, OWN], &body)
        .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn j02_a_program_acts_with_the_token_alone() {
    let house = House::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json"),
    ];
    let ran = house.post(ACT, &headers, "action=run").await;
    assert_eq!(ran.status, StatusCode::OK);
    let ran: Value = serde_json::from_str(&ran.text).unwrap();
    assert_eq!(ran["done"], true);
    house.executor.flush().await.unwrap();
    let id = house.store.records()[0].execution_id.to_string();
    assert_eq!(ran["execution"], id);
    assert_eq!(house.recorded().await[0].who, "a program with the token");
}

#[tokio::test]
async fn j02_nobody_else_makes_it_act() {
    let house = House::new().await;
    let nonce = house.nonce(JOB).await;
    let another = nonce_of(&{
        // One from before a restart.
        let router = acting(&house.store, &house.executor).router();
        ask(&router, "GET", JOB, &[COOKIE], "").await.text
    });
    let right = format!("action=run&nonce={nonce}");
    let stale = format!("action=run&nonce={another}");
    let cross = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    let forged = [
        (&[OWN][..], right.as_str(), StatusCode::UNAUTHORIZED),
        (
            &[OWN, ("cookie", "executor_7979=x")],
            &right,
            StatusCode::UNAUTHORIZED,
        ),
        (
            &[
                OWN,
                ("cookie", "executor_80=0123456789abcdef0123456789abcdef"),
            ],
            &right,
            StatusCode::UNAUTHORIZED,
        ),
        (
            &[OWN, ("authorization", "Bearer x")],
            &right,
            StatusCode::UNAUTHORIZED,
        ),
        (&[COOKIE], &right, StatusCode::FORBIDDEN),
        (&[COOKIE, OWN], "action=run", StatusCode::FORBIDDEN),
        (&[COOKIE, OWN], "action=run&nonce=", StatusCode::FORBIDDEN),
        (&[COOKIE, OWN], &stale, StatusCode::FORBIDDEN),
        (
            &[COOKIE, OWN],
            "action=run&nonce=0123456789abcdef0123456789abcdef",
            StatusCode::FORBIDDEN,
        ),
        (
            &[COOKIE, ("origin", "http://evil.example")],
            &right,
            StatusCode::FORBIDDEN,
        ),
        (
            &[COOKIE, ("origin", "null"), ("sec-fetch-site", "none")],
            &right,
            StatusCode::FORBIDDEN,
        ),
        (
            &[COOKIE, ("origin", "null"), ("sec-fetch-site", "cross-site")],
            &right,
            StatusCode::FORBIDDEN,
        ),
        (&[COOKIE, ("origin", "null")], &right, StatusCode::FORBIDDEN),
        (
            &[COOKIE, ("origin", "http://127.0.0.1:80")],
            &right,
            StatusCode::FORBIDDEN,
        ),
        (
            &[COOKIE, ("origin", "http://127.0.0.1:7979.evil.example")],
            &right,
            StatusCode::FORBIDDEN,
        ),
        (&[COOKIE, cross[0], cross[1]], &right, StatusCode::FORBIDDEN),
        (
            &[COOKIE, ("sec-fetch-site", "same-site")],
            &right,
            StatusCode::FORBIDDEN,
        ),
        (
            &[COOKIE, ("sec-fetch-site", "none")],
            &right,
            StatusCode::FORBIDDEN,
        ),
        (
            &[COOKIE, OWN, ("host", "evil.example")],
            &right,
            StatusCode::MISDIRECTED_REQUEST,
        ),
    ];
    for (headers, body, status) in forged {
        let got = house.post(ACT, headers, body).await;
        assert_eq!(got.status, status, "{headers:?} {body}");
    }
    // A link, a picture or a form that gets does nothing, and neither does JSON, which other sites may send as text.
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        let got = ask(
            &house.router,
            method,
            &format!("{ACT}?{right}"),
            &[COOKIE, OWN],
            "",
        )
        .await;
        assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let text = ("content-type", "text/plain");
    let got = ask(&house.router, "POST", ACT, &[COOKIE, OWN, text], &right).await;
    assert_eq!(got.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = format!("{right}&x={}", "x".repeat(10_000));
    let got = house.post(ACT, &[COOKIE, OWN], &large).await;
    assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(house.executor.running(), 0);
    assert_eq!(house.recorded().await, []);
    let own = [("origin", "null"), ("sec-fetch-site", "same-origin")];
    let got = house.post(ACT, &[COOKIE, own[0], own[1]], &right).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER, "the real one");
}

#[tokio::test]
async fn j02_nothing_can_be_changed_unless_that_is_allowed() {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), FORM];
    let router = guarded();
    for path in [
        ACT,
        "/executions/0198c3a0-0000-7000-8000-000000000000/cancel",
    ] {
        let got = ask(&router, "POST", path, &headers, "action=run").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{path}");
        assert!(got.text.contains("only shows"), "{}", got.text);
    }
    let house = House::new().await;
    let shows = Dashboard::new(Arc::new(house.store.clone()), Access::Everybody).for_port(7979);
    let got = get(&shows.router(), JOB).await;
    assert_eq!(got.status, StatusCode::OK);
    let page = got.text;
    assert!(page.contains("house/backup") && !page.contains("Run now") && !page.contains("nonce"));
}

#[tokio::test]
async fn j02_who_acted_from_where_is_recorded() {
    let house = House::new().await;
    let named = async |mut request: Request, next: Next| {
        let peer = std::net::SocketAddr::from(([192, 0, 2, 7], 50_000));
        request.extensions_mut().insert(ConnectInfo(peer));
        request
            .extensions_mut()
            .insert(Visitor("<b>operator".into()));
        next.run(request).await
    };
    let router = house.router.clone().layer(from_fn(named));
    let long = "1".repeat(3_000);
    let headers = [
        COOKIE,
        OWN,
        FORM,
        ("x-forwarded-for", long.as_str()),
        ("x-forwarded-for", "10.1.1.1"),
    ];
    let body = format!("action=pause&nonce={}", house.nonce(JOB).await);
    let got = ask(&router, "POST", ACT, &headers, &body).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    let recorded = &house.recorded().await[0];
    assert_eq!(recorded.who, "<b>operator");
    // The end counts, which the nearest proxy has added.
    let origin = &recorded.origin;
    assert!(
        origin.starts_with("192.0.2.7:50000, says for …111"),
        "{origin}"
    );
    assert!(
        origin.ends_with("111, 10.1.1.1") && origin.len() < 300,
        "{origin}"
    );
    assert!(house.page("/ledger").await.contains("&lt;b&gt;operator"));
}
