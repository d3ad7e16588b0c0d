//! What the store takes while more is offered than it can take: rows stored in each window of five seconds, from the
//! first execution to the last row, and what one task that loops leaves to the drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use command_executor::{Config, Event, SpoolPlace};
use executor_testkit::TempDatabase;
use tokio::runtime::{Builder, Runtime};

use crate::Samples;
use crate::load::start;

/// Ready executions, from two tasks.
const EXECUTIONS: usize = 10_000_000;
const TASKS: usize = 2;
const WINDOW: Duration = Duration::from_secs(5);
/// How long one task loops.
const LOOPS: Duration = Duration::from_secs(5);

fn memory() -> Config {
    Config::default()
        .with_queue_max(1_000_000)
        .with_retry_max_records(1_000_000)
        .with_spool(SpoolPlace::Memory)
}

fn spool() -> Config {
    Config::default().with_spool_max_bytes(4 << 30)
}

/// Ten million ready executions.
pub(crate) fn windows() {
    for (what, config) in [
        ("memory, queue of 1,000,000", memory()),
        ("spool of 4 GiB", spool()),
    ] {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(flood(what, config));
    }
}

async fn flood(what: &str, config: Config) {
    let database = TempDatabase::new();
    let (executor, listener) = start(&database, config).await;
    let begun = Instant::now();
    for _ in 0..TASKS {
        let (executor, listener) = (executor.clone(), listener.clone());
        tokio::spawn(async move {
            let event = Arc::new(Event::new("t"));
            for _ in 0..EXECUTIONS / TASKS {
                let command = listener.invoke(Arc::clone(&event));
                executor.execute(command).await.unwrap();
            }
        });
    }
    let (mut rows, mut before) = (Samples::default(), 0);
    loop {
        tokio::time::sleep(WINDOW).await;
        let ledger = executor.ledger();
        let all = ledger.offered == EXECUTIONS as u64;
        if all && ledger.waiting + ledger.spooled == 0 {
            break;
        }
        rows.push((ledger.stored - before) as f64);
        before = ledger.stored;
    }
    let (median, least) = (rows.median(), rows.sorted()[0]);
    println!(
        "flood       {median:>9.0} rows in the median 5 s, {least:.0} in the least of {} ({:.2}); {:.0} s; {}   {what}",
        rows.0.len(),
        least / median,
        begun.elapsed().as_secs_f64(),
        executor.ledger(),
    );
    executor.shutdown(Duration::from_secs(60)).await;
}

/// One task that loops, beside a thread outside of the runtime that offers as fast as it can.
pub(crate) fn starving() {
    type Make = fn() -> Runtime;
    let runtimes: [(&str, Make); 3] = [
        ("1 worker", || {
            Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap()
        }),
        ("2 workers", || {
            Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap()
        }),
        ("current thread", || {
            Builder::new_current_thread().enable_all().build().unwrap()
        }),
    ];
    for (what, runtime) in runtimes {
        for (intake, config) in [("memory", memory as fn() -> Config), ("spool", spool)] {
            let (inside, dropped) = loops(&runtime(), config(), Place::Inside);
            let (outside, _) = loops(&runtime(), config(), Place::Outside);
            println!(
                "starving    {inside:>7.0} rows/s stored beside a task that loops, {outside:.0} beside a thread that does; ratio {:.2}; {dropped} dropped and counted   {what}, {intake}",
                inside / outside
            );
        }
    }
}

/// Where the loop runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Inside,
    Outside,
}

/// Rows stored in a second, and records dropped.
fn loops(runtime: &Runtime, config: Config, place: Place) -> (f64, u64) {
    let database = TempDatabase::new();
    let (executor, listener) = runtime.block_on(start(&database, config));
    let is_over = Arc::new(AtomicBool::new(false));
    let looping = {
        let (executor, is_over) = (executor.clone(), Arc::clone(&is_over));
        async move {
            let event = Arc::new(Event::new("t"));
            while !is_over.load(Ordering::Relaxed) {
                let command = listener.invoke(Arc::clone(&event));
                executor.execute(command).await.unwrap();
            }
        }
    };
    let outside = match place {
        Place::Inside => {
            runtime.spawn(looping);
            None
        }
        Place::Outside => Some(std::thread::spawn(move || {
            let own = Builder::new_current_thread().build().unwrap();
            own.block_on(looping);
        })),
    };
    runtime.block_on(async { tokio::time::sleep(LOOPS).await });
    let ledger = executor.ledger();
    is_over.store(true, Ordering::Relaxed);
    if let Some(outside) = outside {
        outside.join().unwrap();
    }
    runtime.block_on(executor.shutdown(Duration::from_secs(1)));
    (
        ledger.stored as f64 / LOOPS.as_secs_f64(),
        ledger.total_dropped(),
    )
}
