//! A process to be killed: `tortured DATABASE SPOOL BEGUN RETURNED RATE HOW`.
//!
//! Runs executions until it dies, RATE a second from eight tasks. Two oracles outlive it, each a file that
//! is appended to with one write: the handler writes its execution's id to BEGUN as it begins, the caller
//! writes it to RETURNED as soon as `execute` has returned. HOW it dies: `kill` (from outside), `abort`,
//! `exit` (inside a handler), `overflow` (of its stack), `memory` (all that it may have). With `term` it also
//! has handlers that do not end by themselves; whatever HOW says, it stops in order when it is asked to by a
//! signal, within a second, and says what its report says, and how long executions took. DATABASE is a file, or, if it
//! was built with `postgres`, an address of a server.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use command_executor::ports::Store;
use command_executor::{
    CommandExecutor, Config, Event, ListenerHandle, ShutdownReport, SpoolPlace, SqliteStore,
    current_execution_id,
};
use tokio::signal::unix::{SignalKind, signal};

/// Executions after which it ends itself, where it is to.
const LAST: u64 = 400;

/// What it gives itself to stop in order.
const DEADLINE: Duration = Duration::from_secs(1);

fn oracle(path: &str) -> Result<Arc<File>, Box<dyn Error>> {
    Ok(Arc::new(
        OpenOptions::new().append(true).create(true).open(path)?,
    ))
}

/// One write, so that a line is there whole or not at all.
fn tell(mut oracle: &File, id: &str) {
    let _ = oracle.write_all(format!("{id}\n").as_bytes());
}

#[allow(unconditional_recursion)]
fn overflow(depth: u64) -> u64 {
    let frame = [depth; 512];
    std::hint::black_box(&frame);
    overflow(depth + 1) + frame[7]
}

fn eat() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 16 << 20]);
        std::hint::black_box(&eaten);
    }
}

fn die(how: &str) {
    match how {
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "overflow" => {
            std::hint::black_box(overflow(0));
        }
        "memory" => eat(),
        _ => {}
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [database, spool, begun, returned, rate, how] = args.as_slice() else {
        return Err("usage: tortured DATABASE SPOOL BEGUN RETURNED RATE HOW".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (begun, returned) = (oracle(begun)?, oracle(returned)?);
    let (rate, how): (u64, Arc<str>) = (rate.parse()?, Arc::from(how.as_str()));
    runtime.block_on(async {
        let store = open(database).await?;
        let config = Config::default().with_spool(SpoolPlace::At(PathBuf::from(spool)));
        let executor = CommandExecutor::builder(store)
            .config(config)
            .start()
            .await?;
        let mut asked = signal(SignalKind::terminate())?;
        if &*how == "term" {
            start_what_does_not_end(&executor).await?;
        }
        println!("ready");
        let (count, took) = (Arc::new(AtomicU64::new(0)), Took::default());
        let listener = executor.listener("torture", "victim").topic("#");
        let listener = listener
            .overlap(command_executor::registration::Overlap::Parallel)
            .handler(move |_: Arc<Event>| {
                let (begun, how, count) =
                    (Arc::clone(&begun), Arc::clone(&how), Arc::clone(&count));
                async move {
                    let id = current_execution_id().ok_or("no execution")?;
                    tell(&begun, &id.to_string());
                    if count.fetch_add(1, Ordering::Relaxed) == LAST {
                        die(&how);
                    }
                    // Some are found in the middle.
                    tokio::task::yield_now().await;
                    Ok(())
                }
            })
            .register()
            .await?;
        for _ in 0..8 {
            tokio::spawn(run(
                executor.clone(),
                listener.clone(),
                Arc::clone(&returned),
                rate,
                took.clone(),
            ));
        }
        asked.recv().await;
        let report = line_of(&executor.shutdown(DEADLINE).await);
        println!("{report} {}", took.line());
        Ok(())
    })
}

#[cfg(feature = "postgres")]
async fn open(database: &str) -> Result<Arc<dyn Store>, Box<dyn Error>> {
    use command_executor::{PostgresOptions, PostgresStore};
    if !database.starts_with("postgres://") {
        return Ok(Arc::new(SqliteStore::open(database).await?));
    }
    let mut options = PostgresOptions::default();
    options.may_be_away = true;
    Ok(Arc::new(PostgresStore::open_with(database, options).await?))
}

#[cfg(not(feature = "postgres"))]
async fn open(database: &str) -> Result<Arc<dyn Store>, Box<dyn Error>> {
    Ok(Arc::new(SqliteStore::open(database).await?))
}

/// A handler that never ends, and one whose thread cannot be stopped.
async fn start_what_does_not_end(executor: &CommandExecutor) -> Result<(), Box<dyn Error>> {
    let never = executor
        .job("torture", "never")
        .handler_fn(std::future::pending::<()>)
        .register()
        .await?;
    let asleep = executor
        .job("torture", "asleep")
        .blocking_handler(|| std::thread::sleep(Duration::from_secs(30)))
        .register()
        .await?;
    for job in [never, asleep] {
        let executor = executor.clone();
        tokio::spawn(async move { executor.execute(job.run_now()).await.map(drop) });
    }
    Ok(())
}

/// A report on one line, each of its parts named.
fn line_of(report: &ShutdownReport) -> String {
    format!(
        "elapsed_ms={} balanced={} waiting={} dropped={} cancelled={} still_running={} leaked={} closed={}",
        report.elapsed.as_millis(),
        report.ledger.is_balanced(),
        report.ledger.waiting,
        report.ledger.total_dropped(),
        report.cancelled,
        report.still_running,
        report.leaked_threads.len(),
        report.session_closed,
    )
}

/// How long executions took, in microseconds.
#[derive(Clone, Default)]
struct Took(Arc<Mutex<Vec<u64>>>);

impl Took {
    fn note(&self, took: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(took.as_micros() as u64);
    }

    fn line(&self) -> String {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.sort_unstable();
        let at = |share: f64| {
            let place = (all.len() as f64 * share) as usize;
            all.get(place.min(all.len().saturating_sub(1)))
        };
        let [half, most, nearly_all] = [0.5, 0.99, 0.999].map(|it| at(it).copied().unwrap_or(0));
        format!(
            "count={} p50_us={half} p99_us={most} p999_us={nearly_all}",
            all.len()
        )
    }
}

/// An eighth of the load, in bursts of what is due.
async fn run(
    executor: CommandExecutor,
    listener: ListenerHandle,
    returned: Arc<File>,
    rate: u64,
    took: Took,
) {
    let begun = Instant::now();
    let mut done = 0_u64;
    loop {
        let due = (begun.elapsed().as_secs_f64() * rate as f64 / 8.0) as u64;
        while done < due {
            let since = Instant::now();
            let executed = executor
                .execute(listener.invoke(Event::new("torture")))
                .await;
            took.note(since.elapsed());
            if let Ok(result) = executed {
                tell(&returned, &result.execution_id.to_string());
            }
            done += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
