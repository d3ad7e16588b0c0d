//! Finds the frames of a segment, whatever happened to the rest of it. Pure: bytes in, frames and
//! damage out.

use crate::frame::{
    FRAME_BYTES, HEADER_BYTES, HeaderRead, Place, Sealed, frame_bytes, is_plausible, read_header,
};
use crate::map::Map;
use crate::segment::frame_at;

/// The identity of a segment, from its headers and its name together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The numbers under which its frames may have been written. One, unless headers and name
    /// disagree.
    pub(crate) numbers: Vec<u64>,
    /// As in the header; 0 if nothing was appended to it, or if no header is whole.
    pub(crate) first_sequence: u64,
    /// The number of records before it, if anything was appended to it and its format says so.
    pub(crate) records_before: Option<u64>,
    /// Frames end here at the latest.
    pub(crate) limit: u32,
    /// Bytes of headers that are damaged, and bytes that the file lacks.
    pub(crate) damaged_bytes: u64,
    /// Neither header was ever written to its end.
    pub(crate) is_blank: bool,
    /// A header is that of an earlier life: the process died while it was reusing the file.
    pub(crate) is_former: bool,
    /// A header says which segment it is; otherwise only the name does.
    pub(crate) has_header: bool,
}

/// A whole header says that this file is of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign(pub(crate) u32);

/// Judges a segment's headers. `length` is that of the file, in bytes.
///
/// A walk tries a frame under each number that a whole header or the name gives. An extra number
/// costs only time, because no frame passes under a number that it was not written for.
pub(crate) fn identify(map: &Map, length: u64, named: Option<u64>) -> Result<Identity, Foreign> {
    let headers = match headers(map, length) {
        // A file that was cut ends with frames, not with the copy; what it lacks counts already.
        [HeaderRead::Good(first), HeaderRead::Damaged] if first.bytes > length => {
            [HeaderRead::Good(first), HeaderRead::Blank]
        }
        both => both,
    };
    let mut identity = Identity {
        numbers: Vec::new(),
        first_sequence: 0,
        records_before: None,
        // The last word may be cut off if it is only the padding of a whole frame.
        limit: length.next_multiple_of(8) as u32,
        damaged_bytes: 0,
        is_blank: headers.iter().all(|read| *read == HeaderRead::Blank),
        is_former: false,
        has_header: false,
    };
    let mut foreign = None;
    let (mut highest, mut lowest) = (0, u64::MAX);
    for read in headers {
        match read {
            HeaderRead::Good(header) => {
                identity.numbers.push(header.number);
                lowest = lowest.min(header.number);
                identity.judge_length(header.bytes, length);
                // If the process died while it rewrote the headers, the newer one is of the newer life.
                if header.number >= highest {
                    highest = header.number;
                    identity.first_sequence = header.first_sequence;
                    let was_begun = header.first_sequence > 0;
                    identity.records_before = header.records_before.filter(|_| was_begun);
                }
            }
            HeaderRead::Foreign(version) => foreign = Some(Foreign(version)),
            HeaderRead::Damaged => identity.damaged_bytes += u64::from(HEADER_BYTES),
            HeaderRead::Blank => {}
        }
    }
    if let (true, Some(foreign)) = (identity.numbers.is_empty(), foreign) {
        return Err(foreign);
    }
    identity.has_header = !identity.numbers.is_empty();
    identity.is_former = identity.has_header && lowest < highest.max(named.unwrap_or(0));
    identity.may_be(named);
    Ok(identity)
}

impl Identity {
    /// Tries these numbers too.
    pub(crate) fn may_be(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.numbers.extend(numbers);
        self.numbers.sort_unstable();
        self.numbers.dedup();
    }

    fn judge_length(&mut self, claimed: u64, length: u64) {
        if claimed <= length {
            let end = (claimed as u32).saturating_sub(HEADER_BYTES);
            self.limit = self.limit.min(end);
        } else {
            self.damaged_bytes = self.damaged_bytes.max(claimed - length);
        }
    }
}

/// Both headers of a segment.
pub(crate) fn headers(map: &Map, length: u64) -> [HeaderRead; 2] {
    [header_at(map, 0), last_header(map, length)]
}

fn header_at(map: &Map, offset: u32) -> HeaderRead {
    if (offset + HEADER_BYTES) as usize > map.len() {
        return HeaderRead::Blank;
    }
    read_header(std::array::from_fn(|word| {
        map.word(offset + word as u32 * 8)
    }))
}

/// The copy, at the end of a file that was not cut.
fn last_header(map: &Map, length: u64) -> HeaderRead {
    match (length as u32).checked_sub(HEADER_BYTES) {
        Some(offset) if offset >= HEADER_BYTES && offset.is_multiple_of(8) => {
            header_at(map, offset)
        }
        _ => HeaderRead::Blank,
    }
}

/// A piece of a segment that a walk finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Frame {
        place: Place,
        sealed: Sealed,
    },
    /// Bytes that are neither a frame of this segment's life nor its unwritten rest.
    Damage {
        offset: u32,
        bytes: u32,
    },
}

/// A walk over a segment, from its first frame to its end.
///
/// After anything that is not a frame it looks for the next one at each word. It does so even after
/// a zero, where the frames end unless zeros have overwritten some of them. Each word costs the same
/// small check, so a walk is linear in the segment's size.
#[derive(Debug)]
pub(crate) struct Walk<'m> {
    map: &'m Map,
    numbers: &'m [u64],
    is_former: bool,
    offset: u32,
    limit: u32,
}

impl<'m> Walk<'m> {
    pub(crate) fn new(map: &'m Map, identity: &'m Identity) -> Self {
        Self {
            map,
            numbers: &identity.numbers,
            is_former: identity.is_former,
            offset: HEADER_BYTES,
            limit: identity.limit.min(map.len() as u32),
        }
    }

    /// Continues a walk from an offset that [`Self::offset`] returned.
    pub(crate) fn resume(mut self, offset: u32) -> Self {
        self.offset = offset;
        self
    }

    pub(crate) fn offset(&self) -> u32 {
        self.offset
    }

    /// The next piece; a frame's payload is put into `payload`.
    pub(crate) fn next(&mut self, payload: &mut Vec<u8>) -> Option<Piece> {
        if self.offset >= self.limit {
            return None;
        }
        if let Some((place, sealed)) = self.frame(self.offset, payload) {
            self.offset += frame_bytes(sealed.head.length);
            return Some(Piece::Frame { place, sealed });
        }
        self.gap(payload)
    }

    /// The next frame that is not settled.
    pub(crate) fn next_unsettled(&mut self, payload: &mut Vec<u8>) -> Option<(Place, Sealed)> {
        loop {
            match self.next(payload)? {
                Piece::Frame { place, sealed } if !sealed.settled => return Some((place, sealed)),
                Piece::Frame { .. } | Piece::Damage { .. } => {}
            }
        }
    }

    fn gap(&mut self, payload: &mut Vec<u8>) -> Option<Piece> {
        let start = self.offset;
        let found = (start..self.limit)
            .step_by(8)
            .skip(1)
            .find(|offset| self.frame(*offset, payload).is_some());
        self.offset = found.unwrap_or(self.limit);
        // Its first word was zeroed on purpose, and everything behind it was settled.
        if self.is_former && start == HEADER_BYTES && self.map.word(start) == 0 {
            return self.next(payload);
        }
        // There is no frame after a zero: nothing more was written to the segment.
        if found.is_none() && (self.map.word(start) == 0 || self.limit - start < FRAME_BYTES) {
            return None;
        }
        Some(Piece::Damage {
            offset: start,
            bytes: self.offset - start,
        })
    }

    fn frame(&self, offset: u32, payload: &mut Vec<u8>) -> Option<(Place, Sealed)> {
        if !is_plausible(self.map.word(offset)) {
            return None;
        }
        self.numbers.iter().find_map(|number| {
            let place = Place {
                number: *number,
                offset,
            };
            Some((place, frame_at(self.map, place, self.limit, payload)?))
        })
    }
}

/// The findings of one walk over a whole segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Undamaged ones.
    pub(crate) frames: u64,
    pub(crate) unsettled: u64,
    /// Undamaged ones that are neither pinned nor copies, settled or not.
    pub(crate) records: u64,
    /// The frames missing from gaps in the sequences; where there is no gap, one for each damaged
    /// place.
    pub(crate) damaged_frames: u64,
    pub(crate) damaged_bytes: u64,
    /// The sequences and places of frames that are copies of earlier ones.
    pub(crate) copies: Vec<(u64, Place)>,
}

impl Survey {
    pub(crate) fn of(map: &Map, identity: &Identity) -> Self {
        let mut survey = Self {
            damaged_bytes: identity.damaged_bytes,
            ..Self::default()
        };
        let mut expected = identity.first_sequence;
        let mut open_damage = 0;
        let mut payload = Vec::new();
        let mut walk = Walk::new(map, identity);
        while let Some(piece) = walk.next(&mut payload) {
            match piece {
                Piece::Damage { bytes, .. } => {
                    survey.damaged_bytes += u64::from(bytes);
                    open_damage += 1;
                }
                Piece::Frame { place, sealed } => {
                    survey.count(place, sealed);
                    if !sealed.head.copied {
                        let missing = sealed.head.sequence.saturating_sub(expected);
                        survey.damaged_frames += match open_damage {
                            0 => 0,
                            // Without a header the first sequence is not known.
                            _ if expected == 0 => open_damage,
                            _ => missing.max(open_damage),
                        };
                        open_damage = 0;
                        expected = sealed.head.sequence + 1;
                    }
                }
            }
        }
        survey.damaged_frames += open_damage;
        if identity.is_blank && survey.frames > 0 {
            survey.damaged_bytes += u64::from(2 * HEADER_BYTES);
        }
        survey
    }

    fn count(&mut self, place: Place, sealed: Sealed) {
        self.frames += 1;
        self.unsettled += u64::from(!sealed.settled);
        self.records += u64::from(!sealed.head.pinned && !sealed.head.copied);
        if sealed.head.copied {
            self.copies.push((sealed.head.sequence, place));
        }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged_bytes > 0 || self.damaged_frames > 0
    }
}

#[cfg(test)]
mod tests;
