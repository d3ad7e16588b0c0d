//! Tells open pages that something has changed. One task looks, however many pages are open, and none does while no page
//! is. A page that is slow to read misses nothing but the changes in between.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use executor_core::ports::{Filter, History, LiveState, PageRequest};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{IntervalStream, WatchStream};

/// How often somebody looks.
const EVERY: Duration = Duration::from_secs(2);

/// How often a page hears something even if nothing has changed, so that a connection that is gone is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(25);

/// The most pages that are told.
const PAGES_MAX: usize = 64;

/// How many changes there have been, and who looks.
pub(crate) struct Changes {
    history: Arc<dyn History>,
    live: Option<Arc<dyn LiveState>>,
    count: watch::Sender<u64>,
    room: Arc<Semaphore>,
    looking: Mutex<Option<JoinHandle<()>>>,
}

impl Changes {
    pub(crate) fn new(history: Arc<dyn History>, live: Option<Arc<dyn LiveState>>) -> Self {
        Self {
            history,
            live,
            count: watch::Sender::new(0),
            room: Arc::new(Semaphore::new(PAGES_MAX)),
            looking: Mutex::new(None),
        }
    }

    /// What changes with the history: its last execution, and what runs. What cannot be read does not change.
    async fn seen(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let page = self
            .history
            .executions(Filter::default(), PageRequest::first(1));
        if let Ok(page) = page.await {
            let ids = page.items.iter().map(|it| it.record.execution_id);
            ids.for_each(|id| id.hash(&mut hasher));
        }
        if let Some(live) = &self.live {
            for session in live.sessions().await.unwrap_or_default() {
                (session.session.id, session.is_alive).hash(&mut hasher);
                let running = session.running.iter().map(|it| it.execution_id);
                running.for_each(|id| id.hash(&mut hasher));
            }
        }
        hasher.finish()
    }
}

/// A stream of the number of changes.
pub(crate) async fn stream(State(changes): State<Arc<Changes>>) -> Response {
    let Ok(place) = Arc::clone(&changes.room).try_acquire_owned() else {
        let why = "too many pages are open; this one has to be reloaded by hand\n";
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let counted = WatchStream::from_changes(changes.count.subscribe());
    begin_to_look(&changes).await;
    let counted = counted.map(move |count| {
        let _held = &place;
        Event::default().data(count.to_string())
    });
    let alive = IntervalStream::new(interval(SIGN_OF_LIFE));
    let alive = alive.map(|_| Event::default().comment("alive"));
    Sse::new(counted.merge(alive).map(Ok::<_, Infallible>)).into_response()
}

async fn begin_to_look(changes: &Arc<Changes>) {
    let mut looking = changes.looking.lock().await;
    if looking.as_ref().is_none_or(JoinHandle::is_finished) {
        *looking = Some(tokio::spawn(look(Arc::downgrade(changes))));
    }
}

/// Looks until no page is open.
async fn look(changes: Weak<Changes>) {
    let mut last = None;
    while let Some(changes) = changes.upgrade() {
        if changes.count.receiver_count() == 0 {
            return;
        }
        let seen = changes.seen().await;
        if last.is_some_and(|last| last != seen) {
            changes.count.send_modify(|count| *count += 1);
        }
        last = Some(seen);
        drop(changes);
        sleep(EVERY).await;
    }
}
