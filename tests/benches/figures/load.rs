//! What a load does to the queue, the memory and the caller: a million executions at once, a store that is
//! locked by somebody else for a minute, and nothing at all.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_executor::registration::Overlap;
use command_executor::{CommandExecutor, Config, Event, ListenerHandle, Retention, SpoolPlace};
use executor_testkit::TempDatabase;

use crate::Samples;

const EXECUTIONS: usize = 1_000_000;
const TASKS: usize = 64;

/// Anonymous memory of this process, now and at its peak, in MiB; zeros where the system does not say.
pub(crate) fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        number.unwrap_or(0)
    };
    (kib("RssAnon:") / 1_024, kib("VmHWM:") / 1_024)
}

pub(crate) async fn start(
    database: &TempDatabase,
    config: Config,
) -> (CommandExecutor, ListenerHandle) {
    let store = database.open().await.unwrap();
    let config = config.with_retention(Retention::FOR_EVER);
    let builder = CommandExecutor::builder(store).config(config);
    let executor = builder.start().await.unwrap();
    let listener = executor.listener("bench", "noop").topic("t");
    let listener = listener.overlap(Overlap::Parallel).handler_fn(|| async {});
    let listener = listener.register().await.unwrap();
    (executor, listener)
}

/// A million executions from 64 tasks into SQLite, with a queue in memory of two sizes and with the spool.
pub(crate) fn million() {
    let memory = |queue_max| {
        Config::default()
            .with_queue_max(queue_max)
            .with_retry_max_records(queue_max)
            .with_spool(SpoolPlace::Memory)
    };
    let cases = [
        ("memory, queue of 1,000", memory(1_000)),
        ("memory, queue of 1,000,000", memory(1_000_000)),
        ("spool", Config::default()),
    ];
    for (what, config) in cases {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run_million(what, config));
    }
}

async fn run_million(what: &str, config: Config) {
    let database = TempDatabase::new();
    let (executor, listener) = start(&database, config).await;
    let (begun, mut peak) = (Instant::now(), 0);
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let (executor, listener) = (executor.clone(), listener.clone());
        tasks.push(tokio::spawn(async move {
            let event = Arc::new(Event::new("t"));
            for _ in 0..EXECUTIONS / TASKS {
                let command = listener.invoke(Arc::clone(&event));
                executor.execute(command).await.unwrap();
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
        peak = peak.max(memory_mib().0);
    }
    let executed = begun.elapsed();
    executor.flush().await.unwrap();
    let stored = begun.elapsed();
    let ledger = executor.shutdown(Duration::from_secs(60)).await.ledger;
    let is_balanced =
        ledger.is_balanced() && ledger.offered == ledger.stored + ledger.total_dropped();
    println!(
        "million     {what:<28} executed in {executed:>6.2?}, stored in {stored:>6.2?}; {ledger}; balanced {is_balanced}; \
         anonymous memory seen {peak} MiB"
    );
}

/// How long one producer is held up by an execution, its record offered to the spool and drained into SQLite
/// meanwhile: the 99th percentile of each of nine runs.
pub(crate) fn offer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let of_runs = runtime.block_on(async {
        let database = TempDatabase::new();
        let (executor, listener) = start(&database, Config::default()).await;
        let mut of_runs = Samples::default();
        for _ in 0..9 {
            let mut micros = Samples::default();
            for _ in 0..100_000 {
                let begun = Instant::now();
                let command = listener.invoke(Event::new("t"));
                executor.execute(command).await.unwrap();
                micros.push(begun.elapsed().as_nanos() as f64 / 1e3);
            }
            of_runs.push(micros.percentile(99));
            executor.flush().await.unwrap();
        }
        executor.shutdown(Duration::from_secs(5)).await;
        of_runs
    });
    println!(
        "offer       p99 of an execution with the spool, one producer: median of nine runs {:.1} us, at most {:.1}",
        of_runs.median(),
        of_runs.percentile(99)
    );
}

const WINDOW: Duration = Duration::from_secs(5);
/// A single pair says nothing: its medians differ by a factor of two either way.
const PAIRS: usize = 24;
const EVERY: Duration = Duration::from_millis(5);

/// 200 executions a second while another process locks the database, in windows with and without.
pub(crate) fn outage() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (what, spool) in [
        ("memory", SpoolPlace::Memory),
        ("spool", SpoolPlace::Beside),
    ] {
        // Longer outages are what the spool is for.
        if minutes() > 1 && spool == SpoolPlace::Memory {
            continue;
        }
        let config = Config::default()
            .with_queue_max(20_000)
            .with_retry_max_records(20_000)
            .with_retry_max_attempts(u32::MAX)
            .with_spool(spool);
        runtime.block_on(run_outage(what, config));
    }
}

async fn run_outage(what: &str, config: Config) {
    let database = TempDatabase::new();
    let (executor, listener) = start(&database, config).await;
    let mut of_windows: [Vec<Samples>; 2] = [Vec::new(), Vec::new()];
    let before = memory_mib().0;
    for window in 0..2 * PAIRS {
        let is_locked = window % 2 == 1;
        // Somebody is there in both, so that they differ by the lock only.
        let outsider = Outsider::new(&database, is_locked);
        of_windows[usize::from(is_locked)].push(latencies(&executor, &listener).await);
        outsider.leave();
        // What the lock left behind is no part of the next window.
        executor.flush().await.unwrap();
    }
    let [free, locked] = of_windows;
    println!(
        "outage      {what:<7} {PAIRS} pairs of {WINDOW:?}, handler latency locked/free: median {}; p99 {}",
        compare(&locked, &free, 50),
        compare(&locked, &free, 99)
    );
    // And for longer than that.
    let outsider = Outsider::new(&database, true);
    let locked = Duration::from_secs(60 * minutes());
    for _ in 0..locked.as_secs() / WINDOW.as_secs() {
        latencies(&executor, &listener).await;
    }
    let during = memory_mib().0;
    outsider.leave();
    let released = Instant::now();
    executor.flush().await.unwrap();
    let caught_up = released.elapsed();
    let ledger = executor.shutdown(Duration::from_secs(60)).await.ledger;
    println!(
        "outage      {what:<7} after {locked:?} locked all stored in {caught_up:.2?}; {ledger}; \
         anonymous memory {before} MiB before, {during} MiB at the end"
    );
}

/// One percentile of each window: the ratio pair by pair, and the microseconds of both.
fn compare(locked: &[Samples], free: &[Samples], percent: usize) -> String {
    let of = |windows: &[Samples]| {
        let mut figures = Samples::default();
        for window in windows {
            figures.push(window.percentile(percent));
        }
        figures
    };
    let (locked, free) = (of(locked), of(free));
    format!(
        "{} ({:.1}/{:.1} us)",
        crate::ratio(&locked, &free),
        locked.median(),
        free.median()
    )
}

/// How long the store is locked at a stretch; the environment may ask for more than one.
fn minutes() -> u64 {
    let asked = std::env::var("MINUTES").ok();
    asked.and_then(|minutes| minutes.parse().ok()).unwrap_or(1)
}

/// Another process with the database open, and locked if it is to; it sleeps until it is to leave.
struct Outsider(Child);

impl Outsider {
    fn new(database: &TempDatabase, is_locked: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lock-holder"));
        command.arg(database.path());
        if !is_locked {
            command.arg("open");
        }
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said.trim_end() == "locked", is_locked, "it said {said:?}");
        Self(process)
    }

    fn leave(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// Of each execution in one window, in microseconds.
async fn latencies(executor: &CommandExecutor, listener: &ListenerHandle) -> Samples {
    let mut figures = Samples::default();
    let mut ticks = tokio::time::interval(EVERY);
    for _ in 0..WINDOW.as_millis() / EVERY.as_millis() {
        ticks.tick().await;
        let begun = Instant::now();
        let command = listener.invoke(Event::new("t"));
        executor.execute(command).await.unwrap();
        figures.push(begun.elapsed().as_nanos() as f64 / 1e3);
    }
    figures
}

/// What an idle executor costs, and one that has a batch waiting for a store that is locked: processor time,
/// and switches that it asked for, in a minute.
pub(crate) fn idle() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let database = TempDatabase::new();
        let (executor, listener) = start(&database, Config::default()).await;
        rest("idle").await;
        let outside = rusqlite::Connection::open(database.path()).unwrap();
        outside.execute_batch("BEGIN IMMEDIATE").unwrap();
        let command = listener.invoke(Event::new("t"));
        executor.execute(command).await.unwrap();
        rest("one batch waits").await;
        outside.execute_batch("ROLLBACK").unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
    });
}

async fn rest(what: &str) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, begun) = (usage(), Instant::now());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let ((ticks, switches), elapsed) = (usage(), begun.elapsed().as_secs_f64());
    println!(
        "idle        {:.2} % of one core, {:.1} wake-ups a second of all threads   {what}",
        (ticks - before.0) as f64 / elapsed,
        (switches - before.1) as f64 / elapsed
    );
}

/// Processor time in hundredths of a second, and voluntary switches, of all threads.
fn usage() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after_name
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let ticks = fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0);
    let threads = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let switches = threads.map(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"));
        let count = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        count.unwrap_or(0)
    });
    (ticks, switches.sum())
}
