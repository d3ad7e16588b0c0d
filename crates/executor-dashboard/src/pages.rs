//! The pages. Each reads what it shows through the ports, as a value that a template shows to people and that machines
//! get as JSON.

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use executor_core::ports::PageRequest;
use tokio::time::timeout;

use crate::answer::{Refused, wants_json};
use crate::pages::asked::Site;

pub(crate) mod acting;
pub(crate) mod around;
pub(crate) mod asked;
pub(crate) mod audit;
pub(crate) mod auditing;
pub(crate) mod errors;
pub(crate) mod execution;
pub(crate) mod executions;
pub(crate) mod failing;
pub(crate) mod frame;
pub(crate) mod handler;
pub(crate) mod handlers;
pub(crate) mod health;
pub(crate) mod ledger;
pub(crate) mod making;
pub(crate) mod now;
pub(crate) mod parts;
pub(crate) mod processes;
pub(crate) mod running;
pub(crate) mod settings;
pub(crate) mod slower;
pub(crate) mod timeline;

pub(crate) async fn absent(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let what = format!("no page is at `{}`", uri.path());
    Refused::Absent(what).response(&site.base, wants_json(&headers))
}

/// Whether the history can be read, in a word.
pub(crate) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let asked = timeout(
        site.time_limit,
        site.history.sessions(PageRequest::first(1)),
    )
    .await;
    match asked {
        Ok(Ok(_)) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}
