//! Encodes and checks the bytes of a frame and of a segment's header, as pure functions on 8-byte
//! words. This module does not know where the words are stored.

use crc32c::{crc32c, crc32c_append};

/// The longest payload of one frame, in bytes. It limits how much recovery has to read before it can
/// judge a frame.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// The version of the format that is written. Earlier ones are read.
pub const FORMAT_VERSION: u32 = 2;

/// The first version, whose segments do not say how many records lie before them.
const FORMAT_VERSION_1: u32 = 1;

/// The size of a segment's header at its beginning, and of the copy at its end.
pub(crate) const HEADER_BYTES: u32 = 64;
/// The size of a frame before its payload.
pub(crate) const FRAME_BYTES: u32 = 24;
/// The offset in a frame of the mark that says that the frame is settled.
pub(crate) const MARK_OFFSET: u32 = 20;

const MAGIC: u64 = u64::from_le_bytes(*b"RECSPOOL");
/// The upper six bits of the byte above the length. Never zero, so no frame begins with a zero
/// word, and one comparison dismisses nearly every word that does not begin a frame.
const TAG: u8 = 0b1010_0100;
const PINNED: u8 = 0b01;
const COPIED: u8 = 0b10;
/// Combined with a frame's checksum into its mark, so that neither another frame's mark nor a run of
/// equal bytes can pass for it.
const SETTLED: u32 = 0x5E77_1ED0;

/// A segment in one of its lives, and an offset in it. The checksum covers both, so a frame is valid
/// only at the place it was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) offset: u32,
}

/// All that is known of a frame but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) kind: u8,
    pub(crate) pinned: bool,
    /// It stands for a frame of an earlier segment and carries that one's sequence.
    pub(crate) copied: bool,
    /// Of the payload, in bytes.
    pub(crate) length: u32,
}

/// The three words before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// Length and checksum. A frame exists once this word is not zero.
    pub(crate) commit: u64,
    pub(crate) sequence: u64,
    /// Kind, check of the head, and the mark.
    pub(crate) detail: u64,
}

/// The content of a frame's own words, before the payload is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) head: Head,
    pub(crate) crc: u32,
    trailer_crc: u32,
    pub(crate) settled: bool,
}

/// The checksum of a payload, advanced over the 32 bytes of the trailer that follow it.
///
/// A CRC is linear: the CRC of payload and trailer is this value xor the trailer's CRC. So the part
/// that depends on the payload is computed outside the lock, before the frame's place is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PayloadSum(u32);

impl PayloadSum {
    pub(crate) fn of(payload: &[u8]) -> Self {
        Self(behind_a_trailer(crc32c(payload)))
    }

    /// The checksum of the payload and this trailer.
    const fn with(self, trailer_crc: u32) -> u32 {
        self.0 ^ trailer_crc
    }
}

/// Advances a checksum over 32 bytes of zeros, without its inversions. It looks up four bits at a time, which
/// is faster than reading the zeros.
fn behind_a_trailer(crc: u32) -> u32 {
    static BEHIND: [[u32; 16]; 8] = behind_a_trailer_by_nibble();
    let nibbles = BEHIND.iter().zip(0..);
    nibbles.fold(0, |sum, (behind, nibble)| {
        sum ^ behind[((crc >> (4 * nibble)) & 0xF) as usize]
    })
}

const fn behind_a_trailer_by_nibble() -> [[u32; 16]; 8] {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let mut behind = [[0; 16]; 8];
    let mut entry = 0;
    while entry < 8 * 16 {
        let (nibble, value) = (entry / 16, entry % 16);
        let mut bits = (value as u32) << (4 * nibble);
        let mut shift = 0;
        while shift < 8 * size_of::<Trailer>() {
            bits = (bits >> 1) ^ (POLYNOMIAL * (bits & 1));
            shift += 1;
        }
        behind[nibble][value] = bits;
        entry += 1;
    }
    behind
}

/// Returns the size of a frame with a payload of this length, rounded up to whole words.
pub(crate) const fn frame_bytes(length: u32) -> u32 {
    FRAME_BYTES + length.next_multiple_of(8)
}

/// The words of an unsettled frame.
pub(crate) fn seal(head: Head, place: Place, payload: PayloadSum) -> Words {
    let tagged = tagged_length(head);
    let trailer_crc = crc32c(trailer(head, tagged, place).bytes());
    let crc = payload.with(trailer_crc);
    let check = trailer_crc >> 8;
    Words {
        commit: u64::from(tagged) | u64::from(crc) << 32,
        sequence: head.sequence,
        detail: u64::from(head.kind) | u64::from(check) << 8,
    }
}

/// Returns whether a frame may begin with this word. It must be cheap, because a search calls it for
/// every word.
pub(crate) const fn is_plausible(commit: u64) -> bool {
    let tag = (commit >> 24) as u8;
    tag & !(PINNED | COPIED) == TAG && commit & 0x00FF_FFFF <= MAX_PAYLOAD as u64
}

/// Reads a frame's words. `None` if the head is not that of a frame written for this place.
/// [`is_whole`] checks the payload.
///
/// The head's own check makes this cost the same for any length: without it, a segment full of
/// words that look like long frames would have to be read over and over.
pub(crate) fn open(words: Words, place: Place) -> Option<Sealed> {
    if !is_plausible(words.commit) {
        return None;
    }
    let tagged = words.commit as u32;
    let tag = (tagged >> 24) as u8;
    let head = Head {
        sequence: words.sequence,
        kind: words.detail as u8,
        pinned: tag & PINNED != 0,
        copied: tag & COPIED != 0,
        length: tagged & 0x00FF_FFFF,
    };
    let trailer_crc = crc32c(trailer(head, tagged, place).bytes());
    if trailer_crc >> 8 != (words.detail as u32) >> 8 {
        return None;
    }
    let crc = (words.commit >> 32) as u32;
    let settled = (words.detail >> 32) as u32 == settled_mark(crc);
    Some(Sealed {
        head,
        crc,
        trailer_crc,
        settled,
    })
}

/// Whether this is the payload that the frame was sealed with.
pub(crate) fn is_whole(sealed: Sealed, payload: PayloadSum) -> bool {
    payload.with(sealed.trailer_crc) == sealed.crc
}

/// Returns the mark at [`MARK_OFFSET`] of a settled frame with this checksum. Never zero, because an
/// unsettled frame has zero there.
pub(crate) const fn settled_mark(crc: u32) -> u32 {
    (SETTLED ^ crc) | 1
}

fn tagged_length(head: Head) -> u32 {
    let pinned = if head.pinned { PINNED } else { 0 };
    let copied = if head.copied { COPIED } else { 0 };
    head.length | u32::from(TAG | pinned | copied) << 24
}

/// Whole, aligned words, because the checksum's instruction takes those: it would stall on bytes that were
/// put together just before.
#[repr(align(8))]
struct Trailer([[u8; 8]; 4]);

impl Trailer {
    const fn bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }
}

/// Builds the bytes that the checksum covers after the payload.
fn trailer(head: Head, tagged: u32, place: Place) -> Trailer {
    let tag_and_kind = u64::from(tagged) | u64::from(head.kind) << 32;
    let words = [
        head.sequence,
        tag_and_kind,
        place.number,
        u64::from(place.offset),
    ];
    Trailer(words.map(u64::to_le_bytes))
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Fresh for each life of a file.
    pub(crate) number: u64,
    /// The sequence of the first frame that is not a copy; zero before the first append.
    pub(crate) first_sequence: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
    /// How many records, frames that are neither pinned nor copies, were appended to the spool before this segment
    /// was begun; `None` in version 1.
    pub(crate) records_before: Option<u64>,
}

/// The result of reading a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    Good(Header),
    /// Whole, but of a version that this code does not know.
    Foreign(u32),
    /// Never written, or not completely: its first word is written last.
    Blank,
    Damaged,
}

/// The header's eight words.
pub(crate) fn write_header(header: Header) -> [u64; 8] {
    let version = match header.records_before {
        None => FORMAT_VERSION_1,
        Some(_) => FORMAT_VERSION,
    };
    let mut words = [
        MAGIC,
        u64::from(version),
        header.number,
        header.first_sequence,
        header.bytes,
        header.records_before.unwrap_or(0),
        0,
        0,
    ];
    words[7] = u64::from(header_crc(&words));
    words
}

/// Reads what [`write_header`] wrote.
pub(crate) fn read_header(words: [u64; 8]) -> HeaderRead {
    if words[0] == 0 {
        return HeaderRead::Blank;
    }
    if words[0] != MAGIC || words[7] != u64::from(header_crc(&words)) {
        return HeaderRead::Damaged;
    }
    let records_before = match words[1] as u32 {
        FORMAT_VERSION_1 => None,
        FORMAT_VERSION => Some(words[5]),
        version => return HeaderRead::Foreign(version),
    };
    HeaderRead::Good(Header {
        number: words[2],
        first_sequence: words[3],
        bytes: words[4],
        records_before,
    })
}

fn header_crc(words: &[u64; 8]) -> u32 {
    let checked = &words[..7];
    checked
        .iter()
        .fold(0, |crc, word| crc32c_append(crc, &word.to_le_bytes()))
}

#[cfg(test)]
mod tests;
