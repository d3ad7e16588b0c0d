//! What 64 threads that were left behind cost everybody else: the latency of async executions and of
//! the store's commits, with them and without them, in turns.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use command_executor::registration::Overlap;
use command_executor::{CommandExecutor, Event, ListenerHandle, SqliteStore};
use executor_testkit::TempDatabase;

use crate::{Pairs, Samples, TURNS};

const LEAKED: usize = 64;
const EXECUTIONS: usize = 2_000;
const COMMITS: usize = 100;
const ROWS_A_COMMIT: usize = 100;

/// The 99th percentiles of each turn in microseconds: `ours` with the leaked threads, `bare` without.
pub(crate) struct Latencies {
    pub(crate) executions: Pairs,
    pub(crate) commits: Pairs,
}

/// Holds threads until it is opened.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn wait(&self) {
        let (is_open, bell) = &*self.0;
        let waited = bell.wait_while(is_open.lock().unwrap(), |is_open| !*is_open);
        drop(waited.unwrap());
    }

    fn set(&self, is_open: bool) {
        *self.0.0.lock().unwrap() = is_open;
        self.0.1.notify_all();
    }
}

pub(crate) fn measure() -> Latencies {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = TempDatabase::new();
        let store = SqliteStore::open(database.path().to_str().unwrap())
            .await
            .unwrap();
        let executor = CommandExecutor::builder(store).start().await.unwrap();
        let door = Door::default();
        let (stuck, quick) = listeners(&executor, &door).await;
        let mut latencies = Latencies {
            executions: Pairs::default(),
            commits: Pairs::default(),
        };
        for turn in 0..=TURNS {
            let without = (
                executions(&executor, &quick).await,
                commits(&executor, &quick).await,
            );
            leak(&executor, &stuck, &door).await;
            let with = (
                executions(&executor, &quick).await,
                commits(&executor, &quick).await,
            );
            door.set(true);
            while !executor.leaked_threads().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // The first turn warms up.
            if turn > 0 {
                latencies.executions.bare.push(without.0);
                latencies.executions.ours.push(with.0);
                latencies.commits.bare.push(without.1);
                latencies.commits.ours.push(with.1);
            }
        }
        executor.shutdown(Duration::from_secs(5)).await;
        latencies
    })
}

async fn listeners(executor: &CommandExecutor, door: &Door) -> (ListenerHandle, ListenerHandle) {
    let door = door.clone();
    let stuck = executor.listener("bench", "stuck").topic("t");
    let stuck = stuck
        .timeout(Duration::from_millis(1))
        .overlap(Overlap::Parallel);
    let stuck = stuck.blocking_handler(move |_| door.wait());
    let quick = executor.listener("bench", "quick").topic("t");
    let quick = quick.handler_fn(|| async {
        // To another thread and back.
        tokio::spawn(async {}).await
    });
    (
        stuck.register().await.unwrap(),
        quick.register().await.unwrap(),
    )
}

async fn leak(executor: &CommandExecutor, stuck: &ListenerHandle, door: &Door) {
    door.set(false);
    // One that finds no thread in its millisecond leaves none behind.
    while executor.leaked_threads().len() < LEAKED {
        let command = stuck.invoke(Event::new("t"));
        executor.execute(command).await.unwrap();
    }
}

async fn executions(executor: &CommandExecutor, quick: &ListenerHandle) -> f64 {
    let mut times = Samples::default();
    for number in 0..EXECUTIONS {
        let command = quick.invoke(Event::new("t"));
        let begun = Instant::now();
        executor.execute(command).await.unwrap();
        times.push(micros(begun.elapsed()));
        if number % 500 == 499 {
            executor.flush().await.unwrap();
        }
    }
    times.percentile(99)
}

async fn commits(executor: &CommandExecutor, quick: &ListenerHandle) -> f64 {
    let mut times = Samples::default();
    for _ in 0..COMMITS {
        for _ in 0..ROWS_A_COMMIT {
            let command = quick.invoke(Event::new("t"));
            executor.execute(command).await.unwrap();
        }
        let begun = Instant::now();
        executor.flush().await.unwrap();
        times.push(micros(begun.elapsed()));
    }
    times.percentile(99)
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1_000.0
}
