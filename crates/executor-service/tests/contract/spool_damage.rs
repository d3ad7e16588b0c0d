//! Clause E4, as far as the service keeps it: what a damaged record costs, and what is said of it.

use std::path::Path;
use std::time::Duration;

use executor_core::{DropReason, ExecutionId};
use executor_service::{Degradation, Health};
use executor_testkit::MemoryStore;
use tokio::time::sleep;

use crate::spool::{config, copy, crashed, life, noop, run, start};

/// Deletes a directory in which the executor may just be making a file.
fn delete(dir: &Path) {
    let deleted = (0..100).any(|_| std::fs::remove_dir_all(dir).is_ok());
    assert!(deleted, "{}", dir.display());
}

#[test]
fn e04_a_damaged_record_is_counted_told_and_moved_aside_and_costs_no_other() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let (session, ids) = crashed(&store, root.path(), 100);
    // One byte of the fiftieth execution's id, wherever its frames are.
    damage(&root.path().join(session.to_string()), ids[49]);
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        let ledger = executor.ledger();
        assert_eq!(ledger.dropped(DropReason::Damaged), 1, "{ledger}");
        assert!(ledger.is_balanced());
        executor.shutdown(Duration::from_secs(5)).await;
    });
    assert_eq!(
        store.records().len(),
        100,
        "99 that ended and one interrupted"
    );
    let (_, ledger) = store.session(session).unwrap();
    assert_eq!(
        (ledger.offered, ledger.dropped(DropReason::Damaged)),
        (100, 1)
    );
    assert!(ledger.is_balanced());
    let gaps = store.gaps();
    assert_eq!(gaps.len(), 1);
    assert_eq!(
        (gaps[0].session, gaps[0].reason, gaps[0].count),
        (session, DropReason::Damaged.into(), 1)
    );
    let names = std::fs::read_dir(root.path()).unwrap().flatten();
    let aside = names.filter(|entry| entry.path().extension().is_some_and(|it| it == "damaged"));
    assert_eq!(aside.count(), 1);
}

/// Killed before anything of the service could look at it: the offer itself put it on the page.
#[test]
fn e04_also_the_very_last_record_of_a_killed_session_is_missed_when_it_is_damaged() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let alive = tempfile::tempdir().unwrap();
    let (session, last) = life(async {
        let executor = start(&store, config(alive.path())).await;
        let listener = noop(&executor).await;
        executor.flush().await.unwrap();
        let last = run(&executor, &listener).await;
        copy(alive.path(), root.path());
        (executor.session_id(), last)
    });
    damage(&root.path().join(session.to_string()), last);
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
    });
    let (_, ledger) = store.session(session).unwrap();
    let counts = (ledger.offered, ledger.dropped(DropReason::Damaged));
    assert_eq!(counts, (1, 1), "{ledger}");
}

#[test]
fn e04_a_spool_that_is_deleted_in_use_is_no_place_where_records_stay() {
    for comes_back in [false, true] {
        let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
        life(async {
            let executor = start(&store, config(root.path())).await;
            let listener = noop(&executor).await;
            executor.flush().await.unwrap();
            store.go_away();
            for _ in 0..5 {
                run(&executor, &listener).await;
            }
            delete(root.path());
            sleep(Duration::from_secs(60)).await;
            let health = executor.health();
            let Health::Degraded(reasons) = health else {
                panic!("{health:?}");
            };
            let is_told = |reason: &Degradation| matches!(reason, Degradation::NoSpool { .. });
            assert!(reasons.iter().any(is_told), "{reasons:?}");
            if comes_back {
                store.come_back();
                executor.flush().await.unwrap();
            }
            let ledger = executor.shutdown(Duration::from_secs(5)).await.ledger;
            let (stored, lost) = if comes_back { (5, 0) } else { (0, 5) };
            let counts = (
                ledger.stored,
                ledger.dropped(DropReason::Shutdown),
                ledger.spooled,
            );
            assert_eq!(counts, (stored, lost, 0), "{ledger}");
            assert!(ledger.is_balanced());
        });
    }
}

fn damage(dir: &Path, id: ExecutionId) {
    let mut hits = 0;
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let mut bytes = std::fs::read(entry.path()).unwrap();
        let id = id.as_uuid().as_bytes();
        let places: Vec<usize> = bytes
            .windows(16)
            .enumerate()
            .filter(|(_, window)| window == id)
            .map(|(place, _)| place)
            .collect();
        // The last one is the record; before it comes the start, which was released.
        if let Some(place) = places.last() {
            hits += 1;
            bytes[*place] ^= 0xFF;
            std::fs::write(entry.path(), bytes).unwrap();
        }
    }
    assert_eq!(hits, 1);
}
