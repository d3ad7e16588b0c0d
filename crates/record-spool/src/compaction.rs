//! Copies frames forward: those that keep an otherwise settled segment alive, and those of a
//! segment that failed to sync.
//!
//! A copy carries the sequence of its original. The original is marked as settled only when the
//! copy survives everything that the original survived, so at each instant at least one of them
//! counts. If recovery finds both, it returns the copy.

use std::time::{Duration, Instant};

use crate::core::Core;
use crate::frame::{HEADER_BYTES, Head, PayloadSum, frame_bytes};
use crate::options::Full;
use crate::position::Position;
use crate::segment::Segment;
use crate::segments::{HeldSegment, Move, Role, Segments};

/// The time to wait before compacting a full segment, which is likely to be settled by itself.
pub(crate) const SETTLE_GRACE: Duration = Duration::from_secs(1);

/// The number of frames to copy before others may take the lock.
const BATCH: usize = 64;

/// The facts that decide whether a segment's frames are copied forward.
#[derive(Clone, Copy, Debug)]
struct Occupancy {
    sealed_for: Duration,
    read: bool,
    failed: bool,
    live_bytes: u32,
    capacity: u32,
}

/// Returns whether copying frames forward pays. `pressed` means that appends are refused for lack of room.
fn is_worth_moving(occupancy: Occupancy, pressed: bool) -> bool {
    if occupancy.live_bytes == 0 {
        return false;
    }
    // Moving a quarter frees three; moving more would write more than it gains.
    let is_sparse = occupancy.live_bytes <= occupancy.capacity / 4;
    let is_old = occupancy.sealed_for >= SETTLE_GRACE;
    occupancy.failed || (occupancy.read && is_sparse && (is_old || pressed))
}

/// A frame to be copied.
struct LiveFrame {
    position: Position,
    head: Head,
    payload: Vec<u8>,
}

impl Core {
    /// Copies forward what is worth it, until there is no room for more.
    pub(crate) fn move_forward(&self, now: Instant) {
        loop {
            let number = self.segments().to_move(now);
            let moved = number.map(|number| self.move_off(number));
            if !matches!(moved, Some(Ok(()))) {
                break;
            }
        }
    }

    fn move_off(&self, number: u64) -> Result<(), Full> {
        let copied = self.copy_off(number);
        let mut segments = self.segments();
        if let (Ok(()), Some(held)) = (copied, segments.find(number)) {
            held.moved_off = true;
        }
        if !segments.options.is_power() {
            // The copies are in the page cache, and the originals were promised no more than that.
            segments.finish_moves(u64::MAX);
        }
        copied
    }

    fn copy_off(&self, number: u64) -> Result<(), Full> {
        let Some((segment, end)) = self.segments().sealed_segment(number) else {
            return Ok(());
        };
        let mut offset = HEADER_BYTES;
        while offset < end {
            let batch = collect(&segment, &mut offset, end);
            let mut segments = self.segments();
            for live in &batch {
                segments.copy_forward(live)?;
            }
        }
        Ok(())
    }
}

impl Segments {
    fn sealed_segment(&mut self, number: u64) -> Option<(std::sync::Arc<Segment>, u32)> {
        let held = self.find(number)?;
        Some((std::sync::Arc::clone(&held.segment), held.end))
    }

    /// The number of the next segment whose frames are to be copied forward.
    fn to_move(&self, now: Instant) -> Option<u64> {
        let pressed = self.is_pressed();
        let mut held = self.held.iter().filter(|held| !held.moved_off);
        let found = held.find(|held| {
            let occupancy = self.occupancy(held, now);
            occupancy.is_some_and(|occupancy| is_worth_moving(occupancy, pressed))
        });
        found.map(|held| held.segment.number)
    }

    /// Returns the time at which a segment will be worth moving because of its age alone.
    pub(crate) fn next_move(&self, now: Instant) -> Option<Instant> {
        let waits = self.held.iter().filter(|held| !held.moved_off);
        let waits = waits.filter_map(|held| {
            let mut occupancy = self.occupancy(held, now)?;
            let is_early = occupancy.sealed_for < SETTLE_GRACE;
            occupancy.sealed_for = SETTLE_GRACE;
            let due = held.sealed_at? + SETTLE_GRACE;
            (is_early && is_worth_moving(occupancy, false)).then_some(due)
        });
        waits.min()
    }

    fn occupancy(&self, held: &HeldSegment, now: Instant) -> Option<Occupancy> {
        Some(Occupancy {
            sealed_for: now.saturating_duration_since(held.sealed_at?),
            read: held.segment.number < self.reader_at,
            failed: held.failed,
            live_bytes: held.live_bytes,
            capacity: held.segment.limit() - HEADER_BYTES,
        })
    }

    fn is_pressed(&self) -> bool {
        let is_empty = self.spares.is_empty() && self.free.is_empty();
        is_empty && (self.refused.is_some() || !self.has_space(Role::Appender))
    }

    fn copy_forward(&mut self, live: &LiveFrame) -> Result<(), Full> {
        let sequence = live.head.sequence;
        let pending = self.moves.get(&sequence);
        if pending.is_some_and(|moves| moves.originals.contains(&live.position)) {
            return Ok(());
        }
        self.make_room(frame_bytes(live.head.length), Role::Mover)?;
        let still = self.find(live.position.segment);
        if still.is_none_or(|held| held.segment.is_settled(live.position.offset)) {
            return Ok(());
        }
        let head = Head {
            copied: true,
            ..live.head
        };
        let copy = self.put(head, &live.payload, PayloadSum::of(&live.payload));
        self.sync_wanted = true;
        self.counts.moved += 1;
        self.moved.insert(sequence, copy);
        let moves = self.moves.entry(sequence).or_default();
        moves.originals.push(live.position);
        moves.ticket = self.written;
        Ok(())
    }

    /// Marks the originals of safe copies, which are all copies up to this ticket. An original that is
    /// not read yet waits until it is.
    pub(crate) fn finish_moves(&mut self, ticket: u64) {
        let reader_at = self.reader_at;
        let is_read = |original: &Position| original.segment < reader_at;
        let ready = self
            .moves
            .extract_if(|_, moves| moves.ticket <= ticket && moves.originals.iter().all(is_read));
        let ready: Vec<Move> = ready.map(|(_, moves)| moves).collect();
        for original in ready.into_iter().flat_map(|moves| moves.originals) {
            let _ = self.mark(original);
        }
    }
}

/// The next few live frames of a sealed segment.
fn collect(segment: &Segment, offset: &mut u32, end: u32) -> Vec<LiveFrame> {
    let mut batch = Vec::new();
    while *offset < end && batch.len() < BATCH {
        let mut payload = Vec::new();
        let Some(sealed) = segment.frame_at(*offset, &mut payload) else {
            // Damaged, as the reader will also find.
            *offset += 8;
            continue;
        };
        if !sealed.settled {
            let position = Position {
                sequence: sealed.head.sequence,
                segment: segment.number,
                offset: *offset,
                crc: sealed.crc,
            };
            batch.push(LiveFrame {
                position,
                head: sealed.head,
                payload,
            });
        }
        *offset += frame_bytes(sealed.head.length);
    }
    batch
}

#[cfg(test)]
mod tests;
