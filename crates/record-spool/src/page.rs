//! A page beside a spool: a note of its owner's, and counters that survive the death of their process.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `RECPAGE1` |
//! | 8 | 4 | length of the note, at most 2,048 |
//! | 12 | 4 | CRC-32C of the note |
//! | 16 | length | the note |
//! | 3,072 | 1,024 | 128 counters of 8 bytes, little-endian |

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::fs::{Fs, RealFs, SegmentFile, read_path};
use crate::map::Map;
use crate::options::SpoolError;

const MAGIC: u64 = u64::from_le_bytes(*b"RECPAGE1");
const BYTES: u64 = 4_096;
const NOTE_OFFSET: u32 = 16;
const COUNTERS_OFFSET: u32 = 3_072;

/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 2_048;

/// How many counters a page has.
pub const COUNTERS: usize = 128;

/// A note, written once, and counters. Setting one costs no system call, and what was set is there after
/// the death of the process; after the death of the machine an older value may be.
///
/// ```
/// # let root = tempfile::tempdir()?;
/// use record_spool::Page;
///
/// let path = root.path().join("own.page");
/// let page = Page::create(&path, b"whose it is")?;
/// page.set(0, 42);
/// drop(page); // as a crash would
/// let (note, counters) = Page::read(&path)?.expect("it is there and whole");
/// assert_eq!((note.as_slice(), counters[0]), (&b"whose it is"[..], 42));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Page {
    map: Map,
    /// The mapping outlives it; kept for the platforms where it must not.
    _file: Arc<dyn SegmentFile>,
}

/// What a page says: the note and the counters.
pub type Noted = (Vec<u8>, Vec<u64>);

impl Page {
    /// A new page with all counters at 0.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Options`] if the note is too long; [`SpoolError::Io`] if there is such a file
    /// already, or no space for one.
    pub fn create(path: &Path, note: &[u8]) -> Result<Self, SpoolError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(SpoolError::Options("note"));
        }
        let make = || -> io::Result<Self> {
            let file = RealFs.create(path, BYTES)?;
            let map = file.map(BYTES)?;
            map.write(NOTE_OFFSET, note);
            let length = note.len() as u64;
            map.set_word(8, length | u64::from(crc32c::crc32c(note)) << 32);
            map.publish_word(0, MAGIC);
            Ok(Self { map, _file: file })
        };
        make().map_err(|source| SpoolError::io("create", path, source))
    }

    /// A page that a dead process left, to go on counting. `None` as with [`Self::read`].
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`] if it is there and cannot be read or mapped.
    pub fn open(path: &Path) -> Result<Option<Self>, SpoolError> {
        if Self::read(path)?.is_none() {
            return Ok(None);
        }
        let open = || -> io::Result<Self> {
            let file = RealFs.open(path)?;
            let map = file.map(BYTES)?;
            Ok(Self { map, _file: file })
        };
        let opened = open().map_err(|source| SpoolError::io("open", path, source));
        opened.map(Some)
    }

    /// Sets a counter.
    ///
    /// # Panics
    ///
    /// If there is no such counter.
    pub fn set(&self, counter: usize, value: u64) {
        assert!(counter < COUNTERS, "there are {COUNTERS} counters");
        self.map
            .set_word(COUNTERS_OFFSET + 8 * counter as u32, value);
    }

    /// Reads a page, of a living process or of a dead one: the note and the counters. `None` if there is
    /// none or its note is damaged.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`] if it is there and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Noted>, SpoolError> {
        match read_path(path) {
            Ok((map, BYTES)) => Ok(parse(&map)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SpoolError::io("read", path, source)),
        }
    }
}

fn parse(map: &Map) -> Option<Noted> {
    let head = map.word(8);
    let length = usize::try_from(head & u64::from(u32::MAX)).ok()?;
    if map.word(0) != MAGIC || length > NOTE_BYTES_MAX {
        return None;
    }
    let mut note = Vec::new();
    map.read(NOTE_OFFSET, length, &mut note);
    let is_whole = u64::from(crc32c::crc32c(&note)) == head >> 32;
    let counters = (0..COUNTERS as u32).map(|counter| map.word(COUNTERS_OFFSET + 8 * counter));
    is_whole.then(|| (note, counters.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_note_is_none_and_a_second_page_does_not_replace_the_first() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("page");
        assert_eq!(Page::read(&path).unwrap(), None);
        drop(Page::create(&path, b"note").unwrap());
        assert!(Page::create(&path, b"another").is_err());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[17] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Page::read(&path).unwrap(), None);
        std::fs::write(&path, &bytes[..100]).unwrap();
        assert_eq!(Page::read(&path).unwrap(), None);
        let long = [0; NOTE_BYTES_MAX + 1];
        assert!(Page::create(&root.path().join("long"), &long).is_err());
    }
}
