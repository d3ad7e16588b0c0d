//! What one no-op execution costs, beside the calls that it cannot do without, made bare: both
//! clocks, an id, a boxed future under a deadline, the clock again, a record into a channel.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use command_executor::{CommandExecutor, Config, Event, ListenerHandle};
use executor_core::{ExecutionRecord, HandlerError, HandlerFuture};
use executor_testkit::DiscardStore;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use uuid::{NoContext, Timestamp, Uuid};

use crate::{Pairs, TURNS, per_item};

const CALLS: usize = 100_000;

pub(crate) fn measure() -> Pairs {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = Config {
            queue_max: 10 * CALLS,
            ..Config::default()
        };
        let executor = CommandExecutor::builder(DiscardStore::default())
            .config(config)
            .start()
            .await
            .unwrap();
        let builder = executor
            .listener("bench", "noop")
            .topic("t")
            .timeout(Duration::from_secs(10));
        let listener = builder
            .handler(|_: Arc<Event>| async { Ok(()) })
            .register()
            .await
            .unwrap();
        let event = Arc::new(Event::new("t").with_id("event-1"));
        let record = executor_testkit::record(&executor_testkit::listener("noop"), None, 0);
        let mut pairs = Pairs::default();
        for turn in 0..=TURNS {
            let ours = executions(&executor, &listener, &event).await;
            let bare = bare_calls(&record).await;
            // The first turn warms up.
            if turn > 0 {
                pairs.ours.push(ours);
                pairs.bare.push(bare);
            }
        }
        assert_eq!(executor.ledger().total_dropped(), 0);
        pairs
    })
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
    executor.flush().await;
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
