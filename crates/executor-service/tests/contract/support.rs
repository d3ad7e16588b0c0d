//! A running service on a store in memory, and a listener for what is logged.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once, mpsc};
use std::time::Duration;

use executor_core::{
    Event, ExecutionId, ExecutionRecord, Handler, HandlerError, Ledger, Outcome, Redact, Status,
};
use executor_service::registration::ListenerBuilder;
use executor_service::{Builder, CommandExecutor, Config, ListenerHandle, ShutdownReport};
use executor_testkit::{LedgerGuard, MemoryStore, TestClock};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Each of these tests runs twice: on the current thread with paused time, where seconds pass at once
/// and exactly, and on two threads in real time, where a second is short and nothing is exact.
macro_rules! on_both_runtimes {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            #[test]
            fn on_the_current_thread() {
                crate::support::on_the_current_thread(super::$test());
            }
            #[test]
            fn on_two_threads() {
                crate::support::on_two_threads(super::$test());
            }
        }
    )+};
}

thread_local! {
    /// How long a second of a test's time is.
    static SECOND: Cell<Duration> = const { Cell::new(Duration::from_secs(1)) };
}

pub(crate) fn on_the_current_thread(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

pub(crate) fn on_two_threads(test: impl Future<Output = ()>) {
    SECOND.set(Duration::from_millis(50));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

/// Seconds of the test's own time, to be asked for on the test's thread.
pub(crate) fn secs(seconds: u32) -> Duration {
    SECOND.get() * seconds
}

pub(crate) fn millis(millis: u32) -> Duration {
    SECOND.get() * millis / 1_000
}

/// Whether time is paused, so that durations are exact.
pub(crate) fn is_paused() -> bool {
    SECOND.get() == Duration::from_secs(1)
}

/// Exactly so long where time is paused, and no less where it is not.
pub(crate) fn assert_took(duration: Duration, expected: Duration) {
    if is_paused() {
        // The timer wheel counts in milliseconds.
        assert_eq!(duration.as_millis() / 10, expected.as_millis() / 10);
    } else {
        assert!(duration >= expected, "{duration:?} < {expected:?}");
    }
}

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
        let config = config.with_error_handler_timeout(secs(5));
        Self::start(|builder| builder.config(config)).await
    }

    pub(crate) async fn redacting(hook: impl Redact) -> Self {
        Self::start(|builder| builder.redact(hook)).await
    }

    pub(crate) async fn start(set_up: impl FnOnce(Builder) -> Builder) -> Self {
        somebody_listens();
        let store = MemoryStore::new();
        let builder = CommandExecutor::builder(store.clone()).clock(TestClock::new());
        let executor = set_up(builder).start().await.unwrap();
        let watched = executor.clone();
        Self {
            executor,
            store,
            _guard: LedgerGuard::new(move || watched.ledger()),
        }
    }

    /// A listener of `lights` with ten seconds for each run.
    pub(crate) fn builder(&self, name: &str) -> ListenerBuilder {
        let builder = self.executor.listener("lights", name).topic("motion.hall");
        builder.timeout(secs(10))
    }

    pub(crate) async fn listener(&self, name: &str, handler: impl Handler) -> ListenerHandle {
        let builder = self.builder(name).handler(handler);
        builder.register().await.unwrap()
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

    /// Runs a listener and returns the execution's name.
    pub(crate) async fn run_named(&self, listener: &ListenerHandle) -> ExecutionId {
        let result = self.executor.execute(listener.invoke(event())).await;
        result.unwrap().execution_id
    }

    /// Leaves a thread behind, which runs until what is returned is dropped. It says itself when it runs:
    /// a deadline may pass before that.
    pub(crate) async fn leak(&self, builder: ListenerBuilder) -> mpsc::Sender<()> {
        let (release, gate) = mpsc::channel();
        let (gate, cancel) = (Mutex::new(gate), CancellationToken::new());
        let runs = cancel.clone();
        let holds = builder.blocking_handler(move |_| {
            runs.cancel();
            let _ = gate.lock().unwrap().recv();
        });
        let holds = holds.register().await.unwrap();
        let left = self.executor.execute_until(holds.invoke(event()), &cancel);
        assert_eq!(left.await.unwrap().status(), Status::Cancelled);
        release
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

/// Has a subscriber for the whole process that wants everything. Otherwise a line of the log that is
/// reached for the first time while another test's subscriber comes or goes may be turned off for all.
fn somebody_listens() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    });
}

impl Logs {
    pub(crate) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        somebody_listens();
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

/// Polls once; whether it is still pending.
pub(crate) async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())
    })
    .await
}
