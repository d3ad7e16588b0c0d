//! Processes that are killed while they append, and outside of them what they were told: files
//! written to with one `write` each, after the call had returned.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use record_spool::{Abandoned, Spool, SpoolError, SpoolOptions};

const RECORD: u8 = 1;
const BEGUN: u8 = 2;

/// Small segments, so that they are filled, reused and removed many times in each run.
fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: 32 << 10,
        max_bytes: 16 << 20,
        ..SpoolOptions::default()
    }
}

fn oracle(root: &Path, name: &str) -> File {
    let mut options = OpenOptions::new();
    let opened = options.append(true).create(true).open(root.join(name));
    opened.expect("an oracle")
}

fn told(root: &Path, name: &str) -> HashSet<u64> {
    let bytes = fs::read(root.join(name)).unwrap_or_default();
    let (values, _) = bytes.as_chunks::<8>();
    values
        .iter()
        .map(|value| u64::from_le_bytes(*value))
        .collect()
}

/// Of 8 to 400 bytes, begins with the value.
fn payload(value: u64) -> Vec<u8> {
    let mut payload = value.to_le_bytes().to_vec();
    payload.resize(8 + (value as usize * 31) % 392, value as u8);
    payload
}

/// The child: appends for ever, stores what it reads in a file, and settles it.
#[test]
fn child() {
    let Some(root) = std::env::var_os("SPOOL_KILL_ROOT") else {
        return;
    };
    let root = Path::new(&root);
    let spool = Spool::create(&root.join("own"), options()).expect("created");
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| append_for_ever(&spool, &next, root));
        }
        store_for_ever(&spool, root);
    });
}

fn append_for_ever(spool: &Spool, next: &AtomicU64, root: &Path) {
    let mut appended = oracle(root, "appended");
    let mut begun = oracle(root, "begun");
    loop {
        let value = next.fetch_add(1, Ordering::Relaxed);
        let Ok(pin) = spool.pin(BEGUN, &payload(value)) else {
            std::thread::yield_now();
            continue;
        };
        begun.write_all(&value.to_le_bytes()).expect("told");
        if spool.append(RECORD, &payload(value)).is_ok() {
            appended.write_all(&value.to_le_bytes()).expect("told");
            // One in a thousand goes on until the end.
            if value.is_multiple_of(1_000) {
                drop(pin);
            } else {
                spool.release(pin);
            }
        }
    }
}

fn store_for_ever(spool: &Spool, root: &Path) {
    let mut stored = oracle(root, "stored");
    loop {
        let frames = spool.read(100, 1 << 20).frames;
        let values = frames.iter().flat_map(|frame| frame.payload[..8].to_vec());
        stored
            .write_all(&values.collect::<Vec<u8>>())
            .expect("stored");
        let positions: Vec<_> = frames.iter().map(|frame| frame.position).collect();
        spool.settle(&positions);
        std::thread::yield_now();
    }
}

fn start(root: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["--exact", "child", "--nocapture"])
        .env("SPOOL_KILL_ROOT", root);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("started")
}

/// Waits until this much was acknowledged.
fn wait_for(root: &Path, child: &mut Child, acknowledged: u64) {
    let path = root.join("appended");
    while fs::metadata(&path).map_or(0, |metadata| metadata.len()) < acknowledged * 8 {
        assert!(
            child.try_wait().expect("asked").is_none(),
            "the child died by itself"
        );
        std::thread::yield_now();
    }
}

fn kill(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("gone");
}

fn recover(dir: &Path) -> (HashSet<u64>, HashSet<u64>) {
    let mut abandoned = Abandoned::open(dir)
        .expect("opened")
        .expect("its process is gone");
    let (mut records, mut begun) = (HashSet::new(), HashSet::new());
    loop {
        let frames = abandoned.read(1_000, 1 << 20).expect("read");
        if frames.is_empty() {
            break;
        }
        for frame in &frames {
            let value = u64::from_le_bytes(frame.payload[..8].try_into().expect("a value"));
            assert_eq!(frame.payload, payload(value));
            let found = match frame.kind {
                RECORD => &mut records,
                BEGUN => &mut begun,
                kind => panic!("kind {kind} was never written"),
            };
            assert!(found.insert(value), "{value} is there twice");
        }
        let positions: Vec<_> = frames.iter().map(|frame| frame.position).collect();
        abandoned.settle(&positions).expect("settled");
    }
    assert_eq!(abandoned.damage().segments, 0, "a kill damages nothing");
    abandoned
        .finish(record_spool::Blank::Unused)
        .expect("finished");
    assert!(!dir.exists());
    (records, begun)
}

/// `SPOOL_KILLS` sets how often.
#[test]
fn e01_a_killed_process_loses_nothing_that_it_was_told_is_appended() {
    let kills = std::env::var("SPOOL_KILLS").ok();
    let kills = kills.map_or(20, |kills| kills.parse().expect("a number"));
    let mut seen = 0;
    for round in 0..kills {
        let root = tempfile::tempdir().expect("a directory");
        let mut child = start(root.path());
        wait_for(root.path(), &mut child, 1 + (round * 7_919) % 30_000);
        kill(child);
        let (records, begun) = recover(&root.path().join("own"));
        let appended = told(root.path(), "appended");
        let stored = told(root.path(), "stored");
        for value in &appended {
            let is_there = records.contains(value) || stored.contains(value);
            assert!(is_there, "round {round}: {value} was appended and is lost");
        }
        for value in told(root.path(), "begun").difference(&appended) {
            // One may have been appended and released without having been told yet.
            let is_there = begun.contains(value) || records.contains(value);
            assert!(
                is_there || stored.contains(value),
                "round {round}: {value} had begun"
            );
        }
        for value in appended.iter().filter(|value| value.is_multiple_of(1_000)) {
            assert!(
                begun.contains(value),
                "round {round}: {value} was never released"
            );
        }
        seen += appended.len();
    }
    println!("{kills} kills, {seen} appends acknowledged");
}

#[test]
fn a_live_process_is_left_alone() {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("own");
    let mut child = start(root.path());
    wait_for(root.path(), &mut child, 1);
    assert!(Abandoned::open(&dir).expect("looked").is_none());
    let second = Spool::create(&dir, options());
    assert!(matches!(second, Err(SpoolError::Locked(_))), "{second:?}");
    record_spool::fsck(&dir).expect("looking is allowed");
    wait_for(root.path(), &mut child, 5_000);
    kill(child);
    assert!(Abandoned::open(&dir).expect("looked").is_some());
}
