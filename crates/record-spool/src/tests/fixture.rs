//! The bytes of the format's versions: a file of each is kept, is read, and the current version's
//! is still what the writer makes.

use std::path::{Path, PathBuf};

use super::sim::SimFs;
use crate::frame::{HEADER_BYTES, Head, PayloadSum};
use crate::fs::Fs;
use crate::segment::{Pages, Segment, file_name};
use crate::{Entry, dump_bytes};

const NUMBER: u64 = 0x0123_4567_89AB_CD01;

fn path(version: u32) -> PathBuf {
    let name = format!("tests/fixtures/version-{version}.spool");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Frames of every sort, the third settled.
fn heads() -> Vec<(Head, Vec<u8>)> {
    let head = |sequence, kind, length| Head {
        sequence,
        kind,
        pinned: false,
        copied: false,
        length,
    };
    vec![
        (
            Head {
                copied: true,
                pinned: true,
                ..head(3, 1, 5)
            },
            b"begun".to_vec(),
        ),
        (head(40, 2, 0), Vec::new()),
        (head(41, 255, 8), b"settled!".to_vec()),
        (
            Head {
                pinned: true,
                ..head(42, 1, 13)
            },
            b"begun as well".to_vec(),
        ),
        (head(43, 2, 300), (0..300).map(|byte| byte as u8).collect()),
    ]
}

/// As the writer makes it today.
fn write() -> Vec<u8> {
    let fs = SimFs::default();
    let segment = Segment::create(&fs, Path::new("/"), NUMBER, 4_096, Pages::Later);
    let segment = segment.expect("made");
    segment.begin(40, 17);
    let mut offset = HEADER_BYTES;
    for (head, payload) in heads() {
        let crc = segment.write(offset, head, &payload, PayloadSum::of(&payload));
        if head.sequence == 41 {
            assert!(segment.settle(offset, crc));
        }
        offset += segment.bytes_of(offset);
    }
    let file = fs.open(&segment.path).expect("it is there");
    let (map, _) = file.read().expect("read");
    let mut bytes = Vec::new();
    map.read(0, map.len(), &mut bytes);
    bytes
}

#[test]
fn the_writer_still_writes_version_2() {
    let written = write();
    // For a new version: write its file once, and keep those of the others.
    if std::env::var_os("SPOOL_WRITE_FIXTURE").is_some() {
        std::fs::write(path(2), &written).expect("written");
    }
    assert_eq!(std::fs::read(path(2)).expect("kept"), written);
}

#[test]
fn e07_every_version_is_read() {
    for (version, records_before) in [(1, None), (2, Some(17))] {
        let bytes = std::fs::read(path(version)).expect("kept");
        assert_eq!(bytes[8], version as u8);
        check(&bytes, records_before);
    }
}

fn check(bytes: &[u8], records_before: Option<u64>) {
    let mut found = Vec::new();
    let report = dump_bytes(&file_name(NUMBER), bytes, |_, entry| match entry {
        Some(Entry::Frame {
            sequence,
            kind,
            pinned,
            copied,
            settled,
            payload,
            ..
        }) => {
            assert_eq!(settled, sequence == 41);
            let head = Head {
                sequence,
                kind,
                pinned,
                copied,
                length: payload.len() as u32,
            };
            found.push((head, payload.to_vec()));
        }
        Some(Entry::Damage { .. }) => panic!("nothing is damaged"),
        None => {}
    });
    assert_eq!(found, heads());
    assert_eq!((report.number, report.first_sequence), (Some(NUMBER), 40));
    assert_eq!(report.records_before, records_before);
    assert_eq!(
        (report.frames, report.unsettled, report.damaged_bytes),
        (5, 4, 0)
    );
}

#[test]
fn e04_a_frame_of_the_segments_former_life_is_never_read() {
    let fs = SimFs::default();
    let dir = Path::new("/");
    let first = Segment::create(&fs, dir, NUMBER, 4_096, Pages::Later).expect("made");
    first.begin(40, 0);
    let mut offset = HEADER_BYTES;
    for (head, payload) in heads() {
        first.write(offset, head, &payload, PayloadSum::of(&payload));
        offset += first.bytes_of(offset);
    }
    let second = first.reuse(&fs, dir, NUMBER + 1).expect("renamed");
    second.begin(50, 0);
    // As long as the first frame was: the former frames behind it stand where frames may stand.
    let head = Head {
        sequence: 50,
        ..heads()[0].0
    };
    second.write(HEADER_BYTES, head, b"fresh", PayloadSum::of(b"fresh"));
    let (map, length) = fs.open(&second.path).expect("there").read().expect("read");
    let mut bytes = Vec::new();
    map.read(0, length as usize, &mut bytes);
    let mut frames = 0;
    let report = dump_bytes(&file_name(NUMBER + 1), &bytes, |_, entry| {
        if let Some(Entry::Frame { sequence, .. }) = entry {
            assert_eq!(sequence, 50);
            frames += 1;
        }
    });
    assert_eq!((frames, report.damaged_bytes), (1, 0));
}

#[test]
fn e04_a_payload_that_is_a_frame_is_not_taken_for_one() {
    let fs = SimFs::default();
    let dir = Path::new("/");
    let inner = Segment::create(&fs, dir, NUMBER, 4_096, Pages::Later).expect("made");
    let head = heads()[1].0;
    // Written with the wrong number, at the very offset at which it will be a payload.
    inner.write(HEADER_BYTES + 24, head, b"", PayloadSum::of(b""));
    let (map, _) = fs.open(&inner.path).expect("there").read().expect("read");
    let mut payload = Vec::new();
    map.read(HEADER_BYTES + 24, 24, &mut payload);
    let outer = Segment::create(&fs, dir, NUMBER + 7, 4_096, Pages::Later).expect("made");
    outer.begin(1, 0);
    let head = Head {
        sequence: 1,
        kind: 9,
        pinned: false,
        copied: false,
        length: 24,
    };
    outer.write(HEADER_BYTES, head, &payload, PayloadSum::of(&payload));
    let (map, length) = fs.open(&outer.path).expect("there").read().expect("read");
    let mut bytes = Vec::new();
    map.read(0, length as usize, &mut bytes);
    // Its own frame is damaged, so that what follows is searched for frames.
    bytes[HEADER_BYTES as usize + 8] ^= 1;
    let report = dump_bytes(&file_name(NUMBER + 7), &bytes, |_, _| {});
    assert_eq!(report.frames, 0);
    assert!(report.damaged_bytes > 0);
}
