//! A page beside a spool: its owner's note, and counters that survive the death of their process.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `RECPAGE2` |
//! | 8 | 4 | length of the note, at most 2,048 |
//! | 12 | 4 | CRC-32C of the note |
//! | 16 | length | the note |
//! | 3,072 | 1,024 | 128 counters of 8 bytes, little-endian |
//!
//! A counter is one word, so that setting it is one store: its value in the lower 48 bits, and above them the lower
//! 16 bits of the CRC-32C of its place (one byte) and the six bytes of the value, xor `0x5EA1`. The check reveals
//! damage to a counter. In version 1, `RECPAGE1`, which can also be read and counted on, a counter is its bare value.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::fs::{FILE_MODE, Fs, RealFs, SegmentFile, read_path};
use crate::map::Map;
use crate::options::SpoolError;

const MAGIC: u64 = u64::from_le_bytes(*b"RECPAGE2");
const MAGIC_1: u64 = u64::from_le_bytes(*b"RECPAGE1");
/// The digit of [`MAGIC`].
const VERSION: u32 = 2;
const BYTES: u64 = 4_096;
const NOTE_OFFSET: u32 = 16;
const COUNTERS_OFFSET: u32 = 3_072;

/// The greatest value of a counter: a million records a second for nine years.
pub const COUNTER_MAX: u64 = (1 << 48) - 1;

/// Combined with a counter's check, so that a blanked page counts as damaged and not as all zeros.
const SEAL: u64 = 0x5EA1;

/// The longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 2_048;

/// The number of counters on a page.
pub const COUNTERS: usize = 128;

/// A note, written once, and counters. Setting a counter costs no system call. Its value survives the death
/// of the process; after the death of the machine it may be an older one.
///
/// ```
/// # let root = tempfile::tempdir()?;
/// use record_spool::Counters;
///
/// let path = root.path().join("own.page");
/// let page = Counters::create(&path, b"whose it is")?;
/// page.set(0, 42);
/// drop(page); // as a crash would
/// let (note, counters) = Counters::read(&path)?.expect("it is there and whole");
/// assert_eq!((note.as_slice(), counters[0]), (&b"whose it is"[..], Some(42)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Counters {
    map: Map,
    format: Format,
    /// The mapping outlives it; kept for the platforms where it must not.
    _file: Arc<dyn SegmentFile>,
}

/// How counters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Version 1.
    Bare,
    Sealed,
}

impl Format {
    fn of(magic: u64) -> Option<Self> {
        match magic {
            MAGIC => Some(Self::Sealed),
            MAGIC_1 => Some(Self::Bare),
            _ => None,
        }
    }

    fn write(self, counter: usize, value: u64) -> u64 {
        match self {
            Self::Bare => value,
            Self::Sealed => {
                let value = value.min(COUNTER_MAX);
                value | check(counter, value) << 48
            }
        }
    }

    fn read(self, counter: usize, word: u64) -> Option<u64> {
        match self {
            Self::Bare => Some(word),
            Self::Sealed => {
                let value = word & COUNTER_MAX;
                (check(counter, value) == word >> 48).then_some(value)
            }
        }
    }
}

/// Returns the check of a counter. It covers the place too, so a value is invalid where it was not written.
#[inline]
fn check(counter: usize, value: u64) -> u64 {
    let bytes = (value << 8 | counter as u64).to_le_bytes();
    let added = bytes
        .iter()
        .zip(&ADDED)
        .map(|(byte, added)| added[usize::from(*byte)]);
    u64::from(added.fold(ADDED_BY_NONE, |sum, added| sum ^ added)) ^ SEAL
}

/// The contribution of a byte at each of seven places to the lower half of the CRC-32C of eight bytes, which is
/// linear. A table, because a counter is set for each record, and a call for so few bytes costs more than the rest.
static ADDED: [[u16; 256]; 7] = {
    let mut added = [[0; 256]; 7];
    let mut place = 0;
    while place < 7 {
        let mut byte = 0;
        while byte < 256 {
            added[place][byte] = crc_of_word(0, (byte as u64) << (8 * place)) as u16;
            byte += 1;
        }
        place += 1;
    }
    added
};

/// The lower half of the CRC-32C of eight zeros.
const ADDED_BY_NONE: u16 = !crc_of_word(u32::MAX, 0) as u16;

/// Returns the CRC-32C of eight bytes, without inversions, a bit at a time; used at compile time.
const fn crc_of_word(begin: u32, word: u64) -> u32 {
    const CASTAGNOLI: u32 = 0x82F6_3B78;
    let (mut crc, mut rest, mut bit) = (begin, word, 0);
    while bit < 64 {
        let is_odd = (crc ^ rest as u32) & 1 == 1;
        crc >>= 1;
        if is_odd {
            crc ^= CASTAGNOLI;
        }
        rest >>= 1;
        bit += 1;
    }
    crc
}

/// The content of a page: the note and the counters, `None` for damaged ones.
pub type Noted = (Vec<u8>, Vec<Option<u64>>);

impl Counters {
    /// Creates a page with all counters at 0.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Options`] if the note is too long; [`SpoolError::Io`] if the file already exists
    /// or there is no space for it.
    pub fn create(path: &Path, note: &[u8]) -> Result<Self, SpoolError> {
        Self::create_with(path, note, FILE_MODE)
    }

    /// Creates a page with this mode, as `chmod` takes it.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_with(path: &Path, note: &[u8], file_mode: u32) -> Result<Self, SpoolError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(SpoolError::Options("note"));
        }
        let make = || -> io::Result<Self> {
            let file = RealFs { file_mode }.create(path, BYTES)?;
            let map = file.map(BYTES)?;
            for counter in 0..COUNTERS {
                map.set_word(offset_of(counter), Format::Sealed.write(counter, 0));
            }
            map.write(NOTE_OFFSET, note);
            let length = note.len() as u64;
            map.set_word(8, length | u64::from(crc32c::crc32c(note)) << 32);
            map.publish_word(0, MAGIC);
            Ok(Self {
                map,
                format: Format::Sealed,
                _file: file,
            })
        };
        make().map_err(|source| SpoolError::io("create", path, source))
    }

    /// Opens the page of a dead process, to go on counting. `None` as with [`Self::read`].
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`] if it is there and cannot be read or mapped.
    pub fn open(path: &Path) -> Result<Option<Self>, SpoolError> {
        if Self::read(path)?.is_none() {
            return Ok(None);
        }
        let open = || -> io::Result<Self> {
            let file = RealFs::default().open(path)?;
            let map = file.map(BYTES)?;
            let format = Format::of(map.word(0)).ok_or(io::ErrorKind::InvalidData)?;
            Ok(Self {
                map,
                format,
                _file: file,
            })
        };
        let opened = open().map_err(|source| SpoolError::io("open", path, source));
        opened.map(Some)
    }

    /// Sets a counter; a value greater than [`COUNTER_MAX`] is cut to that.
    ///
    /// # Panics
    ///
    /// If the counter does not exist.
    #[inline]
    pub fn set(&self, counter: usize, value: u64) {
        assert!(counter < COUNTERS, "there are {COUNTERS} counters");
        let word = self.format.write(counter, value);
        self.map.set_word(offset_of(counter), word);
    }

    /// Reads the note and the counters of a page, whether its process is alive or dead. `None` if there is
    /// no page or its note is damaged.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Version`] if a newer version of this crate wrote it; [`SpoolError::Io`] if it is there and
    /// cannot be read.
    pub fn read(path: &Path) -> Result<Option<Noted>, SpoolError> {
        match read_path(path) {
            Ok((map, BYTES)) => match newer_version(&map) {
                Some(found) => Err(SpoolError::Version {
                    path: path.into(),
                    found,
                }),
                None => Ok(parse(&map)),
            },
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SpoolError::io("read", path, source)),
        }
    }
}

const fn offset_of(counter: usize) -> u32 {
    COUNTERS_OFFSET + 8 * counter as u32
}

/// Returns the version of a page that claims to be of a newer one. If all its counters are valid in ours, the page is
/// ours and the digit is damaged.
fn newer_version(map: &Map) -> Option<u32> {
    let magic = map.word(0).to_le_bytes();
    let digit = char::from(magic[7]).to_digit(10);
    let found =
        digit.filter(|version| *version > VERSION && magic[..7] == MAGIC.to_le_bytes()[..7]);
    let counts_as_ours = |counter| {
        Format::Sealed
            .read(counter, map.word(offset_of(counter)))
            .is_some()
    };
    found.filter(|_| !(0..COUNTERS).all(counts_as_ours))
}

fn parse(map: &Map) -> Option<Noted> {
    let head = map.word(8);
    let length = usize::try_from(head & u64::from(u32::MAX)).ok()?;
    let format = Format::of(map.word(0))?;
    if length > NOTE_BYTES_MAX {
        return None;
    }
    let mut note = Vec::new();
    map.read(NOTE_OFFSET, length, &mut note);
    let is_whole = u64::from(crc32c::crc32c(&note)) == head >> 32;
    let counters = (0..COUNTERS).map(|counter| format.read(counter, map.word(offset_of(counter))));
    is_whole.then(|| (note, counters.collect()))
}

#[cfg(test)]
mod tests;
