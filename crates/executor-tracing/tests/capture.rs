//! Clause A22: what handlers log is kept with their executions.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use command_executor::context;
use command_executor::lines::{LineKind, LinePolicy};
use command_executor::{CommandExecutor, Event, ExecutionRecord, HandlerError, ListenerHandle};
use executor_testkit::MemoryStore;
use executor_tracing::CaptureLayer;
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};
use tracing_subscriber::prelude::*;

/// Runs a handler once, with a layer that only this thread has, and returns the record.
fn recorded<F>(
    layer: CaptureLayer,
    policy: LinePolicy,
    work: impl Fn() -> F + Send + Sync + 'static,
) -> ExecutionRecord
where
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || run(policy, work))
}

fn run<F>(policy: LinePolicy, work: impl Fn() -> F + Send + Sync + 'static) -> ExecutionRecord
where
    F: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = MemoryStore::new();
        let executor = CommandExecutor::builder(store.clone())
            .start()
            .await
            .unwrap();
        let listener = executor.listener("lights", "hall").topic("#").lines(policy);
        let listener: ListenerHandle = listener
            .handler(move |_: Arc<Event>| work())
            .register()
            .await
            .unwrap();
        executor
            .execute(listener.invoke(Event::new("light")))
            .await
            .unwrap();
        executor.flush().await.unwrap();
        let record = store.records().remove(0);
        executor.shutdown(Duration::from_secs(5)).await;
        record
    })
}

fn said(record: &ExecutionRecord) -> Vec<(LineKind, String, String)> {
    let lines = record.lines.iter().flat_map(|lines| lines.iter());
    let parts = lines.map(|line| (line.kind, line.target.to_owned(), line.text.to_owned()));
    parts.collect()
}

fn texts(record: &ExecutionRecord) -> Vec<String> {
    said(record).into_iter().map(|(.., text)| text).collect()
}

#[derive(Debug)]
struct Cannot(io::Error);

impl fmt::Display for Cannot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not found")
    }
}

impl std::error::Error for Cannot {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a22_what_a_handler_logs_is_kept_with_level_target_and_fields() {
    let record = recorded(CaptureLayer::new(), LinePolicy::Failures, || async {
        let cause = Cannot(io::Error::other("no such lamp"));
        info!(room = "hall", lux = 3, is_dark = true, "it is {}", "dark");
        warn!(target: "house::lamp", lamp = ?Some(7));
        debug!("too quiet to keep");
        error!(error = &cause as &dyn std::error::Error, "cannot\nswitch");
        Err(HandlerError::known("stuck"))
    });
    let of = |kind, target: &str, text: &str| (kind, target.to_owned(), text.to_owned());
    let expected = [
        of(
            LineKind::Info,
            "capture",
            "it is dark room=\"hall\" lux=3 is_dark=true",
        ),
        of(LineKind::Warn, "house::lamp", "lamp=Some(7)"),
        of(LineKind::Error, "capture", "cannot"),
        of(
            LineKind::Error,
            "capture",
            "switch error=not found: no such lamp",
        ),
    ];
    assert_eq!(
        said(&record),
        expected,
        "and not the executor's own line about the failure"
    );
}

#[test]
fn a22_the_level_is_for_the_program_to_choose() {
    let layer = CaptureLayer::new().with_max_level(LevelFilter::DEBUG);
    let record = recorded(layer, LinePolicy::All, || async {
        debug!("quiet");
        tracing::trace!("too quiet");
        Ok(())
    });
    assert_eq!(texts(&record), ["quiet"]);
}

#[test]
fn a22_what_another_layer_wants_more_of_is_not_kept() {
    let everything = tracing_subscriber::fmt::layer()
        .with_writer(io::sink)
        .with_filter(LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry()
        .with(everything)
        .with(CaptureLayer::new());
    let record = tracing::subscriber::with_default(subscriber, || {
        run(LinePolicy::All, || async {
            debug!("for the other one");
            info!("for both");
            Ok(())
        })
    });
    assert_eq!(texts(&record), ["for both"]);
}

#[test]
fn a22_a_value_that_logs_while_it_is_written_is_kept_too() {
    struct Chatty;
    impl fmt::Debug for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("I am asked");
            f.write_str("chatty")
        }
    }
    let record = recorded(CaptureLayer::new(), LinePolicy::All, || async {
        info!(who = ?Chatty, "asking");
        Ok(())
    });
    // The dispatcher of this thread is in use, and keeps nothing of what is logged meanwhile; nothing panics.
    let texts = texts(&record);
    assert!(texts.contains(&"asking who=chatty".to_owned()), "{texts:?}");
}

#[test]
fn a22_nobody_formats_what_will_not_be_kept() {
    struct Never;
    impl fmt::Debug for Never {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("somebody asked");
        }
    }
    let record = recorded(CaptureLayer::new(), LinePolicy::None, || async {
        info!(value = ?Never, "in an execution that keeps none");
        Err(HandlerError::known("stuck"))
    });
    assert_eq!(record.lines, None);
    let subscriber = tracing_subscriber::registry().with(CaptureLayer::new());
    tracing::subscriber::with_default(
        subscriber,
        || info!(value = ?Never, "outside of any execution"),
    );
}

#[test]
fn a22_a_task_that_inherits_belongs_to_the_execution_and_others_do_not() {
    let record = recorded(CaptureLayer::new(), LinePolicy::All, || async {
        let mine = tokio::spawn(context::inherit(async { info!("mine") }));
        let other = tokio::spawn(async { info!("nobody's") });
        mine.await?;
        other.await?;
        Ok(())
    });
    assert_eq!(texts(&record), ["mine"]);
}

#[test]
fn a22_the_executors_own_line_about_a_failure_is_left_out() {
    let subscriber = tracing_subscriber::registry().with(CaptureLayer::new());
    let _here = tracing::subscriber::set_default(subscriber);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = MemoryStore::new();
        let executor = CommandExecutor::builder(store.clone())
            .start()
            .await
            .unwrap();
        let inner = executor.listener("lights", "inner").topic("#");
        let inner =
            inner.handler(|_: Arc<Event>| async { Err::<(), _>(HandlerError::known("stuck")) });
        let inner = inner.register().await.unwrap();
        let (outer, again) = (
            executor.listener("lights", "outer").topic("#"),
            executor.clone(),
        );
        let outer = outer.lines(LinePolicy::All).handler(move |_: Arc<Event>| {
            let (executor, inner) = (again.clone(), inner.clone());
            async move {
                info!("before");
                // Its failure is logged while the outer one runs.
                let _ = executor.execute(inner.invoke(Event::new("light"))).await;
                info!("after");
                Ok(())
            }
        });
        let outer = outer.register().await.unwrap();
        executor
            .execute(outer.invoke(Event::new("light")))
            .await
            .unwrap();
        executor.flush().await.unwrap();
        let records = store.records();
        let outer = records
            .iter()
            .find(|record| record.subject.entity.name == "outer");
        assert_eq!(texts(outer.unwrap()), ["before", "after"]);
        executor.shutdown(Duration::from_secs(5)).await;
    });
}
