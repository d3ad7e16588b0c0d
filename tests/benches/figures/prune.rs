//! What pruning adds to the wait for a commit: small batches are stored while a database of some 80 MB is
//! brought 5 MB below its size, and while it is left alone, in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use executor_core::ports::{Batch, Housekeeping, PruneRule, PruneSlice, RecordStore, Session};
use executor_core::{ExecutionRecord, Registration};
use executor_testkit::{TempDatabase, listener, record, session};
use telemetry_store::SqliteStore;

use crate::{Pairs, Samples, TURNS};

const ROWS: u64 = 40_000;
const BATCH: u64 = 20;
/// Commits in a run without pruning; with it, as many as it lasts.
const COMMITS: usize = 500;
/// The service's own.
const SLICE_ROWS: u32 = 500;

struct House {
    store: SqliteStore,
    listener: Registration,
    session: Arc<Session>,
}

impl House {
    fn records(&self, from: u64, count: u64) -> Vec<ExecutionRecord> {
        let made = (from..from + count).map(|number| {
            let mut record = record(&self.listener, None, number * 10);
            record.arguments_json = Some("x".repeat(1_500).into());
            record
        });
        made.collect()
    }

    async fn persist(&self, records: Vec<ExecutionRecord>) {
        let session = Arc::clone(&self.session);
        let batch = Batch { session, records };
        self.store.persist(Arc::new(batch)).await.unwrap();
    }

    async fn prune(&self, bytes: u64) -> u64 {
        let slice = PruneSlice::new(PruneRule::LargerThan(bytes), SLICE_ROWS);
        self.store.prune(slice).await.unwrap()
    }

    /// Waits for commits, in milliseconds, until `enough` says so.
    async fn commits(&self, next: &mut u64, enough: impl Fn(usize) -> bool) -> Samples {
        let mut waits = Samples::default();
        let mut count = 0;
        while !enough(count) {
            let records = self.records(*next, BATCH);
            *next += BATCH;
            let begun = Instant::now();
            self.persist(records).await;
            waits.push(begun.elapsed().as_secs_f64() * 1e3);
            count += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        waits
    }
}

/// The p99 of the wait for a commit in milliseconds, with pruning and without.
pub(crate) fn measure() -> Pairs {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = TempDatabase::new();
        let house = House {
            store: database.open().await.unwrap(),
            listener: listener("hall"),
            session: session(),
        };
        let mut pairs = Pairs::default();
        let mut next = 0;
        for _ in 0..TURNS / 3 {
            // What the last turn let go, and what it added, made up for.
            while size(&database) < 80_000_000 || next < ROWS {
                house.persist(house.records(next, 1_000)).await;
                next += 1_000;
            }
            house.prune(u64::MAX).await;
            let alone = house.commits(&mut next, |count| count >= COMMITS).await;
            let cap = size(&database) - 5_000_000;
            let done = AtomicBool::new(false);
            let pruning = async {
                while house.prune(cap).await > 0 {}
                done.store(true, Ordering::Relaxed);
            };
            let is_done = |_| done.load(Ordering::Relaxed);
            let (waits, ()) = tokio::join!(house.commits(&mut next, is_done), pruning);
            pairs.ours.push(waits.percentile(99));
            pairs.bare.push(alone.percentile(99));
        }
        pairs
    })
}

fn size(database: &TempDatabase) -> u64 {
    std::fs::metadata(database.path()).unwrap().len()
}
