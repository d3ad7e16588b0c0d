//! How long questions to a long history take: `ROWS` of them (1,000,000 unless the environment says
//! otherwise) of 50 listeners in four apps, over thirty days.

use std::sync::Arc;
use std::time::{Duration, Instant};

use command_executor::diagnosis::{completeness, error_groups};
use executor_core::ports::{
    Batch, Filter, History, PageRequest, RecordStore, Scope, Store, Window,
};
use executor_core::{Entity, ExecutionRecord, RegistrationId, RowId, Status, Subject, Timestamp};
use executor_testkit::{TempDatabase, listener, record, session};
use telemetry_store::SqliteHistory;

use crate::{Samples, rows};

const LISTENERS: usize = 50;
const BATCH: usize = 1_000;
const SPAN: Duration = Duration::from_secs(30 * 86_400);
/// How often each question is asked.
const TIMES: usize = 100;

fn rows() -> usize {
    let asked = std::env::var("ROWS")
        .ok()
        .and_then(|rows| rows.parse().ok());
    asked.unwrap_or(1_000_000)
}

struct Stored {
    listeners: Vec<(Arc<Entity>, RowId)>,
    start: Timestamp,
    batch: Batch,
}

impl Stored {
    fn record(&self, number: usize) -> ExecutionRecord {
        let (entity, row) = &self.listeners[number % LISTENERS];
        let mut record = self.batch.records[0].clone();
        let at = SPAN.mul_f64(number as f64 / rows() as f64);
        record.started_at = self.start.saturating_add(at);
        record.execution_id = executor_core::ExecutionId::new(record.started_at);
        record.duration = Duration::from_micros((number as u64).wrapping_mul(7_919) % 100_000);
        record.subject = Subject {
            entity: Arc::clone(entity),
            row: Some(*row),
        };
        if number.is_multiple_of(1_000) {
            record.status = Status::TimedOut;
            record.failure = Some(Arc::new(executor_core::Failure::deadline()));
        }
        record
    }
}

pub(crate) fn measure() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = TempDatabase::new();
        let store = database.open().await.unwrap();
        let history = written(&store).await;
        let reader = SqliteHistory::new(database.path().to_str().unwrap()).unwrap();
        ask_everything(&reader, &history).await;
        if let Some(kept) = std::env::var_os("KEEP_AT") {
            // Closed, so that the file is all there is.
            store.close().await.unwrap();
            std::fs::copy(database.path(), kept).unwrap();
            return;
        }
        let mut next = (SPAN.as_millis() + 3_600_000) as u64;
        drop(store);
        for (batch, (rollups, what)) in rows::ways() {
            let listener = &history.listeners[0];
            let stored = rows::onto(&database, listener, &mut next, batch, rollups).await;
            println!("{}   {what}", crate::stored(&stored, batch));
        }
    });
}

/// The same on a PostgreSQL server, which keeps what it acknowledges.
#[cfg(feature = "postgres")]
pub(crate) fn measure_on_a_server() {
    let arguments = ["-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB"];
    let Some(server) = executor_testkit::TempPostgres::start_with(&arguments) else {
        println!("history-postgres: no programs of a PostgreSQL server are installed");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = server.database();
        let store = server.open(&database).await.unwrap();
        let history = written(&store).await;
        // As the server itself would, a minute later.
        server.ask("VACUUM ANALYZE", &database).unwrap();
        let reader = telemetry_store::PostgresHistory::new(&server.url(&database)).unwrap();
        println!(
            "{:.0} bytes a row",
            reader.bytes().await.unwrap() as f64 / rows() as f64
        );
        ask_everything(&reader, &history).await;
    });
}

/// Writes the history and says how fast.
async fn written(store: &impl Store) -> Stored {
    let history = begin(store).await;
    let begun = Instant::now();
    for first in (0..rows()).step_by(BATCH) {
        let records = (first..first + BATCH).map(|number| history.record(number));
        let batch = Batch {
            session: Arc::clone(&history.batch.session),
            records: records.collect(),
        };
        store.persist(Arc::new(batch)).await.unwrap();
    }
    let rate = rows() as f64 / begun.elapsed().as_secs_f64();
    println!(
        "history     {} rows written, rollups included, {rate:.0} rows/s",
        rows()
    );
    history
}

async fn ask_everything(reader: &impl History, history: &Stored) {
    ask_all(reader, history).await;
    ask_periods(reader, history).await;
    ask_around(reader, history).await;
}

async fn begin(store: &impl Store) -> Stored {
    let session = session();
    store.open_session(Arc::clone(&session)).await.unwrap();
    let mut listeners = Vec::new();
    for number in 0..LISTENERS {
        let mut listener = listener(&format!("listener {number}"));
        let mut entity = (*listener.entity).clone();
        entity.app_key = format!("app {}", number % 4);
        listener.entity = Arc::new(entity);
        let row = store.register(listener.clone()).await.unwrap();
        listeners.push((listener.entity, row));
    }
    Stored {
        listeners,
        start: session.started_at,
        batch: Batch {
            records: vec![record(&listener("any"), None, 0)],
            session,
        },
    }
}

async fn ask_all(reader: &impl History, history: &Stored) {
    let all = Filter::default;
    let middle = history.start.saturating_add(SPAN / 2);
    let hour = Some(middle.saturating_add(Duration::from_secs(3_600)));
    let of = |scope: Scope| Filter { scope, ..all() };
    let filters = [
        ("the latest", all()),
        (
            "of a listener",
            of(Scope::Registration(RegistrationId::listener(
                history.listeners[7].1,
            ))),
        ),
        ("of an app", of(Scope::App("app 1".into()))),
        ("of a session", of(Scope::Session(history.batch.session.id))),
        (
            "that timed out",
            Filter {
                statuses: vec![Status::TimedOut],
                ..all()
            },
        ),
        (
            "of an hour",
            Filter {
                from: Some(middle),
                to: hour,
                ..all()
            },
        ),
    ];
    for (what, filter) in filters {
        ask(&format!("100 executions {what}"), || async {
            reader
                .executions(filter.clone(), PageRequest::default())
                .await
                .unwrap();
        })
        .await;
    }
    let one = reader
        .executions(all(), PageRequest::first(1))
        .await
        .unwrap();
    let id = one.items[0].record.execution_id;
    ask("one execution by its id", || async {
        reader.execution(id).await.unwrap().unwrap();
    })
    .await;
    let odd = Window {
        from: Some(history.start.saturating_add(Duration::from_secs(100_000))),
        to: Some(middle),
        session: None,
    };
    for (what, window) in [("everything", Window::default()), ("an odd fortnight", odd)] {
        ask(&format!("summaries of {what}"), || async {
            reader.summaries(window.clone()).await.unwrap();
        })
        .await;
        ask(&format!("overall, {what}"), || async {
            reader.overall(window.clone()).await.unwrap();
        })
        .await;
    }
}

/// Figures of neighbouring periods, and what a window has.
async fn ask_periods(reader: &impl History, history: &Stored) {
    let one = Scope::Registration(RegistrationId::listener(history.listeners[7].1));
    let end = history.start.saturating_add(SPAN);
    let bounds = |count: u64, length: u64| {
        let ago = |place: u64| Duration::from_secs((count - place) * length);
        let bounds = (0..=count).map(|place| end.saturating_sub(ago(place)));
        bounds.collect::<Vec<_>>()
    };
    for (what, scope, bounds) in [
        ("series of one, 30 days", one.clone(), bounds(30, 86_400)),
        ("series of one, 168 hours", one.clone(), bounds(168, 3_600)),
        ("series of one, 18 times 10 minutes", one, bounds(18, 600)),
        ("series of all, 30 days", Scope::All, bounds(30, 86_400)),
        ("series of all, 48 hours", Scope::All, bounds(48, 3_600)),
    ] {
        ask(what, || async {
            reader.series(scope.clone(), bounds.clone()).await.unwrap();
        })
        .await;
    }
    let of_hour = Window {
        from: Some(end.saturating_sub(Duration::from_secs(7_200))),
        to: Some(end.saturating_sub(Duration::from_secs(3_600))),
        session: None,
    };
    ask("count of an hour", || async {
        reader.count(of_hour.clone()).await.unwrap();
    })
    .await;
}

/// What goes with answers: overlaps, groups of errors, what is missing.
async fn ask_around(reader: &impl History, history: &Stored) {
    let end = history.start.saturating_add(SPAN);
    let second = Filter {
        from: Some(end.saturating_sub(Duration::from_secs(3_601))),
        started_before: Some(end.saturating_sub(Duration::from_secs(3_600))),
        ..Filter::default()
    };
    ask("what overlaps a second", || async {
        let page = PageRequest::default();
        reader.executions(second.clone(), page).await.unwrap();
    })
    .await;
    let day = Filter {
        from: Some(end.saturating_sub(Duration::from_secs(86_400))),
        ..Filter::default()
    };
    ask("groups of a day's errors", || async {
        let filters = std::iter::once(day.clone());
        error_groups(reader, filters, 100_000).await.unwrap();
    })
    .await;
    let week = Window::since(end.saturating_sub(Duration::from_secs(7 * 86_400)));
    ask("completeness of a week", || async {
        completeness(reader, &week, &[], end).await.unwrap();
    })
    .await;
}

async fn ask<F: Future<Output = ()>>(what: &str, question: impl Fn() -> F) {
    let mut times = Samples::default();
    for _ in 0..TIMES {
        let begun = Instant::now();
        question().await;
        times.push(begun.elapsed().as_nanos() as f64 / 1e6);
    }
    let (median, p95) = (times.median(), times.percentile(95));
    println!("  {what:<34} median {median:>8.2} ms   p95 {p95:>8.2} ms");
}
