//! Tests of `abandoned.rs`, on real files.

use std::fs;

use super::*;
use crate::{Spool, SpoolOptions};

/// What a process leaves: so many records of so many bytes, in segments of 4 KiB.
fn left(records: u64, bytes: usize) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a directory");
    let dir = root.path().join("own");
    let options = SpoolOptions {
        segment_bytes: 4_096,
        max_bytes: 1 << 20,
        ..SpoolOptions::default()
    };
    let spool = Spool::create(&dir, options).expect("created");
    for record in 0..records {
        let mut payload = record.to_le_bytes().to_vec();
        payload.resize(bytes, 0xAB);
        spool.append(1, &payload).expect("room");
    }
    drop(spool);
    (root, dir)
}

fn opened(dir: &Path) -> Abandoned {
    Abandoned::open(dir).expect("read").expect("nobody's")
}

/// The segments that were written to, in their order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = segment_names(&RealFs::default(), dir).expect("listed");
    let all = names.into_iter().map(|(_, path)| path);
    let is_used = |path: &PathBuf| fs::read(path).expect("read")[64..72] != [0; 8];
    all.filter(is_used).collect()
}

fn overwrite(path: &Path, range: std::ops::Range<usize>, byte: u8) {
    let mut bytes = fs::read(path).expect("read");
    bytes[range].fill(byte);
    fs::write(path, bytes).expect("written");
}

fn numbers(frames: &[Frame]) -> Vec<u8> {
    frames.iter().map(|frame| frame.payload[0]).collect()
}

fn read_all(abandoned: &mut Abandoned) -> Vec<Frame> {
    abandoned.read(usize::MAX, usize::MAX).expect("read")
}

#[test]
fn e01_reading_stops_at_the_bounds_and_goes_on_there() {
    let (_root, dir) = left(60, 200);
    assert!(segments(&dir).len() > 2);
    let mut abandoned = opened(&dir);
    assert_eq!(abandoned.records_appended(), 60);
    assert_eq!(numbers(&abandoned.read(2, 1 << 20).expect("read")), [0, 1]);
    // Just fits; one byte less, and the second waits.
    assert_eq!(numbers(&abandoned.read(9, 400).expect("read")), [2, 3]);
    assert_eq!(numbers(&abandoned.read(9, 399).expect("read")), [4]);
    // One is always read, however large.
    assert_eq!(numbers(&abandoned.read(9, 1).expect("read")), [5]);
    assert_eq!(
        numbers(&read_all(&mut abandoned)),
        (6..60).collect::<Vec<u8>>()
    );
}

#[test]
fn e06_frames_of_several_segments_are_settled_at_once_and_each_in_its_own() {
    let (_root, dir) = left(60, 200);
    let mut abandoned = opened(&dir);
    let frames = read_all(&mut abandoned);
    // In turns, so that each mark goes to another file than the last one; three are kept.
    let (early, late) = frames[..57].split_at(28);
    let turns = late
        .iter()
        .zip(early)
        .flat_map(|(late, early)| [late, early]);
    let mut settled: Vec<Position> = turns.map(|frame| frame.position).collect();
    settled.push(late[28].position);
    abandoned.settle(&settled).expect("marked");
    let finished = abandoned.finish(Blank::Unused).expect("finished");
    assert_eq!((finished.unsettled, finished.moved_aside.len()), (3, 0));
    assert_eq!(segments(&dir).len(), 1, "the others held nothing any more");
    let mut again = opened(&dir);
    let rest = read_all(&mut again);
    assert_eq!(numbers(&rest), [57, 58, 59]);
    assert_eq!(
        again.records_appended(),
        60,
        "also of those whose files are gone"
    );
    let positions: Vec<Position> = rest.iter().map(|frame| frame.position).collect();
    again.settle(&positions).expect("marked");
    assert_eq!(
        again.finish(Blank::Unused).expect("finished"),
        Finished::default()
    );
    assert!(!dir.exists());
}

#[test]
fn e04_damage_adds_up_over_segments_and_damaged_files_are_moved_aside_under_free_names() {
    let (root, dir) = left(60, 200);
    let files = segments(&dir);
    // A frame takes 224 bytes: the second one of two segments.
    for path in &files[..2] {
        overwrite(path, 64 + 224..64 + 448, 0xEE);
    }
    let taken = files[0]
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    fs::write(root.path().join(format!("own.{taken}.damaged")), "mine").expect("written");
    let mut abandoned = opened(&dir);
    let damage = abandoned.damage();
    assert_eq!((damage.frames, damage.bytes, damage.segments), (2, 448, 2));
    assert_eq!(abandoned.records_appended(), 60);
    let frames = read_all(&mut abandoned);
    assert_eq!(frames.len(), 58);
    let positions: Vec<Position> = frames.iter().map(|frame| frame.position).collect();
    abandoned.settle(&positions).expect("marked");
    let finished = abandoned.finish(Blank::Unused).expect("finished");
    let names: Vec<String> = finished
        .moved_aside
        .iter()
        .map(|path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let other = files[1]
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    assert_eq!(
        names,
        [
            format!("own.{taken}.1.damaged"),
            format!("own.{other}.damaged")
        ]
    );
    assert_eq!(
        fs::read(root.path().join(format!("own.{taken}.damaged"))).expect("there"),
        b"mine"
    );
}

#[test]
fn e04_a_blank_file_is_removed_or_moved_aside_as_its_owner_says() {
    for (blank, aside) in [(Blank::Unused, 0), (Blank::Damaged, 1)] {
        let (_root, dir) = left(3, 200);
        let path = segments(&dir).remove(0);
        let length = fs::read(&path).expect("read").len();
        overwrite(&path, 0..length, 0);
        let finished = opened(&dir).finish(blank).expect("finished");
        // Spare files have headers: only the blanked one looks like that.
        assert_eq!(finished.moved_aside.len(), aside);
        assert!(!dir.exists());
    }
}

#[test]
fn e04_files_whose_headers_and_names_are_gone_are_read_under_each_others_numbers() {
    let (_root, dir) = left(30, 200);
    let files = segments(&dir);
    for path in &files[..2] {
        let length = fs::read(path).expect("read").len();
        overwrite(path, 0..64, 0xEE);
        overwrite(path, length - 64..length, 0xEE);
    }
    let aside = dir.join("aside");
    fs::rename(&files[0], &aside).expect("renamed");
    fs::rename(&files[1], &files[0]).expect("renamed");
    fs::rename(&aside, &files[1]).expect("renamed");
    let mut abandoned = opened(&dir);
    let mut found = numbers(&read_all(&mut abandoned));
    found.sort_unstable();
    assert_eq!(found, (0..30).collect::<Vec<u8>>());
}

#[test]
fn e04_what_is_not_there_is_nobodys_and_what_cannot_be_read_is_an_error() {
    let (root, dir) = left(1, 8);
    assert!(
        Abandoned::open(&root.path().join("never"))
            .expect("no error")
            .is_none()
    );
    let file = root.path().join("file");
    fs::write(&file, "no directory").expect("written");
    assert!(matches!(Abandoned::open(&file), Err(SpoolError::Io { .. })));
    assert!(Abandoned::open(&dir).expect("read").is_some());
}
