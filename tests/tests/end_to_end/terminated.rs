//! Clause F2 from outside: a process under load is asked to stop by a signal, while its store is well, slow or
//! locked, with handlers that do not end. It is gone in time, and has said where everything went.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};

use crate::torture::{Cell, setting};

/// What the process gives itself.
const DEADLINE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Store {
    Healthy,
    /// Locked by another for most of the time.
    Slow,
    Locked,
}

const STORES: [Store; 3] = [Store::Healthy, Store::Slow, Store::Locked];

/// What stands in the store's way until it is dropped.
struct Faults {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Faults {
    fn new(store: Store, database: &Path) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, database) = (Arc::clone(&is_over), database.to_owned());
        let held = match store {
            Store::Healthy => None,
            Store::Slow => Some(Duration::from_millis(40)),
            Store::Locked => Some(Duration::from_secs(60)),
        };
        let thread = held.map(|held| std::thread::spawn(move || lock(&database, held, &over)));
        Self { is_over, thread }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Locks for so long, lets go for a moment, and again.
fn lock(database: &Path, held: Duration, is_over: &AtomicBool) {
    let outside = rusqlite::Connection::open(database).unwrap();
    outside.busy_timeout(Duration::from_secs(10)).unwrap();
    while !is_over.load(Ordering::SeqCst) {
        outside.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = Instant::now();
        while begun.elapsed() < held && !is_over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        outside.execute_batch("COMMIT").unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How a process stopped.
struct Stopped {
    /// From the signal to its end.
    took: Duration,
    report: HashMap<String, String>,
}

impl Stopped {
    fn says(&self, part: &str, wanted: &str) {
        let said = self.report.get(part).map(String::as_str);
        assert_eq!(said, Some(wanted), "{part} of {:?}", self.report);
    }
}

fn terminate(cell: &Cell, store: Store, rate: u64, life: Duration) -> Stopped {
    let mut child = cell.command(rate, "term").spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "ready");
    let faults = Faults::new(store, &cell.path("history.db"));
    std::thread::sleep(life);
    let asked = Instant::now();
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let report = last_words(&mut child, said);
    let took = asked.elapsed();
    drop(faults);
    Stopped { took, report }
}

/// The report of a process that ends well.
fn last_words(child: &mut Child, said: Lines<BufReader<ChildStdout>>) -> HashMap<String, String> {
    let lines: Vec<String> = said.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{lines:?}");
    let [line] = lines.as_slice() else {
        panic!("one report, not {lines:?}");
    };
    let parts = line.split(' ').filter_map(|part| part.split_once('='));
    parts
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn f02_a_process_that_is_asked_to_stop_under_load_is_gone_in_time_and_balanced() {
    let stops = setting("STOPS").unwrap_or(9);
    let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed} STOPS={stops}");
    let mut rng = Rng::with_seed(seed);
    let mut over = Vec::new();
    for stop in 0..stops {
        let store = STORES[stop as usize % STORES.len()];
        let rate = [500, 5_000, 50_000][rng.usize(..3)];
        let cell = Cell::new();
        let life = Duration::from_millis(rng.u64(50..400));
        let stopped = terminate(&cell, store, rate, life);
        for (part, wanted) in [
            ("balanced", "true"),
            ("waiting", "0"),
            ("dropped", "0"),
            ("cancelled", "2"),
            ("still_running", "0"),
            ("leaked", "1"),
        ] {
            stopped.says(part, wanted);
        }
        if store == Store::Healthy {
            stopped.says("closed", "true");
        }
        over.push(stopped.took.saturating_sub(DEADLINE));
        // What was left in the spool is there after the next start, and nothing else was lost.
        cell.recover();
        cell.judge();
    }
    over.sort_unstable();
    let late = over.partition_point(|over| *over <= Duration::from_millis(250));
    println!(
        "{stops} stops: {late} within the deadline + 250 ms, the last {:?} after it",
        over.last()
    );
}
