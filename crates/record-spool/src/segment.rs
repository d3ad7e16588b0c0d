//! One file in one of its lives: creates or reuses it, appends frames and marks them as settled.
//! `segments` decides how many files there are and when one is reused.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::frame::{
    FRAME_BYTES, HEADER_BYTES, Head, Header, MARK_OFFSET, PayloadSum, Place, Sealed, frame_bytes,
    is_plausible, is_whole, open, seal, settled_mark, write_header,
};
use crate::fs::{Fs, SegmentFile};
use crate::map::Map;

/// The offset in a frame of its detail word.
const DETAIL_OFFSET: u32 = MARK_OFFSET - 4;

/// A segment's file in one of its lives.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    file: Arc<dyn SegmentFile>,
    map: Arc<Map>,
}

impl Segment {
    /// A new file, empty. With [`Pages::Ready`] no append to it will wait for memory.
    pub(crate) fn create(
        fs: &dyn Fs,
        dir: &Path,
        number: u64,
        bytes: u64,
        pages: Pages,
    ) -> io::Result<Self> {
        let path = dir.join(file_name(number));
        let file = fs.create(&path, bytes)?;
        let map = match file.map(bytes) {
            Ok(map) => Arc::new(map),
            Err(error) => {
                let _ = fs.remove(&path);
                return Err(error);
            }
        };
        if pages == Pages::Ready {
            map.populate();
        }
        let segment = Self {
            number,
            path,
            file,
            map,
        };
        segment.write_headers(0, 0);
        Ok(segment)
    }

    /// Begins the next life of the same file. Its pages are already present.
    pub(crate) fn reuse(&self, fs: &dyn Fs, dir: &Path, number: u64) -> io::Result<Self> {
        let path = dir.join(file_name(number));
        fs.rename(&self.path, &path)?;
        let segment = Self {
            number,
            path,
            file: Arc::clone(&self.file),
            map: Arc::clone(&self.map),
        };
        // Ends the former life's frames before anything says that the new one has begun.
        segment.map.set_word(HEADER_BYTES, 0);
        segment.write_headers(0, 0);
        Ok(segment)
    }

    /// Writes into the headers which frame comes first, and how many records were appended before it.
    pub(crate) fn begin(&self, first_sequence: u64, records_before: u64) {
        self.write_headers(first_sequence, records_before);
    }

    fn write_headers(&self, first_sequence: u64, records_before: u64) {
        let words = write_header(Header {
            number: self.number,
            first_sequence,
            bytes: self.map.len() as u64,
            records_before: Some(records_before),
        });
        for start in [0, self.limit()] {
            // An incomplete header counts as absent, so a process that dies meanwhile damages nothing.
            self.map.publish_word(start, 0);
            for (offset, word) in (start..).step_by(8).zip(words).skip(1) {
                self.map.publish_word(offset, word);
            }
            self.map.publish_word(start, words[0]);
        }
    }

    /// Frames end here at the latest.
    pub(crate) fn limit(&self) -> u32 {
        self.map.len() as u32 - HEADER_BYTES
    }

    /// Writes a frame, which must have room below [`Self::limit`]. Returns its checksum.
    ///
    /// The order is what makes the file readable whenever the process dies: first the body, then
    /// the end behind it, and last the one word that makes it a frame.
    pub(crate) fn write(&self, offset: u32, head: Head, payload: &[u8], sum: PayloadSum) -> u32 {
        let place = self.place(offset);
        let words = seal(head, place, sum);
        self.map.write(offset + FRAME_BYTES, payload);
        self.map.set_word(offset + 8, words.sequence);
        self.map.set_word(offset + DETAIL_OFFSET, words.detail);
        let end = offset + frame_bytes(head.length);
        if end < self.limit() {
            self.map.set_word(end, 0);
        }
        self.map.publish_word(offset, words.commit);
        (words.commit >> 32) as u32
    }

    /// Marks a frame as settled; `false` if there is no such frame or it is settled already. Must
    /// not run twice at once on the same frame.
    pub(crate) fn settle(&self, offset: u32, crc: u32) -> bool {
        if (self.map.word(offset) >> 32) as u32 != crc {
            return false;
        }
        let detail = self.map.word(offset + DETAIL_OFFSET);
        let mark = settled_mark(crc);
        if (detail >> 32) as u32 == mark {
            return false;
        }
        let kind = detail & u64::from(u32::MAX);
        let settled = kind | u64::from(mark) << 32;
        self.map.publish_word(offset + DETAIL_OFFSET, settled);
        true
    }

    /// Whether the frame at this offset is settled. It must have been written there.
    pub(crate) fn is_settled(&self, offset: u32) -> bool {
        let crc = (self.map.word(offset) >> 32) as u32;
        (self.map.word(offset + DETAIL_OFFSET) >> 32) as u32 == settled_mark(crc)
    }

    /// Returns the size of the frame at this offset, which must have been written there.
    pub(crate) fn bytes_of(&self, offset: u32) -> u32 {
        frame_bytes(self.map.word(offset) as u32 & 0x00FF_FFFF)
    }

    /// Whether two lives are of the same file.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.map, &other.map)
    }

    /// The frame at this offset, its payload in `payload`.
    pub(crate) fn frame_at(&self, offset: u32, payload: &mut Vec<u8>) -> Option<Sealed> {
        frame_at(&self.map, self.place(offset), self.limit(), payload)
    }

    fn place(&self, offset: u32) -> Place {
        Place {
            number: self.number,
            offset,
        }
    }

    /// Makes everything written so far reach the medium.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// The time at which a new segment claims its memory: at once or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    Ready,
    Later,
}

/// Returns the undamaged frame at this place, if it ends no later than `limit`, and reads its payload
/// into `payload`.
pub(crate) fn frame_at(
    map: &Map,
    place: Place,
    limit: u32,
    payload: &mut Vec<u8>,
) -> Option<Sealed> {
    let offset = place.offset;
    if limit.checked_sub(offset)? < FRAME_BYTES {
        return None;
    }
    let commit = map.word(offset);
    if !is_plausible(commit) {
        return None;
    }
    let words = crate::frame::Words {
        commit,
        sequence: map.word(offset + 8),
        detail: map.word(offset + DETAIL_OFFSET),
    };
    let sealed = open(words, place)?;
    let length = sealed.head.length;
    if limit - offset < frame_bytes(length) {
        return None;
    }
    map.read(offset + FRAME_BYTES, length as usize, payload);
    is_whole(sealed, PayloadSum::of(payload)).then_some(sealed)
}

/// Returns a segment's file name. It contains the number, which so survives the loss of both headers.
pub(crate) fn file_name(number: u64) -> String {
    format!("segment-{number:016x}.spool")
}

/// The number in a segment's name; `None` for any other file.
pub(crate) fn number_in(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".spool")?;
    if digits.len() != 16 {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests;
