//! A process dies between any two words that it stores. What it had appended is there, what it was
//! appending is there as a whole or not at all, and nothing looks damaged.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::sim::SimFs;
use crate::frame::{HEADER_BYTES, Head, PayloadSum, frame_bytes};
use crate::fs::Fs;
use crate::segment::{Pages, Segment, file_name};
use crate::spool::open_core;
use crate::{Abandoned, Entry, SpoolOptions, dump_bytes};

thread_local! {
    /// So many words this thread still stores; without a number it lives.
    static STORES_LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Counts a store. `false` once the thread is as good as dead: what it stores goes nowhere.
pub(crate) fn may_store() -> bool {
    let left = STORES_LEFT.get();
    STORES_LEFT.set(left.map(|left| left.saturating_sub(1)));
    left != Some(0)
}

type Frames = Vec<(Head, Vec<u8>)>;

fn frame(sequence: u64, length: u32) -> (Head, Vec<u8>) {
    let head = Head {
        sequence,
        kind: 7,
        pinned: sequence.is_multiple_of(2),
        copied: false,
        length,
    };
    (head, vec![0xA5; length as usize])
}

/// Appends until the end or its death; returns how many appends were over before that.
fn append(segment: &Segment, frames: &Frames) -> usize {
    let mut offset = HEADER_BYTES;
    for (count, (head, payload)) in frames.iter().enumerate() {
        segment.write(offset, *head, payload, PayloadSum::of(payload));
        if STORES_LEFT.get() == Some(0) {
            return count;
        }
        offset += segment.bytes_of(offset);
    }
    frames.len()
}

/// The frames that the next process finds.
fn find(fs: &SimFs, segment: &Segment) -> Frames {
    let (map, length) = fs.open(&segment.path).expect("there").read().expect("read");
    let mut bytes = Vec::new();
    map.read(0, length as usize, &mut bytes);
    let mut found = Frames::new();
    let report = dump_bytes(&file_name(2), &bytes, |_, entry| {
        if let Some(Entry::Frame {
            sequence,
            kind,
            pinned,
            copied,
            payload,
            ..
        }) = entry
        {
            let head = Head {
                sequence,
                kind,
                pinned,
                copied,
                length: payload.len() as u32,
            };
            found.push((head, payload.to_vec()));
        }
    });
    assert_eq!((report.damaged_bytes, report.damaged_frames), (0, 0));
    found
}

/// A file that is full of settled frames, so that no byte of its next life is zero by chance.
fn settled(fs: &SimFs) -> Segment {
    let segment = Segment::create(fs, Path::new("/"), 1, 4_096, Pages::Later).expect("made");
    segment.begin(1, 0);
    let mut offset = HEADER_BYTES;
    for sequence in 1.. {
        let (head, payload) = frame(sequence, 40);
        if offset + frame_bytes(head.length) > segment.limit() {
            break;
        }
        let crc = segment.write(offset, head, &payload, PayloadSum::of(&payload));
        assert!(segment.settle(offset, crc));
        offset += segment.bytes_of(offset);
    }
    segment
}

/// What a file goes through when it is made, or taken for its next life, until its first append.
fn live(fs: &SimFs, former: Option<Segment>) -> Segment {
    let dir = Path::new("/");
    let segment = match former {
        Some(former) => former.reuse(fs, dir, 2),
        None => Segment::create(fs, dir, 2, 4_096, Pages::Later),
    };
    let segment = segment.expect("made");
    segment.begin(100, 0);
    segment
}

/// How much looks damaged to the next process, and how much is left to it.
fn judge(fs: &SimFs) -> (u64, u64, usize) {
    let file = fs.open(&Path::new("/").join(file_name(2))).expect("there");
    let (map, length) = file.read().expect("read");
    let mut bytes = Vec::new();
    map.read(0, length as usize, &mut bytes);
    let mut unsettled = 0;
    let report = dump_bytes(&file_name(2), &bytes, |_, entry| {
        let is_left = matches!(entry, Some(Entry::Frame { settled: false, .. }));
        unsettled += usize::from(is_left);
    });
    (report.damaged_bytes, report.damaged_frames, unsettled)
}

#[test]
fn e04_a_process_may_die_between_any_two_stores_of_a_header() {
    for is_used in [false, true] {
        for stores in 0..64 {
            let fs = SimFs::default();
            let former = is_used.then(|| settled(&fs));
            STORES_LEFT.set(Some(stores));
            live(&fs, former);
            STORES_LEFT.set(None);
            assert_eq!(judge(&fs), (0, 0, 0), "used: {is_used}, {stores} stores");
        }
    }
}

#[test]
fn e01_a_process_may_die_between_any_two_stores_of_its_appends() {
    let lengths = [0, 5, 8, 13, 200, 1].into_iter();
    let frames: Frames = lengths
        .zip(100..)
        .map(|(length, at)| frame(at, length))
        .collect();
    for stores in 0.. {
        let fs = SimFs::default();
        let segment = live(&fs, Some(settled(&fs)));
        STORES_LEFT.set(Some(stores));
        let appended = append(&segment, &frames);
        STORES_LEFT.set(None);
        let found = find(&fs, &segment);
        assert_eq!(found, frames[..found.len()], "after {stores} stores");
        let is_there = found.len() == appended || found.len() == appended + 1;
        assert!(is_there, "{appended} appended, {} found", found.len());
        if appended == frames.len() {
            assert!(stores > 30, "each word is stored by itself");
            return;
        }
    }
}

/// A start is there until what replaces it is, and whoever dies while it is replaced leaves at least one.
#[test]
fn e06_a_process_may_die_between_any_two_stores_of_a_replacement() {
    let (mut only_begun, mut only_ended) = (0, 0);
    for stores in 0.. {
        let fs = SimFs::default();
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let options = SpoolOptions::default();
        let (core, lock) = open_core(&shared, Path::new("/root/own"), options).expect("started");
        let begun = core.append(1, true, b"begun").expect("room");
        STORES_LEFT.set(Some(stores));
        core.replace(begun, 2, b"ended").expect("room");
        let is_over = STORES_LEFT.replace(None) != Some(0);
        drop((core, lock));
        let abandoned = Abandoned::open_in(shared, Path::new("/root/own")).expect("opened");
        let frames = abandoned.expect("gone").read(9, 1_000).expect("read");
        let kinds: Vec<u8> = frames.iter().map(|frame| frame.kind).collect();
        match kinds[..] {
            [1] => only_begun += 1,
            [1, 2] => {}
            [2] => only_ended += 1,
            _ => panic!("{kinds:?} after {stores} stores"),
        }
        if is_over {
            assert!(only_begun > 3 && only_ended > 0);
            return;
        }
    }
}
