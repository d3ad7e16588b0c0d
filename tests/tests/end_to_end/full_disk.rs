//! Clauses C4 and E5 together: the file system on which database and spool live is full, again and again.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use command_executor::{CommandExecutor, Config, DropReason, JobHandle, SpoolPlace, SqliteStore};
use tempfile::TempDir;

use crate::support::number;
use crate::torture::setting;

/// A file system in memory, taken away when it is dropped.
struct Small(TempDir);

impl Small {
    /// `None`, said aloud, where mounting is not permitted.
    fn mount(megabytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mount = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let mounted = Command::new("mount")
            .args(mount)
            .arg(directory.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: mounting a tmpfs is not permitted here; run this test as root");
            return None;
        }
        Some(Self(directory))
    }

    fn fill(&self) {
        let mut filler = File::create(self.0.path().join("filler")).unwrap();
        while filler.write_all(&[0; 65_536]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a writer's thread may still be closing its files.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

async fn start(root: &Path) -> (CommandExecutor, JobHandle) {
    start_with(root, SpoolPlace::Beside).await
}

async fn start_with(root: &Path, spool: SpoolPlace) -> (CommandExecutor, JobHandle) {
    let path = root.join("history.db");
    let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
    let config = Config::default().with_spool(spool);
    let executor = CommandExecutor::builder(store).config(config);
    let executor = executor.start().await.unwrap();
    // Large ones, so that few are needed.
    let job = executor
        .job("tests", "busy")
        .record_arguments(format!("\"{}\"", "x".repeat(2_000)));
    let job = job.handler_fn(|| async {});
    let job = job.register().await.unwrap();
    (executor, job)
}

async fn execute(executor: &CommandExecutor, job: &JobHandle, count: u32) {
    for _ in 0..count {
        executor.execute(job.run_now()).await.unwrap();
        tokio::task::yield_now().await;
    }
}

/// The spool asks a file system that had no room again once a second; what the store has drained by then rings no
/// bell. Returns how many were lost until it was asked.
async fn until_nothing_is_lost(executor: &CommandExecutor, job: &JobHandle) -> u64 {
    for _ in 0..200 {
        let lost = executor.ledger().total_dropped();
        execute(executor, job, 1).await;
        if executor.ledger().total_dropped() == lost {
            return lost;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("ten seconds after there was room again, records are still lost");
}

/// In real time: the file system knows no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_a_disk_that_is_full_again_and_again_costs_no_crash_and_every_loss_is_counted() {
    let times = setting("FULL").unwrap_or(3);
    // What is stored each time stays, and must not fill it by itself.
    let Some(small) = Small::mount(128 + 128 * times) else {
        return;
    };
    let root = small.0.path();
    let (executor, job) = start(root).await;
    for _ in 0..times {
        small.fill();
        // More than the segments that are there can take.
        execute(&executor, &job, 20_000).await;
        assert!(executor.ledger().is_balanced(), "{}", executor.ledger());
        small.empty();
        // It goes on by itself: what comes from now on is stored, with what had waited.
        executor.flush().await.unwrap();
        let lost = until_nothing_is_lost(&executor, &job).await;
        execute(&executor, &job, 100).await;
        executor.flush().await.unwrap();
        let ledger = executor.ledger();
        assert_eq!(
            (ledger.waiting, ledger.total_dropped()),
            (0, lost),
            "{ledger}"
        );
    }
    let ledger = executor.shutdown(Duration::from_secs(10)).await.ledger;
    println!("{ledger}");
    assert!(ledger.is_balanced(), "{ledger}");
    let rows = number(&root.join("history.db"), "SELECT count(*) FROM executions");
    assert_eq!(rows as u64, ledger.stored);
    assert!(ledger.dropped(DropReason::Overflow) > 0, "it was full");
    let told = "SELECT coalesce(sum(count), 0) FROM gaps WHERE reason = 'overflow'";
    let told = number(&root.join("history.db"), told);
    assert_eq!(told as u64, ledger.dropped(DropReason::Overflow));
}

/// A small disk, full for a while: nothing of ours may hold the room that a start needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_a_small_disk_that_was_full_locks_nobody_out() {
    // What is stored takes a third of it.
    let Some(small) = Small::mount(48) else {
        return;
    };
    let root = small.0.path();
    for _ in 0..3 {
        let (executor, job) = start(root).await;
        small.fill();
        execute(&executor, &job, 1_000).await;
        // What it could not write waits in its spool.
        executor.shutdown(Duration::from_secs(2)).await;
        small.empty();
        let (executor, job) = start(root).await;
        execute(&executor, &job, 10).await;
        executor.flush().await.unwrap();
        assert_eq!(executor.ledger().total_dropped(), 0);
        executor.shutdown(Duration::from_secs(10)).await;
    }
    let rows = number(&root.join("history.db"), "SELECT count(*) FROM executions");
    assert_eq!(rows, 3 * 1_010);
}

/// Not a byte is left when it starts: neither the database's log nor a segment can be made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_on_a_disk_without_a_byte_left_a_start_runs_its_handlers() {
    let Some(small) = Small::mount(48) else {
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let root = small.0.path();
    for spool in [SpoolPlace::Beside, SpoolPlace::At(elsewhere.path().into())] {
        let (executor, _job) = start(root).await;
        executor.shutdown(Duration::from_secs(10)).await;
        small.fill();
        let (executor, job) = start_with(root, spool).await;
        execute(&executor, &job, 10).await;
        assert_eq!(executor.ledger().waiting, 10);
        small.empty();
        executor.flush().await.unwrap();
        let ledger = executor.shutdown(Duration::from_secs(10)).await.ledger;
        assert_eq!((ledger.stored, ledger.total_dropped()), (10, 0), "{ledger}");
    }
}
