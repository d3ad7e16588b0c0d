//! A running service on a store in memory, and a listener for what is logged.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::{Event, ExecutionRecord, Handler, HandlerError, Ledger, Outcome, Status};
use executor_service::{CommandExecutor, Config, ListenerHandle, ShutdownReport};
use executor_testkit::{LedgerGuard, MemoryStore, TestClock};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// A running service. Its ledger is checked when the test ends.
pub(crate) struct Fixture {
    pub(crate) executor: CommandExecutor,
    pub(crate) store: MemoryStore,
    _guard: LedgerGuard,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let store = MemoryStore::new();
        let builder = CommandExecutor::builder(store.clone()).clock(TestClock::new());
        let executor = builder.config(config).start().await.unwrap();
        let watched = executor.clone();
        Self {
            executor,
            store,
            _guard: LedgerGuard::new(move || watched.ledger()),
        }
    }

    pub(crate) async fn listener(&self, name: &str, handler: impl Handler) -> ListenerHandle {
        let builder = self.executor.listener("lights", name).topic("motion.hall");
        let builder = builder.timeout(Duration::from_secs(10));
        builder.handler(handler).register().await.unwrap()
    }

    /// A listener whose handler does nothing.
    pub(crate) async fn noop(&self) -> ListenerHandle {
        self.listener("noop", |_: Arc<Event>| async { Ok(()) })
            .await
    }

    pub(crate) async fn run(&self, listener: &ListenerHandle) -> Outcome {
        let result = self.executor.execute(listener.invoke(event())).await;
        result.unwrap().outcome
    }

    /// Runs a handler once.
    pub(crate) async fn run_once(&self, handler: impl Handler) -> Outcome {
        let listener = self.listener("once", handler).await;
        self.run(&listener).await
    }

    pub(crate) async fn stop(&self) -> ShutdownReport {
        self.executor.shutdown(Duration::from_secs(5)).await
    }

    /// Stops and returns what was stored.
    pub(crate) async fn stored(&self) -> Vec<ExecutionRecord> {
        self.stop().await;
        self.store.records()
    }

    /// Stops and returns the only record there is.
    pub(crate) async fn only_record(&self) -> ExecutionRecord {
        let mut records = self.stored().await;
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.executor.ledger()
    }
}

pub(crate) fn event() -> Event {
    Event::new("motion.hall")
        .with_id("e-1")
        .with_origin("REMOTE")
}

pub(crate) fn statuses(records: &[ExecutionRecord]) -> Vec<Status> {
    records.iter().map(|record| record.status).collect()
}

pub(crate) async fn forever() -> Result<(), HandlerError> {
    std::future::pending().await
}

/// Spans and log lines of this thread, from now on.
#[derive(Clone, Default)]
pub(crate) struct Logs {
    lines: Arc<Mutex<Vec<Line>>>,
}

/// Its level, or `SPAN`, and its fields as text.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) level: String,
    pub(crate) fields: BTreeMap<String, String>,
}

impl Logs {
    pub(crate) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let logs = Self::default();
        let subscriber = tracing_subscriber::registry().with(logs.clone());
        (logs, tracing::subscriber::set_default(subscriber))
    }

    /// The lines of a level, or all spans (`SPAN`).
    pub(crate) fn of(&self, level: &str) -> Vec<Line> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.retain(|line| line.level == level);
        lines
    }
}

impl<S: tracing::Subscriber> Layer<S> for Logs {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let (level, fields) = ("SPAN".to_owned(), fields.0);
        self.lines.lock().unwrap().push(Line { level, fields });
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (level, fields) = (event.metadata().level().to_string(), fields.0);
        self.lines.lock().unwrap().push(Line { level, fields });
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
