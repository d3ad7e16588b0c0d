//! The clauses, on real files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::sim::SimFs;
use crate::compaction::SETTLE_GRACE;
use crate::fs::Fs;
use crate::maintenance::Backoff;
use crate::spool::open_core;
use crate::{
    Abandoned, Closed, Durability, Frame, Full, Position, Spool, SpoolError, SpoolOptions,
};

fn small() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: 16 << 10,
        max_bytes: 256 << 10,
        ..SpoolOptions::default()
    }
}

fn root() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(root: &TempDir, options: SpoolOptions) -> Spool {
    Spool::create(&root.path().join("own"), options).expect("created")
}

fn positions(frames: &[Frame]) -> Vec<Position> {
    frames.iter().map(|frame| frame.position).collect()
}

/// Leaves the spool as a death of its process would, and lets go of its lock.
fn die(spool: Spool) {
    drop(spool);
}

fn recover(dir: &Path) -> Vec<Frame> {
    let mut abandoned = Abandoned::open(dir).expect("opened").expect("gone");
    let mut all = Vec::new();
    loop {
        let frames = abandoned.read(7, 1 << 20).expect("read");
        if frames.is_empty() {
            return all;
        }
        all.extend(frames);
    }
}

#[test]
fn e01_what_was_appended_is_found_by_the_next_process_in_order() {
    let root = root();
    let spool = open(&root, small());
    // Of several segments.
    for value in 0..2_000_u32 {
        spool.append(3, &value.to_le_bytes()).expect("room");
    }
    assert!(spool.usage().segments > 3);
    die(spool);
    let frames = recover(&root.path().join("own"));
    let values: Vec<u32> = frames
        .iter()
        .map(|frame| u32::from_le_bytes(frame.payload[..].try_into().expect("four")))
        .collect();
    assert_eq!(values, (0..2_000).collect::<Vec<_>>());
}

#[test]
fn e02_a_spool_that_is_drained_goes_on_for_ever_in_bounded_space() {
    let root = root();
    let spool = open(&root, small());
    for round in 0..200_u32 {
        for _ in 0..100 {
            spool.append(0, &[round as u8; 100]).expect("room");
        }
        let frames = spool.read(1_000, 1 << 20).frames;
        assert_eq!(frames.len(), 100);
        assert_eq!(spool.settle(&positions(&frames)), 100);
        assert_eq!(spool.settle(&positions(&frames)), 0, "settled once");
    }
    assert_eq!((spool.usage().unread, spool.usage().unsettled), (0, 0));
    assert_eq!(spool.close().expect("closed"), Closed::Removed);
    assert!(!root.path().join("own").exists());
}

#[test]
fn e02_past_its_limit_it_refuses_and_settling_makes_room() {
    let root = root();
    let spool = open(&root, small());
    let mut taken = 0;
    let refused = loop {
        match spool.append(0, &[1; 1_000]) {
            Ok(_) => taken += 1,
            Err(full) => break full,
        }
    };
    assert_eq!(refused, Full::Limit);
    assert!(spool.usage().bytes <= small().max_bytes);
    let frames = spool.read(usize::MAX, usize::MAX).frames;
    assert_eq!(frames.len(), taken);
    spool.settle(&positions(&frames));
    spool.append(0, &[1; 1_000]).expect("room again");
}

#[test]
fn e02_one_execution_of_days_keeps_no_later_segment_alive() {
    let root = root();
    let spool = open(&root, small());
    let pin = spool.pin(1, b"began long ago").expect("room");
    for _ in 0..3_000 {
        spool
            .append(0, &[0; 200])
            .expect("room: it is made by copying the pin forward");
        let frames = spool.read(10, 1 << 20).frames;
        spool.settle(&positions(&frames));
    }
    assert_eq!(spool.usage().pinned, 1);
    spool.release(pin);
    assert_eq!(spool.close().expect("closed"), Closed::Removed);
}

#[test]
fn e06_a_pin_that_finds_no_room_for_what_replaces_it_still_holds() {
    // Without the thread that makes room while nobody looks.
    let shared: Arc<dyn Fs> = Arc::new(SimFs::default());
    let (core, _lock) = open_core(&shared, Path::new("/root/own"), small()).expect("started");
    let pin = core.append(1, true, b"begun").expect("room");
    while core.append(0, false, &[1; 1_000]).is_ok() {}
    let full = core.replace(pin, 2, &[1; 1_000]).expect_err("full");
    assert_eq!((full, core.usage().pinned), (Full::Limit, 1));
    let frames = core.read(usize::MAX, usize::MAX).frames;
    core.settle(&positions(&frames));
    core.replace(pin, 2, b"ended").expect("room again");
    assert_eq!((core.usage().pinned, core.usage().unsettled), (0, 1));
    assert_eq!(core.read(9, 1_000).frames[0].payload, b"ended");
    core.stop();
}

/// More of them than there are segments, each in another one.
#[test]
fn e02_many_executions_of_days_keep_no_segment_each_alive() {
    let fs = SimFs::default();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let (core, _lock) = open_core(&shared, Path::new("/root/own"), small()).expect("started");
    let (mut now, mut backoff) = (Instant::now(), Backoff::new());
    let mut pins = Vec::new();
    for _ in 0..100 {
        pins.push(core.append(1, true, b"began long ago").expect("room"));
        // A segment and a half.
        for _ in 0..100 {
            core.append(0, false, &[0; 200]).expect("room");
            let frames = core.read(10, 1 << 20).frames;
            core.settle(&positions(&frames));
        }
        now += SETTLE_GRACE;
        core.maintain(now, &mut backoff);
    }
    let usage = core.usage();
    assert_eq!(usage.pinned, 100);
    assert!(usage.segments < 10, "{usage:?}");
    for pin in pins {
        core.release(pin);
    }
    core.stop();
    assert_eq!(core.finish().expect("closed"), Closed::Removed);
}

#[test]
fn e06_a_pin_is_read_by_the_next_process_only_and_not_once_released() {
    let root = root();
    let spool = open(&root, small());
    let released = spool.pin(1, b"ended").expect("room");
    let kept = spool.pin(1, b"interrupted").expect("room");
    assert!(spool.read(10, 1_000).frames.is_empty());
    spool.release(released);
    drop(kept);
    assert_eq!(spool.close().expect("closed"), Closed::Left { frames: 1 });
    let frames = recover(&root.path().join("own"));
    assert_eq!(frames.len(), 1);
    assert!(frames[0].pinned);
    assert_eq!(frames[0].payload, b"interrupted");
}

#[test]
fn e01_with_power_a_frame_is_awaited_until_it_is_on_the_medium() {
    let root = root();
    let durability = Durability::Power {
        every: Duration::from_millis(5),
    };
    let spool = open(
        &root,
        SpoolOptions {
            durability,
            ..small()
        },
    );
    let first = spool.append(0, b"first").expect("room");
    spool
        .wait_synced(first.sequence(), Duration::from_secs(60))
        .expect("synced");
    assert!(spool.synced() >= first.sequence());
    let second = spool.append(0, b"second").expect("room");
    let (sender, receiver) = std::sync::mpsc::channel();
    spool.on_synced(second.sequence(), move |synced| {
        sender.send(synced).expect("awaited");
    });
    assert_eq!(receiver.recv().expect("called"), Ok(()));
    assert_eq!(spool.usage().unsynced, 0);
}

#[test]
fn two_owners_never_share_a_directory() {
    let root = root();
    let dir = root.path().join("own");
    let spool = open(&root, small());
    let second = Spool::create(&dir, small());
    assert!(matches!(second, Err(SpoolError::Locked(_))), "{second:?}");
    assert!(
        Abandoned::open(&dir).expect("looked").is_none(),
        "it is alive"
    );
    spool.append(0, b"left").expect("room");
    die(spool);
    let third = Spool::create(&dir, small());
    assert!(matches!(third, Err(SpoolError::Occupied(_))), "{third:?}");
    assert_eq!(recover(&dir).len(), 1);
    let mut abandoned = Abandoned::open(&dir).expect("opened").expect("gone");
    let frames = abandoned.read(10, 1_000).expect("read");
    abandoned.settle(&positions(&frames)).expect("settled");
    abandoned.finish(crate::Blank::Unused).expect("removed");
    drop(Spool::create(&dir, small()).expect("a fresh one"));
    assert_eq!(std::fs::read_dir(root.path()).expect("listed").count(), 0);
}

/// A file that is only said to be so long would have a full disk noticed by a signal.
#[test]
fn e05_the_space_of_a_segment_is_claimed_when_it_is_made() {
    use std::os::unix::fs::MetadataExt;

    let root = root();
    let _spool = open(&root, small());
    let reports = crate::fsck(&root.path().join("own")).expect("looked");
    for report in &reports {
        let claimed = report.path.metadata().expect("there").blocks() * 512;
        assert!(claimed >= small().segment_bytes, "{claimed}");
    }
    assert!(!reports.is_empty());
}

#[test]
fn e03_what_was_settled_before_a_second_crash_is_not_found_again() {
    let root = root();
    let spool = open(&root, small());
    for value in 0..100_u8 {
        spool.append(0, &[value]).expect("room");
    }
    die(spool);
    let dir = root.path().join("own");
    let mut abandoned = Abandoned::open(&dir).expect("opened").expect("gone");
    let frames = abandoned.read(60, 1_000).expect("read");
    abandoned.settle(&positions(&frames)).expect("settled");
    drop(abandoned);
    let rest = recover(&dir);
    assert_eq!(rest.len(), 40);
    assert_eq!(rest[0].payload, [60]);
}

#[test]
fn appenders_of_many_threads_and_one_reader_see_each_frame_once() {
    let root = root();
    let spool = open(
        &root,
        SpoolOptions {
            max_bytes: 8 << 20,
            ..small()
        },
    );
    let done = AtomicBool::new(false);
    let mut seen = vec![0_u32; 4 * 20_000];
    std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..4_u32)
            .map(|thread| {
                let spool = &spool;
                scope.spawn(move || {
                    for value in 0..20_000 {
                        let value = thread * 20_000 + value;
                        let pin = spool.pin(1, b"begins");
                        while spool.append(0, &value.to_le_bytes()).is_err() {
                            std::thread::yield_now();
                        }
                        if let Ok(pin) = pin {
                            spool.release(pin);
                        }
                    }
                })
            })
            .collect();
        let (done, spool) = (&done, &spool);
        let reader = scope.spawn(move || {
            let mut sequence = 0;
            loop {
                let ended = done.load(Ordering::Acquire);
                let frames = spool.read(1_000, 1 << 20).frames;
                for frame in &frames {
                    assert!(frame.position.sequence() > sequence);
                    sequence = frame.position.sequence();
                    let value: [u8; 4] = frame.payload[..].try_into().expect("four bytes");
                    seen[u32::from_le_bytes(value) as usize] += 1;
                }
                spool.settle(&positions(&frames));
                if ended && frames.is_empty() {
                    return seen;
                }
            }
        });
        for appender in appenders {
            appender.join().expect("appended");
        }
        done.store(true, Ordering::Release);
        assert!(reader.join().expect("read").iter().all(|count| *count == 1));
    });
    assert_eq!(spool.close().expect("closed"), Closed::Removed);
}

#[test]
fn e04_what_is_damaged_while_its_process_lives_is_not_served_and_its_file_is_kept() {
    use std::os::unix::fs::FileExt;

    let root = root();
    let dir = root.path().join("own");
    let spool = open(&root, small());
    for value in 0..200_u8 {
        spool.append(0, &[value; 100]).expect("room");
    }
    let report = &crate::fsck(&dir).expect("looked")[0];
    let file = std::fs::File::options()
        .write(true)
        .open(&report.path)
        .expect("opened");
    // Of the second frame's payload, and of the fourth frame's length.
    for offset in [64 + 128 + 50, 64 + 3 * 128] {
        file.write_all_at(&[0xEE], offset).expect("written");
    }
    let frames = spool.read(1_000, 1 << 20).frames;
    let values: Vec<u8> = frames.iter().map(|frame| frame.payload[0]).collect();
    assert_eq!(
        values,
        (0..200)
            .filter(|value| ![1, 3].contains(value))
            .collect::<Vec<_>>()
    );
    let usage = spool.usage();
    assert_eq!((usage.damaged, usage.unread, usage.unsettled), (2, 0, 198));
    assert_eq!(spool.settle(&positions(&frames)), 198);
    assert!(matches!(
        spool.close().expect("closed"),
        Closed::Left { .. }
    ));
    let mut abandoned = Abandoned::open(&dir).expect("opened").expect("gone");
    assert!(abandoned.read(10, 1_000).expect("read").is_empty());
    assert_eq!(
        (abandoned.damage().frames, abandoned.damage().segments),
        (2, 1)
    );
    let finished = abandoned.finish(crate::Blank::Unused).expect("finished");
    assert_eq!((finished.unsettled, finished.moved_aside.len()), (0, 1));
    assert!(finished.moved_aside[0].exists() && !dir.exists());
}

#[test]
fn a_callback_may_panic_and_may_be_the_last_to_hold_the_spool() {
    let root = root();
    let durability = Durability::Power {
        every: Duration::from_millis(1),
    };
    let spool = std::sync::Arc::new(open(
        &root,
        SpoolOptions {
            durability,
            ..small()
        },
    ));
    let first = spool.append(0, b"first").expect("room");
    spool.on_synced(first.sequence(), |_| panic!("on purpose"));
    spool
        .wait_synced(first.sequence(), Duration::from_secs(60))
        .expect("synced");
    let second = spool.append(0, b"second").expect("room");
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (sender, receiver) = std::sync::mpsc::channel();
    let held = std::sync::Arc::clone(&spool);
    spool.on_synced(second.sequence(), move |synced| {
        gone.recv().expect("told");
        drop(held);
        sender.send(synced).expect("awaited");
    });
    drop(spool);
    go.send(()).expect("it waits");
    assert_eq!(receiver.recv().expect("called"), Ok(()));
    assert_eq!(recover(&root.path().join("own")).len(), 2);
}
