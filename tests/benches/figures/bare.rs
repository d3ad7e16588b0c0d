//! What one no-op execution costs, beside the calls that it cannot do without, made bare: both
//! clocks, an id, a boxed future under a deadline, the clock again, a record into a channel.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use command_executor::{CommandExecutor, Config, Event, ListenerHandle, SpoolPlace};
use executor_core::{ExecutionRecord, HandlerError, HandlerFuture};
use executor_testkit::DiscardStore;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use uuid::{NoContext, Timestamp, Uuid};

use crate::{Samples, TURNS, per_item};

const CALLS: usize = 100_000;

/// Nanoseconds for an execution recorded through memory and through the spool, and for the bare calls.
#[derive(Default)]
pub(crate) struct Costs {
    pub(crate) memory: Samples,
    pub(crate) spool: Samples,
    pub(crate) bare: Samples,
}

pub(crate) fn measure() -> Costs {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let spool = tempfile::tempdir().unwrap();
        let (in_memory, through_memory) = start(SpoolPlace::Memory).await;
        let (spooled, through_spool) = start(SpoolPlace::At(spool.path().into())).await;
        let event = Arc::new(Event::new("t").with_id("event-1"));
        let record = executor_testkit::record(&executor_testkit::listener("noop"), None, 0);
        let mut costs = Costs::default();
        for turn in 0..=TURNS {
            let memory = executions(&in_memory, &through_memory, &event).await;
            let spool = executions(&spooled, &through_spool, &event).await;
            let bare = bare_calls(&record).await;
            // The first turn warms up.
            if turn > 0 {
                costs.memory.push(memory);
                costs.spool.push(spool);
                costs.bare.push(bare);
            }
        }
        for executor in [in_memory, spooled] {
            assert_eq!(executor.ledger().total_dropped(), 0);
        }
        costs
    })
}

async fn start(spool: SpoolPlace) -> (CommandExecutor, ListenerHandle) {
    let config = Config::default()
        .with_queue_max(10 * CALLS)
        .with_spool(spool);
    let builder = CommandExecutor::builder(DiscardStore::default()).config(config);
    let executor = builder.start().await.unwrap();
    let builder = executor
        .listener("bench", "noop")
        .topic("t")
        .timeout(Duration::from_secs(10));
    let listener = builder.handler(|_: Arc<Event>| async { Ok(()) });
    let listener = listener.register().await.unwrap();
    (executor, listener)
}

async fn executions(
    executor: &CommandExecutor,
    listener: &ListenerHandle,
    event: &Arc<Event>,
) -> f64 {
    let begun = Instant::now();
    for _ in 0..CALLS {
        let result = executor.execute(listener.invoke(Arc::clone(event))).await;
        black_box(result.unwrap());
    }
    let elapsed = begun.elapsed();
    executor.flush().await.unwrap();
    per_item(elapsed, CALLS)
}

async fn bare_calls(record: &ExecutionRecord) -> f64 {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let drain = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
    let begun = Instant::now();
    for _ in 0..CALLS {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let start = Instant::now();
        let time = Timestamp::from_unix(NoContext, wall.as_secs(), wall.subsec_nanos());
        black_box(Uuid::new_v7(time));
        let handler: HandlerFuture = Box::pin(black_box(async { Ok::<(), HandlerError>(()) }));
        let done = timeout(Duration::from_secs(10), handler).await;
        black_box(done.is_ok());
        black_box(start.elapsed());
        sender.send(record.clone()).unwrap();
    }
    let elapsed = begun.elapsed();
    drop(sender);
    drain.await.unwrap();
    per_item(elapsed, CALLS)
}
