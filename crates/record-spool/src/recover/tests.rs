//! Tests of `recover.rs`: exactly how much is damaged, and what is found all the same.

use std::path::Path;

use super::*;
use crate::frame::{Head, PayloadSum};
use crate::fs::Fs;
use crate::segment::{Pages, Segment};
use crate::tests::sim::SimFs;

const NUMBER: u64 = 7;
const BYTES: u64 = 1_024;

/// A segment of four records with the sequences 40 to 43 behind a copy of frame 3 and a pin; frame 41 is settled.
/// Returns its bytes and where its frames begin, and end.
fn segment() -> (Vec<u8>, Vec<usize>) {
    segment_of(&[
        (3, true, true),
        (40, false, false),
        (41, false, false),
        (42, false, false),
        (43, false, false),
    ])
}

/// A segment of frames with these sequences, each pinned or not, a copy or not; frame 41 is settled.
fn segment_of(frames: &[(u64, bool, bool)]) -> (Vec<u8>, Vec<usize>) {
    let fs = SimFs::default();
    let segment = Segment::create(&fs, Path::new("/"), NUMBER, BYTES, Pages::Later).expect("made");
    segment.begin(40, 17);
    let mut offset = HEADER_BYTES;
    let mut offsets = vec![offset as usize];
    for (sequence, pinned, copied) in frames.iter().copied() {
        let payload = vec![sequence as u8; 10];
        let length = payload.len() as u32;
        let head = Head {
            sequence,
            kind: 1,
            pinned,
            copied,
            length,
        };
        let crc = segment.write(offset, head, &payload, PayloadSum::of(&payload));
        if sequence == 41 {
            assert!(segment.settle(offset, crc));
        }
        offset += segment.bytes_of(offset);
        offsets.push(offset as usize);
    }
    let (map, _) = fs.open(&segment.path).expect("there").read().expect("read");
    let mut bytes = Vec::new();
    map.read(0, map.len(), &mut bytes);
    (bytes, offsets)
}

fn identity_of(bytes: &[u8]) -> Identity {
    let (map, length) = (Map::copy_of(bytes), bytes.len() as u64);
    identify(&map, length, Some(NUMBER)).expect("of this version")
}

fn survey_of(bytes: &[u8]) -> Survey {
    Survey::of(&Map::copy_of(bytes), &identity_of(bytes))
}

fn sequences(bytes: &[u8]) -> Vec<u64> {
    let (map, identity) = (Map::copy_of(bytes), identity_of(bytes));
    let (mut walk, mut payload) = (Walk::new(&map, &identity), Vec::new());
    let mut found = Vec::new();
    while let Some(piece) = walk.next(&mut payload) {
        if let Piece::Frame { sealed, .. } = piece {
            found.push(sealed.head.sequence);
        }
    }
    found
}

#[test]
fn a_whole_segment_says_what_it_is_and_what_is_in_it() {
    let (bytes, offsets) = segment();
    let identity = identity_of(&bytes);
    assert_eq!(
        (&identity.numbers[..], identity.first_sequence),
        (&[NUMBER][..], 40)
    );
    assert_eq!(
        (identity.records_before, identity.damaged_bytes),
        (Some(17), 0)
    );
    assert_eq!(identity.limit, BYTES as u32 - HEADER_BYTES);
    assert!(identity.has_header && !identity.is_blank && !identity.is_former);
    let survey = survey_of(&bytes);
    assert_eq!((survey.frames, survey.unsettled, survey.records), (5, 4, 4));
    let place = Place {
        number: NUMBER,
        offset: offsets[0] as u32,
    };
    assert_eq!(survey.copies, [(3, place)]);
    assert!(!survey.is_damaged(), "{survey:?}");
}

#[test]
fn c08_only_what_is_neither_pinned_nor_a_copy_is_a_record() {
    let (bytes, _) = segment_of(&[(40, true, false), (41, false, true), (42, false, false)]);
    let survey = survey_of(&bytes);
    assert_eq!((survey.frames, survey.records), (3, 1));
}

#[test]
fn c08_a_segment_that_was_never_appended_to_tells_nothing_of_those_before_it() {
    let fs = SimFs::default();
    let unused = Segment::create(&fs, Path::new("/"), NUMBER, BYTES, Pages::Later).expect("made");
    let (map, length) = fs.open(&unused.path).expect("there").read().expect("read");
    let identity = identify(&map, length, Some(NUMBER)).expect("of this version");
    assert_eq!((identity.records_before, identity.has_header), (None, true));
}

#[test]
fn e04_headers_are_damaged_to_the_byte_and_one_of_them_is_enough() {
    let (whole, _) = segment();
    let (first, last) = (0..64, whole.len() - 64..whole.len());
    for (ranges, damaged, has_header) in [
        (vec![first.clone()], 64, true),
        (vec![last.clone()], 64, true),
        (vec![first.clone(), last.clone()], 128, false),
    ] {
        let mut bytes = whole.clone();
        ranges.into_iter().for_each(|range| bytes[range].fill(0xFF));
        let identity = identity_of(&bytes);
        assert_eq!(
            (identity.damaged_bytes, identity.has_header),
            (damaged, has_header)
        );
        assert_eq!(
            identity.numbers,
            [NUMBER],
            "the name's, if no header is whole"
        );
        assert_eq!(sequences(&bytes), [3, 40, 41, 42, 43]);
    }
    // Blanked, not damaged: nothing says how much is gone, but frames stand there.
    let mut blanked = whole.clone();
    blanked[first].fill(0);
    blanked[last].fill(0);
    assert!(identity_of(&blanked).is_blank);
    let survey = survey_of(&blanked);
    assert_eq!((survey.frames, survey.damaged_bytes), (5, 128));
    assert!(survey.is_damaged());
}

#[test]
fn e04_a_file_that_is_cut_short_lacks_just_that() {
    let (whole, offsets) = segment();
    for length in [
        offsets[5] + 24,
        offsets[5],
        offsets[3] + 5,
        128,
        120,
        72,
        65,
        64,
    ] {
        let identity = identity_of(&whole[..length]);
        assert_eq!(identity.damaged_bytes, BYTES - length as u64, "{length}");
        assert_eq!(identity.numbers, [NUMBER], "{length}");
        assert!(identity.has_header, "{length}");
    }
    for length in [0, 1, 8, 56] {
        let identity = identity_of(&whole[..length]);
        assert!(identity.is_blank && !identity.has_header, "{length}");
        assert_eq!(survey_of(&whole[..length]), Survey::default(), "{length}");
    }
    // The copy at the end is found only where a file of whole words ends.
    let mut odd = whole.clone();
    odd[..64].fill(0);
    odd.push(0);
    assert!(!identity_of(&odd).has_header);
}

#[test]
fn e04_zeros_over_frames_are_damage_of_just_those_bytes() {
    let (whole, offsets) = segment();
    for (from, to, frames) in [(0, 1, 1), (1, 2, 1), (2, 4, 2), (1, 4, 3)] {
        let mut bytes = whole.clone();
        bytes[offsets[from]..offsets[to]].fill(0);
        let survey = survey_of(&bytes);
        let lost = (offsets[to] - offsets[from]) as u64;
        assert_eq!(
            (survey.damaged_bytes, survey.damaged_frames),
            (lost, frames),
            "{from}..{to}"
        );
        assert_eq!(survey.frames, 5 - (to - from) as u64);
    }
    // Behind zeros that reach to the end nothing was ever written, as far as this file tells.
    let mut bytes = whole.clone();
    bytes[offsets[4]..offsets[5]].fill(0);
    assert!(!survey_of(&bytes).is_damaged());
}

#[test]
fn e04_without_a_header_each_damaged_place_is_one_frame() {
    let (mut bytes, offsets) = segment();
    let end = bytes.len() - 64;
    bytes[..64].fill(0xFF);
    bytes[end..].fill(0xFF);
    bytes[offsets[0]..offsets[2]].fill(0xFF);
    let survey = survey_of(&bytes);
    assert_eq!((survey.frames, survey.damaged_frames), (3, 1));
    bytes[offsets[3]..offsets[4]].fill(0xFF);
    assert_eq!(survey_of(&bytes).damaged_frames, 2);
}

#[test]
fn e04_garbage_at_the_end_is_damage_if_a_frame_fits_into_it() {
    let (whole, offsets) = segment();
    for (length, damaged) in [(8, 0), (16, 0), (24, 24), (40, 40)] {
        let mut bytes = whole[..offsets[5] + length].to_vec();
        bytes[offsets[5]..].fill(0xEE);
        let lacking = BYTES - bytes.len() as u64;
        let survey = survey_of(&bytes);
        assert_eq!(survey.damaged_bytes, lacking + damaged, "{length}");
        assert_eq!(survey.damaged_frames, u64::from(damaged > 0), "{length}");
    }
}

#[test]
fn e04_a_former_life_whose_first_frame_was_zeroed_is_no_damage() {
    let (mut bytes, offsets) = segment();
    bytes[offsets[0]..offsets[0] + 8].fill(0);
    let map = Map::copy_of(&bytes);
    // The name is of the next life, whose header was not written yet.
    let identity = identify(&map, BYTES, Some(NUMBER + 1)).expect("of this version");
    assert!(identity.is_former);
    assert_eq!(identity.numbers, [NUMBER, NUMBER + 1]);
    let survey = Survey::of(&map, &identity);
    assert_eq!((survey.frames, survey.damaged_bytes), (4, 0));
    // Zeros further on are damage there, too.
    bytes[offsets[2]..offsets[3]].fill(0);
    let survey = Survey::of(&Map::copy_of(&bytes), &identity);
    assert_eq!(survey.damaged_bytes, (offsets[3] - offsets[2]) as u64);
}
