//! Clause D5 and C4 for damage of every kind: whatever becomes of the bytes of a database and of its log,
//! nothing panics and nobody hangs, and what is said to be stored can be read.

use std::time::Duration;

use executor_core::ports::{Fate, Filter, History, PageRequest, RecordStore, Window};
use executor_testkit as kit;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use telemetry_store::SqliteStore;
use tokio::time::timeout;

use crate::faults::records;
use crate::support::{Database, persist};

const PAGE: usize = 4_096;

/// What happens to the bytes of one of the two files.
#[derive(Clone, Debug)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Truncate(prop::sample::Index),
    ZeroPage(prop::sample::Index),
    /// Some bytes take the place of others.
    Copy(prop::sample::Index, prop::sample::Index, usize),
}

impl Harm {
    fn any() -> impl Strategy<Value = Self> {
        let place = any::<prop::sample::Index>;
        prop_oneof![
            4 => (place(), 1_u8..).prop_map(|(at, mask)| Self::Flip(at, mask)),
            1 => place().prop_map(Self::Truncate),
            1 => place().prop_map(Self::ZeroPage),
            1 => (place(), place(), 1_usize..PAGE).prop_map(|(from, to, length)| Self::Copy(from, to, length)),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let size = bytes.len();
        match self {
            Self::Flip(at, mask) => bytes[at.index(size)] ^= mask,
            Self::Truncate(at) => bytes.truncate(at.index(size)),
            Self::ZeroPage(at) => {
                let start = at.index(size) / PAGE * PAGE;
                bytes[start..(start + PAGE).min(size)].fill(0);
            }
            Self::Copy(from, to, length) => {
                let (from, to) = (from.index(size), to.index(size));
                let length = (*length).min(size - from.max(to));
                bytes.copy_within(from..from + length, to);
            }
        }
    }
}

/// A database of some hundred records, part of them in its log, as a killed process leaves it.
async fn left() -> [Vec<u8>; 2] {
    let database = Database::migrated();
    let store = database.open().await;
    persist(&store, &kit::session(), records(200))
        .await
        .unwrap();
    database
        .outside()
        .execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
        .unwrap();
    persist(&store, &kit::session(), records(200))
        .await
        .unwrap();
    let log = format!("{}-wal", database.url());
    [
        std::fs::read(&database.path).unwrap(),
        std::fs::read(log).unwrap(),
    ]
}

/// Opens it, writes, asks everything there is to ask. What is answered well must be so.
async fn use_it(database: &Database) {
    let Ok(store) = SqliteStore::open(database.url()).await else {
        return;
    };
    let batch = records(20);
    let names: Vec<_> = batch.iter().map(|record| record.execution_id).collect();
    let stored = persist(&store, &kit::session(), batch.clone()).await;
    let reader = database.history();
    let _ = reader.overall(Window::default()).await;
    let _ = reader.summaries(Window::default()).await;
    let _ = reader.sessions(PageRequest::default()).await;
    let _ = reader
        .executions(Filter::default(), PageRequest::default())
        .await;
    for ((name, record), fate) in names.iter().zip(&batch).zip(stored.unwrap_or_default()) {
        if matches!(fate, Fate::SetAside { .. }) {
            continue;
        }
        // Found as it was, or not at all, with an error that says why.
        if let Ok(Some(found)) = reader.execution(*name).await {
            assert_eq!(found.record.started_at, record.started_at);
            assert_eq!(found.record.duration, record.duration);
        }
    }
    let _ = store.close().await;
}

#[test]
fn d05_whatever_becomes_of_the_bytes_of_a_database_nothing_panics_and_nobody_hangs() {
    let asked = std::env::var("MUTATIONS").ok();
    let cases = asked.and_then(|cases| cases.parse().ok()).unwrap_or(40);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let whole = runtime.block_on(left());
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let harms = proptest::collection::vec((0_usize..2, Harm::any()), 1..4);
    let run = |(harms, is_swapped): (Vec<(usize, Harm)>, bool)| {
        let mut files = whole.clone();
        for (file, harm) in &harms {
            harm.apply(&mut files[*file]);
        }
        if is_swapped {
            files.swap(0, 1);
        }
        let database = Database::new();
        std::fs::write(&database.path, &files[0]).unwrap();
        std::fs::write(format!("{}-wal", database.url()), &files[1]).unwrap();
        let used =
            runtime.block_on(async { timeout(Duration::from_secs(60), use_it(&database)).await });
        used.map_err(|_| TestCaseError::fail("it hangs"))
    };
    let cases = (harms, prop::bool::weighted(0.05));
    TestRunner::new(config).run(&cases, run).unwrap();
}
