//! Tests of `segment.rs`.

use super::*;
use crate::frame::HEADER_BYTES;
use crate::recover::{headers, identify};
use crate::tests::sim::SimFs;

const BYTES: u64 = 512;

fn made(fs: &SimFs, number: u64) -> Segment {
    let made = Segment::create(fs, Path::new("/"), number, BYTES, Pages::Later);
    made.expect("made")
}

fn record(sequence: u64, length: u32) -> (Head, Vec<u8>) {
    let head = Head {
        sequence,
        kind: 9,
        pinned: false,
        copied: false,
        length,
    };
    (head, vec![0xA5; length as usize])
}

#[test]
fn a_frame_is_settled_once_and_known_to_be() {
    let segment = made(&SimFs::default(), 1);
    let (head, payload) = record(1, 30);
    let crc = segment.write(HEADER_BYTES, head, &payload, PayloadSum::of(&payload));
    assert!(!segment.is_settled(HEADER_BYTES));
    assert!(!segment.settle(HEADER_BYTES, crc ^ 1), "another frame's");
    assert!(segment.settle(HEADER_BYTES, crc) && segment.is_settled(HEADER_BYTES));
    assert!(!segment.settle(HEADER_BYTES, crc), "a second time");
    let mut read = Vec::new();
    let sealed = segment.frame_at(HEADER_BYTES, &mut read).expect("whole");
    assert!(sealed.settled && sealed.head.kind == 9 && read == payload);
}

#[test]
fn a_segment_is_filled_to_its_limit_and_keeps_both_headers() {
    let fs = SimFs::default();
    let segment = made(&fs, 1);
    segment.begin(1, 0);
    // A frame that leaves room for just one without a payload.
    let first = segment.limit() - HEADER_BYTES - 2 * FRAME_BYTES;
    let (head, payload) = record(1, first);
    segment.write(HEADER_BYTES, head, &payload, PayloadSum::of(&payload));
    let at = HEADER_BYTES + segment.bytes_of(HEADER_BYTES);
    assert_eq!(at + FRAME_BYTES, segment.limit());
    let (head, payload) = record(2, 0);
    segment.write(at, head, &payload, PayloadSum::of(&payload));
    let (map, length) = fs.open(&segment.path).expect("there").read().expect("read");
    let [begin, end] = headers(&map, length);
    assert_eq!(begin, end);
    assert_eq!(identify(&map, length, None).expect("ours").damaged_bytes, 0);
    let mut read = Vec::new();
    assert_eq!(
        segment
            .frame_at(at, &mut read)
            .expect("whole")
            .head
            .sequence,
        2
    );
    let place = Place {
        number: 1,
        offset: HEADER_BYTES,
    };
    assert!(frame_at(&map, place, at, &mut read).is_some());
    assert!(
        frame_at(&map, place, at - 8, &mut read).is_none(),
        "it ends behind the limit"
    );
}

#[test]
fn lives_of_one_file_are_told_from_those_of_another() {
    let fs = SimFs::default();
    let (one, other) = (made(&fs, 1), made(&fs, 2));
    assert!(!one.is_same_file(&other));
    let next = one.reuse(&fs, Path::new("/"), 3).expect("reused");
    assert!(next.is_same_file(&one) && !next.is_same_file(&other));
}
