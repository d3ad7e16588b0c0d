//! Clauses C8 and E4: damage at rest. Whatever becomes of a spool's files between two lives, rows and gaps together
//! are what was acknowledged, and the ledger balances; or it is said that it was rebuilt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use executor_core::{DropReason, Ledger, SessionId, Status};
use executor_service::CommandExecutor;
use executor_testkit::MemoryStore;

use crate::spool::{config, copy, life, noop, run, start};
use crate::support::Logs;

/// So many records are offered; each takes some two hundred bytes of segments of 8 MiB.
const STORED: u64 = 40;
const LEFT: u64 = 60;

/// What a killed process leaves that had stored some of its records: copied while it lives.
fn left_behind(store: &MemoryStore, root: &Path) -> SessionId {
    let alive = tempfile::tempdir().unwrap();
    life(async {
        let executor = start(store, config(alive.path())).await;
        let listener = noop(&executor).await;
        for _ in 0..STORED {
            run(&executor, &listener).await;
        }
        executor.flush().await.unwrap();
        store.go_away();
        for _ in 0..LEFT {
            run(&executor, &listener).await;
        }
        copy(alive.path(), root);
        store.come_back();
        executor.session_id()
    })
}

/// The next life, and what it says of the one before.
struct After {
    ledger: Ledger,
    rows: u64,
    gaps: u64,
    is_rebuilt: bool,
}

fn next_life(store: &MemoryStore, root: &Path, session: SessionId) -> After {
    store.reopen();
    let (logs, _listening) = Logs::listen();
    let rows = || {
        store
            .records()
            .iter()
            .filter(|record| record.status != Status::Interrupted)
            .count() as u64
    };
    life(async {
        let executor: CommandExecutor = start(store, config(root)).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
    });
    let gaps = store.gaps();
    assert!(
        gaps.iter()
            .all(|gap| gap.session == session && gap.reason == DropReason::Damaged.into()),
        "{gaps:?}"
    );
    let said =
        |line: &crate::support::Line| line.fields["message"].contains("rebuilding its ledger");
    After {
        ledger: store.session(session).unwrap().1,
        rows: rows(),
        gaps: gaps.iter().map(|gap| gap.count).sum(),
        is_rebuilt: logs.of("ERROR").iter().any(said),
    }
}

/// Damages what a killed process left, and looks at what becomes of it.
fn damaged(damage: impl FnOnce(&Path, SessionId)) -> (After, BTreeMap<String, u64>) {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let session = left_behind(&store, root.path());
    damage(root.path(), session);
    let after = next_life(&store, root.path(), session);
    assert!(after.ledger.is_balanced(), "{}", after.ledger);
    let left = std::fs::read_dir(root.path()).unwrap().flatten();
    let left = left.map(|entry| {
        (
            entry.file_name().into_string().unwrap(),
            entry.metadata().unwrap().len(),
        )
    });
    (after, left.collect())
}

fn segments(root: &Path, session: SessionId) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join(session.to_string()))
        .unwrap()
        .flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "spool"))
        .collect();
    paths.sort();
    paths
}

fn assert_all_accounted_for(after: &After, what: &str) {
    let (ledger, acknowledged) = (after.ledger, STORED + LEFT);
    assert_eq!(after.rows + after.gaps, acknowledged, "{what}: {ledger}");
    assert_eq!(ledger.offered, acknowledged, "{what}: {ledger}");
    assert_eq!(
        (ledger.stored, ledger.dropped(DropReason::Damaged)),
        (after.rows, after.gaps),
        "{what}: {ledger}"
    );
    assert!(!after.is_rebuilt, "{what}");
}

#[test]
fn e04_segments_that_are_blanked_cut_short_or_deleted_cost_what_was_in_them_and_that_is_told() {
    type Damage = fn(&Path);
    let kinds: [(&str, Damage); 6] = [
        ("blanked", |path| {
            std::fs::write(path, vec![0; 8 << 20]).unwrap();
        }),
        ("cut to nothing", |path| std::fs::write(path, "").unwrap()),
        ("cut short", |path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(6_000).unwrap();
        }),
        ("overwritten", |path| {
            std::fs::write(path, vec![0xA5; 8 << 20]).unwrap();
        }),
        ("deleted", |path| std::fs::remove_file(path).unwrap()),
        ("replaced by a directory", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
    ];
    for (what, damage) in kinds {
        let (after, left) = damaged(|root, session| damage(&segments(root, session)[0]));
        assert_all_accounted_for(&after, what);
        assert!(
            after.gaps > 0 && after.rows >= STORED,
            "{what}: {}",
            after.ledger
        );
        // A spare that was being made when the copy was taken looks blanked, and goes aside as well.
        let is_aside = left.keys().any(|name| name.ends_with(".damaged"));
        let was_there = !what.starts_with("deleted") && !what.starts_with("replaced");
        assert!(is_aside || !was_there, "{what}: {left:?}");
    }
}

#[test]
fn e04_a_spool_all_of_whose_segments_are_gone_loses_what_was_in_it_and_no_more() {
    let (after, _) = damaged(|root, session| {
        segments(root, session)
            .iter()
            .for_each(|path| std::fs::remove_file(path).unwrap());
    });
    assert_all_accounted_for(&after, "all gone");
    assert_eq!((after.rows, after.gaps), (STORED, LEFT));
}

#[test]
fn e04_a_spool_whose_directory_is_gone_loses_what_was_in_it_and_that_is_told_once() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let session = left_behind(&store, root.path());
    std::fs::remove_dir_all(root.path().join(session.to_string())).unwrap();
    for _ in 0..2 {
        let after = next_life(&store, root.path(), session);
        assert_eq!((after.rows, after.gaps), (STORED, LEFT));
        assert!(after.ledger.is_balanced(), "{}", after.ledger);
        assert_eq!(after.ledger.stored, STORED);
    }
}

#[test]
fn e04_without_damage_nothing_is_said_to_be_lost() {
    let (after, left) = damaged(|_, _| {});
    assert_all_accounted_for(&after, "whole");
    assert_eq!((after.rows, after.gaps), (STORED + LEFT, 0));
    assert!(left.is_empty(), "{left:?}");
}

/// However the bounds stand to each other.
#[test]
fn e02_a_batch_that_is_larger_than_what_may_be_retried_is_stored_too() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    life(async {
        let bounds = config(root.path())
            .with_batch_max(50)
            .with_retry_max_records(10);
        let executor = start(&store, bounds).await;
        let listener = noop(&executor).await;
        for _ in 0..STORED {
            run(&executor, &listener).await;
        }
        let stored = tokio::time::timeout(Duration::from_secs(20), executor.flush()).await;
        stored.expect("in time").unwrap();
        assert_eq!(store.records().len() as u64, STORED);
        executor.shutdown(Duration::from_secs(5)).await;
    });
}

/// Each bit of each counter that is in use, one at a time.
#[test]
fn c08_a_flipped_bit_of_a_counter_is_noticed_and_the_ledger_rebuilt() {
    for counter in 0..19 {
        for bit in [0, 20, 63] {
            let (after, _) = damaged(|root, session| {
                let page = root.join(format!("{session}.page"));
                let mut bytes = std::fs::read(&page).unwrap();
                bytes[3_072 + counter * 8 + bit / 8] ^= 1 << (bit % 8);
                std::fs::write(page, bytes).unwrap();
            });
            let what = format!("counter {counter}, bit {bit}: {}", after.ledger);
            assert_eq!((after.rows, after.gaps), (STORED + LEFT, 0), "{what}");
            assert_eq!(
                (after.ledger.stored, after.ledger.offered),
                (STORED + LEFT, STORED + LEFT),
                "{what}"
            );
            // Those after them say which level held and when the process lived.
            assert_eq!(after.is_rebuilt, counter < 16, "{what}");
        }
    }
}

#[test]
fn c08_without_its_page_or_with_a_blanked_one_a_ledger_is_rebuilt() {
    for bytes in [None, Some(vec![0; 4_096]), Some(vec![0; 100])] {
        let (after, _) = damaged(|root, session| {
            let page = root.join(format!("{session}.page"));
            match &bytes {
                None => std::fs::remove_file(page).unwrap(),
                Some(bytes) => std::fs::write(page, bytes).unwrap(),
            }
        });
        assert!(after.is_rebuilt);
        assert_eq!((after.rows, after.gaps), (STORED + LEFT, 0));
        assert_eq!(
            (after.ledger.stored, after.ledger.offered),
            (STORED + LEFT, STORED + LEFT)
        );
    }
}

/// The counters are gone, and records too: what the store has is stored, and nothing else is.
#[test]
fn c08_without_counters_nothing_is_stored_that_is_not_found() {
    let (after, _) = damaged(|root, session| {
        std::fs::write(root.join(format!("{session}.page")), vec![0; 4_096]).unwrap();
        let segment = segments(root, session)[0].clone();
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes[6_000..9_000].fill(0xA5);
        std::fs::write(segment, bytes).unwrap();
    });
    assert!(after.is_rebuilt && after.gaps > 0, "{}", after.ledger);
    // A damaged frame may have been a start: more may be told than was lost, never less.
    assert!(after.rows + after.gaps >= STORED + LEFT, "{}", after.ledger);
    assert!(after.gaps < 30, "{}", after.ledger);
    assert_eq!(after.ledger.stored, after.rows);
}

#[test]
fn e04_a_lock_that_is_gone_or_damaged_costs_nothing() {
    for bytes in [None, Some(Vec::new()), Some(vec![0xFF; 4_096])] {
        let (after, left) = damaged(|root, session| {
            let lock = root.join(session.to_string()).join("lock");
            match &bytes {
                None => std::fs::remove_file(lock).unwrap(),
                Some(bytes) => std::fs::write(lock, bytes).unwrap(),
            }
        });
        assert_all_accounted_for(&after, "the lock");
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Damage of any kind, anywhere. `DAMAGES` says how often; it is thousands in the torture rig.
#[test]
fn e04_whatever_is_damaged_nothing_is_lost_in_silence() {
    let times = std::env::var("DAMAGES")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..times.unwrap_or(60) {
        let mut what = String::new();
        let (after, _) = damaged(|root, session| what = hurt(&mut random, root, session));
        let (ledger, acknowledged) = (after.ledger, STORED + LEFT);
        let what = format!("seed {seed}, round {round}: {what}: {ledger}");
        assert_eq!(
            ledger.stored + ledger.total_dropped(),
            ledger.offered + ledger.recovered,
            "{what}"
        );
        assert_eq!(ledger.total_dropped(), after.gaps, "{what}");
        assert_eq!(ledger.stored, after.rows, "{what}");
        if after.is_rebuilt {
            continue;
        }
        assert_eq!(after.rows + after.gaps, acknowledged, "{what}");
        assert_eq!(ledger.offered, acknowledged, "{what}");
    }
}

/// Damages one file, and says how.
fn hurt(random: &mut fastrand::Rng, root: &Path, session: SessionId) -> String {
    let mut files = segments(root, session);
    // Where the records are, more often than not.
    files.extend([files[0].clone(), files[0].clone(), files[0].clone()]);
    files.push(root.join(format!("{session}.page")));
    files.push(root.join(session.to_string()).join("lock"));
    let file = files[random.usize(..files.len())].clone();
    let mut bytes = std::fs::read(&file).unwrap();
    let used = bytes.len().min(64 << 10);
    let kind = random.u8(..6);
    let at = if used == 0 { 0 } else { random.usize(..used) };
    let end = bytes.len().min(at + random.usize(1..20_000));
    match kind {
        0 if used > 0 => bytes[at] ^= 1 << random.u8(..8),
        1 => bytes[at..end].fill(0),
        2 => bytes[at..end].fill_with(|| random.u8(..)),
        3 => bytes.truncate(at),
        4 => {
            std::fs::remove_file(&file).unwrap();
            return format!("{} deleted", file.display());
        }
        _ => bytes.fill(0),
    }
    std::fs::write(&file, bytes).unwrap();
    format!("{} hurt by {kind} from {at} to {end}", file.display())
}

#[test]
fn e04_what_bears_no_mark_of_ours_stays_and_makes_no_session() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let at = |name: &str| root.path().join(name);
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let other = "01890a5d-ac96-774b-bcce-b302099a8058";
    std::fs::write(at("notes.page"), "mine").unwrap();
    std::fs::write(at(&format!("{id}.page")), "mine too").unwrap();
    std::fs::create_dir(at(id)).unwrap();
    std::fs::create_dir(at(other)).unwrap();
    std::fs::write(at(other).join("lock"), "a lock of another kind").unwrap();
    std::fs::write(
        at(other).join("segment-0000000000000001.spool"),
        "no segment",
    )
    .unwrap();
    let (elsewhere, linked) = (
        tempfile::tempdir().unwrap(),
        "01890a5d-ac96-774b-bcce-b302099a8059",
    );
    std::fs::write(elsewhere.path().join("lock"), "RECLOCK1").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), at(linked)).unwrap();
    let before = everything_in(root.path());
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
        let ours = executor.session_id();
        assert!(store.session(ours).is_some());
    });
    assert_eq!(everything_in(root.path()), before);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    for id in [id, other, linked] {
        let id = SessionId::from_uuid(uuid::Uuid::try_parse(id).unwrap());
        assert!(store.session(id).is_none(), "a session of it was made");
    }
}

/// A pipe in the place of a file of ours is not waited for, and what else lies in a spool's directory stays there.
#[test]
fn e04_a_pipe_called_lock_is_not_waited_for_and_what_lies_beside_segments_stays() {
    let (root, store) = (tempfile::tempdir().unwrap(), MemoryStore::new());
    let session = left_behind(&store, root.path());
    let dir = root.path().join(session.to_string());
    std::fs::write(dir.join("notes"), "mine").unwrap();
    let lock = dir.join("lock");
    std::fs::remove_file(&lock).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&lock)
            .status()
            .unwrap()
            .success()
    );
    life(async {
        let executor = start(&store, config(root.path())).await;
        executor.flush().await.unwrap();
        executor.shutdown(Duration::from_secs(5)).await;
    });
    assert_eq!(store.records().len() as u64, STORED, "it is left alone");
    std::fs::remove_file(&lock).unwrap();
    let after = next_life(&store, root.path(), session);
    assert_all_accounted_for(&after, "the next one");
    assert_eq!(std::fs::read(dir.join("notes")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
}

fn everything_in(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(everything_in(&entry.path()));
        }
        all.insert(entry.path(), std::fs::read(entry.path()).ok());
    }
    all
}
