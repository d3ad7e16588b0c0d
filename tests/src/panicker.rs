//! A process of panics: `panicker DATABASE` executes 100,000 handlers that panic, and says
//! `grown KIB`: by how much its anonymous memory has grown since the first thousand. `panicker -`
//! does so without a database, whose cache is not the panics' doing. At the end it panics once more, outside
//! of all executions.

use std::error::Error;
use std::time::Duration;

use command_executor::{CommandExecutor, SqliteStore, Status};
use executor_testkit::DiscardStore;

const FIRST: usize = 1_000;
const ALL: usize = 100_000;
/// So many may be on their way at once, or the queue would be full.
const FLUSH_EVERY: usize = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: panicker DATABASE|-")?;
    let discard = DiscardStore::default();
    let builder = match path.as_str() {
        "-" => CommandExecutor::builder(discard.clone()),
        path => CommandExecutor::builder(SqliteStore::open(path).await?),
    };
    let executor = builder.start().await?;
    let job = executor.job("tests", "panics").handler(|| async {
        // Of every kind: a word, a text, something else, and something that panics in turn.
        match fast_number() % 4 {
            0 => panic!("a word"),
            1 => panic!("{} words", 2),
            2 => std::panic::panic_any(7_u8),
            _ => std::panic::panic_any(Bomb),
        }
    });
    let job = job.register().await?;
    let mut at_first = 0;
    for number in 1..=ALL {
        let result = executor.execute(job.run_now()).await?;
        assert_eq!(result.status(), Status::Panicked);
        if number % FLUSH_EVERY == 0 {
            executor.flush().await?;
        }
        if number == FIRST {
            at_first = anonymous_kib()?;
        }
    }
    println!("grown {}", anonymous_kib()? - at_first);
    // This one is nobody's execution: the program's own hook speaks of it.
    let outside = std::thread::spawn(|| panic!("outside of all executions"));
    assert!(outside.join().is_err());
    let report = executor.shutdown(Duration::from_secs(20)).await;
    assert_eq!(report.ledger.stored, ALL as u64);
    let counted = discard.count(Status::Panicked);
    assert!(path != "-" || counted == ALL as u64, "{counted}");
    Ok(())
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("while dropping");
        }
    }
}

/// A number that differs from call to call.
fn fast_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What the process has of memory that no file stands behind.
fn anonymous_kib() -> Result<i64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.ok_or("no RssAnon in /proc/self/status")?.parse()?)
}
