//! Inspects segments without changing a byte, whether or not their process is alive.

use std::io;
use std::path::{Path, PathBuf};

use crate::frame::FORMAT_VERSION;
use crate::fs::{FILE_BYTES_MAX, Fs, RealFs, read_path};
use crate::map::Map;
use crate::options::SpoolError;
use crate::recover::{Foreign, Piece, Survey, Walk, identify};
use crate::segment::number_in;
use crate::spool::segment_names;

/// One segment's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file, or the name passed to [`dump_bytes`].
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// [`FORMAT_VERSION`], the newest format that this crate knows, or the newer one that an undamaged header names;
    /// then nothing else is known.
    pub version: u32,
    /// The segment's number, from its headers or else its name.
    pub number: Option<u64>,
    /// The sequence of its first frame, from its headers; 0 if nothing was appended to it.
    pub first_sequence: u64,
    /// The number of records, frames that are not pinned, appended to the spool before this segment; `None` if
    /// nothing was appended to it, or if it is of version 1.
    pub records_before: Option<u64>,
    /// Undamaged frames.
    pub frames: u64,
    /// Those of them that are not settled.
    pub unsettled: u64,
    /// As in [`Damage::frames`](crate::Damage::frames).
    pub damaged_frames: u64,
    /// As in [`Damage::bytes`](crate::Damage::bytes). On a live spool a frame that is just being
    /// written may show here.
    pub damaged_bytes: u64,
}

/// A piece of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'p> {
    /// An undamaged frame.
    Frame {
        /// Counted from the file's beginning, in bytes.
        offset: u32,
        /// As in [`Position::sequence`](crate::Position::sequence).
        sequence: u64,
        /// As it was appended with.
        kind: u8,
        /// It is kept until it is released.
        pinned: bool,
        /// It is a copy of a frame of an earlier segment.
        copied: bool,
        /// It is not needed any more.
        settled: bool,
        /// As it was appended.
        payload: &'p [u8],
    },
    /// Bytes that are neither a frame nor unwritten.
    Damage {
        /// Counted from the file's beginning, in bytes.
        offset: u32,
        /// How many.
        bytes: u32,
    },
}

/// Inspects each segment in a directory, even that of a live process: takes no lock and writes
/// nothing.
///
/// # Errors
///
/// [`SpoolError::Io`] if the directory or a file cannot be read.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use record_spool::{Spool, SpoolOptions, fsck};
///
/// let spool = Spool::create(&dir.path().join("own"), SpoolOptions::default())?;
/// spool.append(7, b"a record")?;
/// let reports = fsck(&dir.path().join("own"))?;
/// assert_eq!((reports[0].frames, reports[0].unsettled), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fsck(dir: &Path) -> Result<Vec<SegmentReport>, SpoolError> {
    let mut reports = Vec::new();
    dump(dir, |report, entry| {
        if entry.is_none() {
            reports.push(report.clone());
        }
    })?;
    Ok(reports)
}

/// Does the same as [`fsck`] and shows each frame and each damaged place: calls `visit` for every
/// segment, first without an entry and then with each entry.
///
/// # Errors
///
/// As [`fsck`].
pub fn dump(
    dir: &Path,
    mut visit: impl FnMut(&SegmentReport, Option<Entry<'_>>),
) -> Result<(), SpoolError> {
    let names = segment_names(&RealFs::default() as &dyn Fs, dir);
    let names = names.map_err(|source| SpoolError::io("list", dir, source))?;
    for (_, path) in names {
        let (map, length) = match read_path(&path) {
            Ok(read) => read,
            // Used again or removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(SpoolError::io("read", path, source)),
        };
        look(&map, length, &path, &mut visit);
    }
    Ok(())
}

/// As [`dump`], on bytes that were read from a segment's file. Returns what [`fsck`] would.
///
/// It makes no assumption about the bytes, takes time linear in their number, and never panics.
/// It ignores bytes past 2 GiB, which is more than any segment has.
pub fn dump_bytes(
    name: &str,
    bytes: &[u8],
    mut visit: impl FnMut(&SegmentReport, Option<Entry<'_>>),
) -> SegmentReport {
    let bytes = &bytes[..bytes.len().min(FILE_BYTES_MAX as usize)];
    let map = Map::copy_of(bytes);
    look(&map, bytes.len() as u64, Path::new(name), &mut visit)
}

fn look(
    map: &Map,
    length: u64,
    path: &Path,
    visit: &mut dyn FnMut(&SegmentReport, Option<Entry<'_>>),
) -> SegmentReport {
    let mut report = SegmentReport {
        path: path.into(),
        bytes: length,
        version: FORMAT_VERSION,
        ..SegmentReport::default()
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let identity = match identify(map, length, name.and_then(number_in)) {
        Ok(identity) => identity,
        Err(Foreign(version)) => {
            report.version = version;
            visit(&report, None);
            return report;
        }
    };
    let survey = Survey::of(map, &identity);
    report.number = identity.numbers.last().copied();
    report.first_sequence = identity.first_sequence;
    report.records_before = identity.records_before;
    report.frames = survey.frames;
    report.unsettled = survey.unsettled;
    report.damaged_frames = survey.damaged_frames;
    report.damaged_bytes = survey.damaged_bytes;
    visit(&report, None);
    let mut payload = Vec::new();
    let mut walk = Walk::new(map, &identity);
    while let Some(piece) = walk.next(&mut payload) {
        let entry = match piece {
            Piece::Damage { offset, bytes } => Entry::Damage { offset, bytes },
            Piece::Frame { place, sealed } => Entry::Frame {
                offset: place.offset,
                sequence: sealed.head.sequence,
                kind: sealed.head.kind,
                pinned: sealed.head.pinned,
                copied: sealed.head.copied,
                settled: sealed.settled,
                payload: &payload,
            },
        };
        visit(&report, Some(entry));
    }
    report
}
