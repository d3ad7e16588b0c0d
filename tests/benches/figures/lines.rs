//! What a line costs that is logged within an execution and kept, beside what `tracing-subscriber` takes to format the
//! same line into a buffer; and what the layer costs an execution that says nothing, beside a subscriber without it.

use std::hint::black_box;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_executor::lines::LinePolicy;
use command_executor::{CommandExecutor, Config, Event, ListenerHandle, SpoolPlace};
use executor_testkit::DiscardStore;
use executor_tracing::CaptureLayer;
use tokio::time::Instant;
use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{Pairs, TURNS, per_item};

/// Executions a turn, and lines of each.
const EXECUTIONS: usize = 1_000;
const LINES: usize = 100;
/// Executions a turn that say nothing.
const SILENT: usize = 100_000;

/// Nanoseconds for a line, through the layer and through the formatter; and for an execution without lines, with and
/// without the layer.
#[derive(Default)]
pub(crate) struct Costs {
    pub(crate) lines: Pairs,
    pub(crate) silent: Pairs,
}

/// Keeps what is formatted until the end of an execution, as the layer does.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn forget(&self) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        black_box(text.len());
        text.clear();
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Buffer {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

fn with_layer() -> DefaultGuard {
    set_default(tracing_subscriber::registry().with(CaptureLayer::new()))
}

/// Wants as much, and keeps nothing.
fn without_layer() -> DefaultGuard {
    set_default(tracing_subscriber::registry().with(LevelFilter::INFO))
}

fn with_formatter(buffer: &Buffer) -> DefaultGuard {
    let formatter = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(buffer.clone());
    set_default(tracing_subscriber::registry().with(formatter))
}

fn say() {
    for number in 0..LINES {
        tracing::info!(number, room = "attic", "copied a file");
    }
}

pub(crate) fn measure() -> Costs {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let config = Config::default()
            .with_queue_max(10 * SILENT)
            .with_spool(SpoolPlace::Memory);
        let builder = CommandExecutor::builder(DiscardStore::default()).config(config);
        let executor = builder.start().await.unwrap();
        let talks = executor.listener("bench", "talks").topic("t");
        let talks = talks
            .lines(LinePolicy::All)
            .timeout(Duration::from_secs(10));
        let talks = talks.handler_fn(|| async { say() });
        let talks = talks.register().await.unwrap();
        let noop = executor.listener("bench", "noop").topic("t");
        let noop = noop.timeout(Duration::from_secs(10));
        let noop = noop.handler_fn(|| async {}).register().await.unwrap();
        let mut costs = Costs::default();
        for turn in 0..=TURNS {
            let (line, bare) = (through_layer(&executor, &talks).await, formatted());
            let with = {
                let _layer = with_layer();
                silent(&executor, &noop).await
            };
            let without = {
                let _nothing = without_layer();
                silent(&executor, &noop).await
            };
            // The first turn warms up.
            if turn > 0 {
                costs.lines.ours.push(line);
                costs.lines.bare.push(bare);
                costs.silent.ours.push(with);
                costs.silent.bare.push(without);
            }
        }
        costs
    })
}

/// The executions are part of it: what keeps, ends and hands over the lines.
async fn through_layer(executor: &CommandExecutor, talks: &ListenerHandle) -> f64 {
    let event = Arc::new(Event::new("t"));
    let _layer = with_layer();
    let begun = Instant::now();
    for _ in 0..EXECUTIONS {
        let command = talks.invoke(Arc::clone(&event));
        black_box(executor.execute(command).await.unwrap());
    }
    let elapsed = begun.elapsed();
    executor.flush().await.unwrap();
    per_item(elapsed, EXECUTIONS * LINES)
}

fn formatted() -> f64 {
    let buffer = Buffer::default();
    let _formatter = with_formatter(&buffer);
    let begun = Instant::now();
    for _ in 0..EXECUTIONS {
        say();
        buffer.forget();
    }
    per_item(begun.elapsed(), EXECUTIONS * LINES)
}

async fn silent(executor: &CommandExecutor, noop: &ListenerHandle) -> f64 {
    let event = Arc::new(Event::new("t"));
    let begun = Instant::now();
    for _ in 0..SILENT {
        let command = noop.invoke(Arc::clone(&event));
        black_box(executor.execute(command).await.unwrap());
    }
    let elapsed = begun.elapsed();
    executor.flush().await.unwrap();
    per_item(elapsed, SILENT)
}
