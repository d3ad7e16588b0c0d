//! What open pages are told.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, Response, StatusCode};
use executor_core::ports::{Batch, RecordStore as _, SessionStore as _};
use executor_testkit::{MemoryStore, listener, record, session};
use tokio_stream::StreamExt;
use tower::ServiceExt;

use crate::dashboard;

/// Opens a stream, as a page does.
async fn open(router: &axum::Router) -> Response<Body> {
    let request = Request::get("/changes").header("host", "localhost:7979");
    let request = request.body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

/// The next change, past signs of life.
async fn change(stream: &mut BodyDataStream) -> String {
    loop {
        let frame = stream.next().await.unwrap().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        if let Some(count) = text.strip_prefix("data: ") {
            return count.trim().to_owned();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn j04_every_page_that_is_open_learns_of_a_change() {
    let store = MemoryStore::new();
    let session = session();
    store.open_session(Arc::clone(&session)).await.unwrap();
    let router = dashboard(store.clone()).router();
    let mut pages = Vec::new();
    for _ in 0..10 {
        let response = open(&router).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        pages.push(response.into_body().into_data_stream());
    }
    // Somebody has looked by then.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let batch = Batch {
        session,
        records: vec![record(&listener("hall"), None, 0)],
    };
    store.persist(Arc::new(batch)).await.unwrap();
    for page in &mut pages {
        assert_eq!(change(page).await, "1");
    }
}

#[tokio::test(start_paused = true)]
async fn j04_only_so_many_pages_are_told() {
    let router = dashboard(MemoryStore::new()).router();
    let mut pages = Vec::new();
    for _ in 0..64 {
        pages.push(open(&router).await);
    }
    let one_more = open(&router).await;
    assert_eq!(one_more.status(), StatusCode::SERVICE_UNAVAILABLE);
    pages.pop();
    assert_eq!(open(&router).await.status(), StatusCode::OK);
}
