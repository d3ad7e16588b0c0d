//! Damage of every kind to the files of a dead process, and an independent account of which frames
//! it can have touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::power::number;
use super::sim::Rng;
use crate::frame::FRAME_BYTES;
use crate::{Abandoned, Entry, Frame, Spool, SpoolOptions, dump};

/// Where each frame stands, with what it takes.
#[derive(Clone, Debug)]
struct Stands {
    path: PathBuf,
    start: usize,
    end: usize,
    payload: Vec<u8>,
    kind: u8,
    settled: bool,
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn read_files(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).expect("listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let segments = paths.filter(|path| path.extension().is_some());
    segments
        .map(|path| (path.clone(), fs::read(&path).expect("read")))
        .collect()
}

/// A spool of a few segments with everything in it: reused files, pins, settled frames.
fn build(dir: &Path, rng: &mut Rng) {
    let options = SpoolOptions {
        segment_bytes: 16 << 10,
        max_bytes: 256 << 10,
        ..SpoolOptions::default()
    };
    let spool = Spool::create(dir, options).expect("created");
    let mut pins = Vec::new();
    for round in 0..12 {
        for _ in 0..30 + rng.below(40) {
            let longest = if rng.one_in(10) { 3_000 } else { 300 };
            let length = rng.below(longest);
            let payload: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
            if rng.one_in(6) {
                pins.push(spool.pin(rng.next() as u8, &payload).expect("room"));
            } else {
                spool.append(rng.next() as u8, &payload).expect("room");
            }
        }
        let frames = spool.read(1_000, 1 << 20).frames;
        let settled = frames.iter().filter(|_| round < 9 || rng.one_in(3));
        let settled: Vec<_> = settled.map(|frame| frame.position).collect();
        spool.settle(&settled);
    }
    for pin in pins {
        if rng.one_in(2) {
            spool.release(pin);
        }
    }
}

fn account(dir: &Path) -> BTreeMap<(u64, bool), Stands> {
    let mut stands = BTreeMap::new();
    dump(dir, |report, entry| match entry {
        None => assert_eq!(
            report.damaged_bytes, 0,
            "nothing is damaged yet: {report:?}"
        ),
        Some(Entry::Damage { .. }) => panic!("damage without a cause"),
        Some(Entry::Frame {
            offset,
            sequence,
            kind,
            copied,
            settled,
            payload,
            ..
        }) => {
            let start = offset as usize;
            let frame = Stands {
                path: report.path.clone(),
                start,
                end: start + FRAME_BYTES as usize + payload.len(),
                payload: payload.to_vec(),
                kind,
                settled,
            };
            stands.insert((sequence, copied), frame);
        }
    })
    .expect("read");
    stands
}

fn mutate(files: &mut Files, rng: &mut Rng) {
    let paths: Vec<PathBuf> = files.keys().cloned().collect();
    for _ in 0..1 + rng.below(3) {
        let path = &paths[rng.below(paths.len() as u64) as usize];
        let other = &paths[rng.below(paths.len() as u64) as usize];
        let bytes = files.get_mut(path).expect("it is there");
        let length = bytes.len() as u64;
        match rng.below(8) {
            _ if length == 0 => {}
            0..3 => {
                let at = rng.below(length) as usize;
                bytes[at] ^= 1 << rng.below(8);
            }
            3 => bytes.truncate(rng.below(length) as usize),
            4 => {
                let page = (rng.below(length.div_ceil(4_096)) * 4_096) as usize;
                let end = bytes.len().min(page + 4_096);
                bytes[page..end].fill(0);
            }
            5 => {
                let at = rng.below(length) as usize;
                let end = bytes.len().min(at + rng.below(600) as usize);
                bytes[at..end]
                    .iter_mut()
                    .for_each(|byte| *byte = rng.next() as u8);
            }
            6 => {
                // A piece of a file over another place of it: frames where they do not belong.
                let from = (rng.below(length) & !7) as usize;
                let piece = bytes[from..bytes.len().min(from + 900)].to_vec();
                let to = (rng.below(length) & !7) as usize;
                let end = bytes.len().min(to + piece.len());
                bytes[to..end].copy_from_slice(&piece[..end - to]);
            }
            _ => {
                let bytes = std::mem::take(bytes);
                let taken = std::mem::replace(files.get_mut(other).expect("there"), bytes);
                // With itself it is back already.
                if other != path {
                    *files.get_mut(path).expect("there") = taken;
                }
            }
        }
    }
}

/// Whether the bytes of this frame stand unchanged at its offset in any of the files. The mark is
/// left out: what it says decides whether the frame is to be found, not whether it is whole.
fn survives(stands: &Stands, original: &Files, files: &Files) -> bool {
    let before = &original[&stands.path][stands.start..stands.end];
    files.values().any(|bytes| {
        let after = bytes.get(stands.start..stands.end);
        after.is_some_and(|after| after[..20] == before[..20] && after[24..] == before[24..])
    })
}

fn recover(dir: &Path) -> (Vec<Frame>, u64, Vec<PathBuf>) {
    let mut abandoned = Abandoned::open(dir).expect("opened").expect("gone");
    let mut all = Vec::new();
    loop {
        let frames = abandoned.read(50, 1 << 20).expect("read");
        if frames.is_empty() {
            break;
        }
        let positions: Vec<_> = frames.iter().map(|frame| frame.position).collect();
        abandoned.settle(&positions).expect("settled");
        all.extend(frames);
    }
    let segments = abandoned.damage().segments;
    let finished = abandoned.finish(crate::Blank::Unused).expect("finished");
    assert_eq!(finished.unsettled, 0);
    (all, segments, finished.moved_aside)
}

/// `SPOOL_MUTATIONS` sets how many.
#[test]
fn e04_mutated_segments_lose_no_whole_frame_and_serve_no_damaged_one() {
    let root = tempfile::tempdir().expect("a directory");
    let mut rng = Rng(number("SPOOL_SEED", 1));
    let origin = root.path().join("origin");
    build(&origin, &mut rng);
    let original = read_files(&origin);
    let stands = account(&origin);
    assert!(stands.len() > 100 && stands.values().any(|frame| frame.settled));
    for round in 0..number("SPOOL_MUTATIONS", 1_000) {
        let mut files = original.clone();
        mutate(&mut files, &mut rng);
        let dir = root.path().join("mutated");
        fs::create_dir(&dir).expect("created");
        for (path, bytes) in &files {
            fs::write(dir.join(path.file_name().expect("a name")), bytes).expect("written");
        }
        let (found, damaged, moved) = recover(&dir);
        check(round, &stands, &original, &files, &found);
        assert_eq!(damaged as usize, moved.len());
        for path in moved {
            fs::remove_file(path).expect("it was kept");
        }
        assert!(!dir.exists());
    }
}

fn check(
    round: u64,
    stands: &BTreeMap<(u64, bool), Stands>,
    original: &Files,
    files: &Files,
    found: &[Frame],
) {
    let mut served = BTreeMap::new();
    for frame in found {
        let sequence = frame.position.sequence;
        let mut known = [false, true]
            .iter()
            .filter_map(|copied| stands.get(&(sequence, *copied)));
        let is_known =
            known.any(|known| known.payload == frame.payload && known.kind == frame.kind);
        assert!(is_known, "round {round}: {sequence} was never appended");
        *served.entry(sequence).or_insert(0) += 1;
    }
    for ((sequence, copied), frame) in stands {
        let has_later_copy = !copied && stands.contains_key(&(*sequence, true));
        if !frame.settled && !has_later_copy && survives(frame, original, files) {
            assert_eq!(
                served.get(sequence),
                Some(&1),
                "round {round}: frame {sequence}"
            );
        }
    }
}
