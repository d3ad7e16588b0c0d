//! The k-th operation on a file fails, once or for good, for every k of a run that does everything
//! a spool does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sim::{Fault, Rng, SimFs};
use crate::compaction::SETTLE_GRACE;
use crate::core::Core;
use crate::fs::Fs;
use crate::maintenance::Backoff;
use crate::spool::open_core;
use crate::{Abandoned, Closed, Durability, Full, SpoolOptions};

const DIR: &str = "/root/own";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const EDQUOT: i32 = 122;

/// What became of what was appended.
#[derive(Debug, Default)]
struct Account {
    taken: u64,
    refused: u64,
    read: BTreeMap<u64, Vec<u8>>,
    left: u64,
}

fn options(durability: Durability) -> SpoolOptions {
    SpoolOptions {
        segment_bytes: 4 << 10,
        max_bytes: 40 << 10,
        spares: 2,
        durability,
        ..SpoolOptions::default()
    }
}

fn payload(value: u64) -> Vec<u8> {
    let length = 40 + (value * 37) % 300;
    (0..length).map(|byte| (byte ^ value) as u8).collect()
}

/// Appends, pins, drains late, copies forward, syncs, reuses and removes; then closes.
fn run(fs: &SimFs, durability: Durability) -> Option<Account> {
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let (core, lock) = open_core(&shared, Path::new(DIR), options(durability)).ok()?;
    let mut account = Account::default();
    let mut backoff = Backoff::new();
    let mut now = Instant::now();
    let mut pins = Vec::new();
    for value in 0..400 {
        match core.append(value as u8, false, &payload(value)) {
            Ok(_) => account.taken += 1,
            Err(Full::Limit | Full::Disk(_)) => account.refused += 1,
            Err(full) => panic!("{full}"),
        }
        if value % 50 == 0 {
            pins.extend(core.append(0, true, b"begun").ok());
        }
        if value % 8 == 7 {
            now += SETTLE_GRACE;
            core.maintain(now, &mut backoff);
            if core.is_power {
                core.sync_round();
            }
        }
        if value % 100 > 60 {
            drain(&core, &mut account, 3);
        }
    }
    drain(&core, &mut account, 1_000);
    for pin in pins {
        core.release(pin);
    }
    core.stop();
    let usage = core.usage();
    let closed = core.finish();
    assert_eq!((usage.unread, usage.unsettled, usage.pinned), (0, 0, 0));
    assert_eq!(usage.damaged, 0, "what was refused is not missing");
    if let Ok(closed) = closed {
        assert_eq!(closed, Closed::Removed);
    }
    drop(lock);
    Some(account)
}

fn drain(core: &Core, account: &mut Account, max: usize) {
    let frames = core.read(max, 1 << 20).frames;
    let positions: Vec<_> = frames.iter().map(|frame| frame.position).collect();
    assert_eq!(core.settle(&positions), positions.len());
    for frame in frames {
        let twice = account.read.insert(frame.position.sequence, frame.payload);
        assert!(twice.is_none(), "read twice");
    }
}

fn balance(fs: &SimFs, durability: Durability) {
    let Some(mut account) = run(fs, durability) else {
        return;
    };
    fs.set_fault(None);
    let abandoned = Abandoned::open_in(Arc::new(fs.clone()), Path::new(DIR));
    if let Some(mut abandoned) = abandoned.expect("opened") {
        let frames = abandoned.read(10_000, 1 << 20).expect("read");
        account.left = frames.len() as u64;
        assert_eq!(abandoned.damage().segments, 0);
    }
    assert_eq!(account.taken + account.refused, 400);
    assert_eq!(account.read.len() as u64, account.taken, "{account:?}");
    assert_eq!(account.left, 0, "all of it was settled");
}

fn every_operation_fails(durability: Durability) -> u64 {
    let fs = SimFs::default();
    balance(&fs, durability);
    let operations = fs.operations();
    for at in 0..operations {
        for errno in [EIO, ENOSPC, EROFS, EDQUOT] {
            for for_good in [false, true] {
                let fs = SimFs::default();
                fs.set_fault(Some(Fault {
                    at,
                    errno,
                    for_good,
                }));
                balance(&fs, durability);
            }
        }
    }
    operations
}

#[test]
fn e05_whichever_operation_fails_each_frame_is_read_once_or_was_refused() {
    assert!(every_operation_fails(Durability::Process) > 30);
    let every = Duration::from_millis(50);
    assert!(every_operation_fails(Durability::Power { every }) > 100);
}

#[test]
fn e05_a_full_disk_is_a_refusal_and_it_goes_on_when_space_is_back() {
    let fs = SimFs::default();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let options = options(Durability::Process);
    let (core, _lock) = open_core(&shared, Path::new(DIR), options).expect("started");
    let mut now = Instant::now();
    let mut backoff = Backoff::new();
    for _ in 0..50 {
        let fault = Fault {
            at: fs.operations(),
            errno: ENOSPC,
            for_good: true,
        };
        fs.set_fault(Some(fault));
        let mut account = Account::default();
        let refused = loop {
            match core.append(0, false, &[7; 500]) {
                Ok(_) => account.taken += 1,
                Err(full) => break full,
            }
        };
        assert_eq!(refused, Full::Disk(std::io::ErrorKind::StorageFull));
        let asked = fs.operations();
        assert!(core.append(0, false, &[7; 500]).is_err());
        assert_eq!(fs.operations(), asked, "a refusal asks the disk nothing");
        fs.set_fault(None);
        core.maintain(now, &mut backoff);
        now += Duration::from_secs(1);
        core.maintain(now, &mut backoff);
        core.append(0, false, &[7; 500]).expect("it goes on");
        drain(&core, &mut account, 1_000);
        assert_eq!(account.read.len() as u64, account.taken + 1);
        // The files that settling made free would let the next round go on without a disk.
        core.maintain(now, &mut backoff);
    }
}

#[test]
fn e05_who_has_just_found_space_on_the_disk_need_not_wait_for_the_spool_to_ask_again() {
    let fs = SimFs::default();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let options = options(Durability::Process);
    let (core, _lock) = open_core(&shared, Path::new(DIR), options).expect("started");
    fs.set_fault(Some(Fault {
        at: fs.operations(),
        errno: ENOSPC,
        for_good: true,
    }));
    while core.append(0, false, &[7; 500]).is_ok() {}
    fs.set_fault(None);
    assert!(
        core.append(0, false, &[7; 500]).is_err(),
        "it was refused lately"
    );
    core.be_lean(false);
    core.append(0, false, &[7; 500]).expect("at once");
}

#[test]
fn e01_a_file_whose_sync_failed_is_given_up_and_its_frames_are_written_anew() {
    let fs = SimFs::default();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let every = Duration::from_millis(50);
    let options = options(Durability::Power { every });
    let (core, _lock) = open_core(&shared, Path::new(DIR), options).expect("started");
    let begun = core.append(1, true, b"begun").expect("room");
    let settled = core.append(2, false, b"settled").expect("room");
    let last = core.append(2, false, b"kept").expect("room");
    assert_eq!(core.read(1, 1_000).frames.len(), 1);
    core.settle(&[settled]);
    fs.fail_syncs(1, 1);
    core.sync_round();
    assert_eq!(
        core.synced.sequence(),
        0,
        "it is not known to be on the medium"
    );
    assert_eq!(core.usage().sync_failures, 1);
    assert!(core.usage().sync_error.is_some());
    fs.fail_syncs(0, 1);
    core.sync_round();
    assert_eq!(core.usage().sync_error, None);
    assert_eq!(core.synced.sequence(), last.sequence);
    let left = Arc::new(fs.after_power_loss(&mut Rng(1)));
    let left = Abandoned::open_in(left, Path::new(DIR)).expect("opened");
    let found = left.expect("gone").read(10, 1_000).expect("read");
    let found: Vec<_> = found.iter().map(|frame| &frame.payload[..]).collect();
    assert_eq!(found, [&b"begun"[..], b"kept"]);
    // This process goes on reading where it was, and settles both wherever they are now.
    let frames = core.read(10, 1_000).frames;
    assert_eq!(frames.len(), 1);
    assert_eq!(core.settle(&[frames[0].position]), 1);
    core.release(begun);
    core.stop();
    assert_eq!(core.finish().expect("closed"), Closed::Removed);
}

#[test]
fn e01_an_append_asks_the_file_system_for_nothing_while_there_are_spares() {
    let fs = SimFs::default();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let options = options(Durability::Process);
    let (core, _lock) = open_core(&shared, Path::new(DIR), options).expect("started");
    core.maintain(Instant::now(), &mut Backoff::new());
    let before = fs.operations();
    // Into the third segment: the first, and both spares.
    for _ in 0..25 {
        let pin = core.append(1, true, &[1; 50]).expect("room");
        core.append(0, false, &[2; 300]).expect("room");
        core.release(pin);
        let frames = core.read(10, 1 << 20).frames;
        core.settle(&[frames[0].position]);
    }
    assert_eq!(core.usage().segments, 3);
    assert_eq!(fs.operations(), before);
}
