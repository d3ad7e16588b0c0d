//! The dashboard as a browser meets it: requests and answers, without a network. A test's name begins with the clause of
//! `docs/contract.md` that it holds to.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod acting;
mod changes;
mod contents;
mod pages;
mod security;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use executor_dashboard::{Access, Dashboard, Token};
use executor_testkit::MemoryStore;
use tower::ServiceExt;

/// What a browser got.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

/// The token that tests know.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Asks a router; `headers` are added to the usual name of the host, or replace it.
async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Got {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:7979");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Got {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

async fn get(router: &Router, path: &str) -> Got {
    ask(router, "GET", path, &[], "").await
}

fn dashboard(store: MemoryStore) -> Dashboard {
    Dashboard::new(Arc::new(store), Access::Everybody).for_port(7979)
}

/// One that asks for the token.
fn guarded() -> Router {
    let access = Access::Token(Token::new(TOKEN).unwrap());
    let store = Arc::new(MemoryStore::new());
    Dashboard::new(store, access).for_port(7979).router()
}

/// Every page that is there without an id.
const PAGES: [&str; 8] = [
    "/",
    "/executions",
    "/handlers",
    "/errors",
    "/timeline",
    "/ledger",
    "/ledger/audit",
    "/health",
];
