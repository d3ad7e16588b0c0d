//! The state under the spool's one lock: the segments, and what each of them still holds. It writes
//! to memory, and calls the file system only where an append would be lost otherwise.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::frame::{HEADER_BYTES, Head, PayloadSum, frame_bytes};
use crate::fs::Fs;
use crate::options::{Full, SpoolOptions};
use crate::position::Position;
use crate::segment::{Pages, Segment};

/// A segment that holds frames, or may.
#[derive(Debug)]
pub(crate) struct HeldSegment {
    pub(crate) segment: Arc<Segment>,
    /// The end of its frames.
    pub(crate) end: u32,
    /// The number of unsettled frames, and their size.
    pub(crate) live: u32,
    pub(crate) live_bytes: u32,
    /// Appended to since its last sync began.
    pub(crate) dirty: bool,
    /// Its name in the directory is on the medium.
    pub(crate) entry_synced: bool,
    /// A sync of it failed: it is neither synced nor reused again.
    pub(crate) failed: bool,
    /// A frame of it could not be read back. The segment is left for a later process.
    pub(crate) damaged: bool,
    /// Each of its live frames is also in a later segment.
    pub(crate) moved_off: bool,
    /// The time since which nothing is appended to it.
    pub(crate) sealed_at: Option<Instant>,
}

/// A frame that was copied forward and whose original is not marked yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Move {
    /// More than one if the copy had to be copied before it was safe.
    pub(crate) originals: Vec<Position>,
    /// The originals may be marked once this much was synced.
    pub(crate) ticket: u64,
}

/// Who asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Appender,
    /// May take the one segment that is kept for making room.
    Mover,
}

/// Counts, as [`Usage`](crate::Usage) shows them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) unread: u64,
    pub(crate) unsettled: u64,
    pub(crate) pinned: u64,
    pub(crate) moved: u64,
    pub(crate) damaged: u64,
    pub(crate) sync_failures: u64,
    pub(crate) sync_error: Option<String>,
    pub(crate) last_error: Option<String>,
}

/// Everything under the lock.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) options: SpoolOptions,
    /// In the order of their numbers.
    pub(crate) held: VecDeque<HeldSegment>,
    pub(crate) spares: VecDeque<Segment>,
    /// Settled; to be reused or removed.
    pub(crate) free: Vec<Segment>,
    /// To be removed and never used again.
    pub(crate) trash: Vec<Segment>,
    /// Segments that are being made or removed outside of the lock.
    pub(crate) in_work: u64,
    pub(crate) next_number: u64,
    pub(crate) next_sequence: u64,
    /// Frames appended that are not pinned.
    pub(crate) records: u64,
    /// The disk is full: the spares were given up for others, and no new ones are made.
    pub(crate) is_lean: bool,
    /// The number of the segment that the reader is in.
    pub(crate) reader_at: u64,
    /// Frames written, copies included; a sync reaches all of them.
    pub(crate) written: u64,
    /// The number of those frames that are known to be on the medium.
    pub(crate) synced_ticket: u64,
    /// Something was appended since the last sync began.
    pub(crate) sync_wanted: bool,
    pub(crate) dir_dirty: bool,
    /// The present positions of frames that were copied forward, by sequence.
    pub(crate) moved: HashMap<u64, Position>,
    /// The frames that were copied forward but have unmarked originals, by sequence.
    pub(crate) moves: HashMap<u64, Move>,
    /// The reason why the file system refused a segment when it was last asked.
    pub(crate) refused: Option<std::io::ErrorKind>,
    pub(crate) counts: Counts,
    pub(crate) closed: bool,
    /// The maintenance thread has something to do.
    pub(crate) work: bool,
    /// The maintenance thread sleeps, and with nothing to sync.
    pub(crate) keeper_waits: bool,
    pub(crate) keeper_idles: bool,
    /// The maintenance thread knows that appends are refused for want of room.
    limit_told: bool,
}

impl Segments {
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: PathBuf, options: SpoolOptions, number: u64) -> Self {
        Self {
            fs,
            dir,
            options,
            held: VecDeque::new(),
            spares: VecDeque::new(),
            free: Vec::new(),
            trash: Vec::new(),
            in_work: 0,
            next_number: number,
            next_sequence: 1,
            records: 0,
            is_lean: false,
            reader_at: 0,
            written: 0,
            synced_ticket: 0,
            sync_wanted: false,
            dir_dirty: true,
            moved: HashMap::new(),
            moves: HashMap::new(),
            refused: None,
            counts: Counts::default(),
            closed: false,
            work: false,
            keeper_waits: false,
            keeper_idles: false,
            limit_told: false,
        }
    }

    /// Appends a frame of its own sequence.
    pub(crate) fn append(
        &mut self,
        kind: u8,
        pinned: bool,
        payload: &[u8],
        sum: PayloadSum,
    ) -> Result<Position, Full> {
        let head = Head {
            sequence: self.next_sequence,
            kind,
            pinned,
            copied: false,
            length: payload.len() as u32,
        };
        self.make_room(frame_bytes(head.length), Role::Appender)?;
        let position = self.put(head, payload, sum);
        self.next_sequence += 1;
        if pinned {
            self.counts.pinned += 1;
        } else {
            self.records += 1;
            self.counts.unread += 1;
            self.counts.unsettled += 1;
        }
        Ok(position)
    }

    /// Writes a frame to the current segment, which must have room for it.
    pub(crate) fn put(&mut self, head: Head, payload: &[u8], sum: PayloadSum) -> Position {
        let held = self.held.back_mut().expect("room was made in it");
        let bytes = frame_bytes(head.length);
        let crc = held.segment.write(held.end, head, payload, sum);
        let position = Position {
            sequence: head.sequence,
            segment: held.segment.number,
            offset: held.end,
            crc,
        };
        held.end += bytes;
        held.live += 1;
        held.live_bytes += bytes;
        held.dirty = true;
        self.written += 1;
        position
    }

    /// Ensures that the current segment has room for a frame of this size.
    #[inline]
    pub(crate) fn make_room(&mut self, bytes: u32, role: Role) -> Result<(), Full> {
        if self.closed {
            return Err(Full::Closed);
        }
        if let Some(held) = self.current()
            && held.segment.limit() - held.end >= bytes
        {
            return Ok(());
        }
        self.begin_segment(role)
    }

    /// Ends the current segment and begins another.
    fn begin_segment(&mut self, role: Role) -> Result<(), Full> {
        let segment = self.claim(role)?;
        self.seal();
        segment.begin(self.next_sequence, self.records);
        self.held.push_back(HeldSegment {
            segment: Arc::new(segment),
            end: HEADER_BYTES,
            live: 0,
            live_bytes: 0,
            dirty: false,
            entry_synced: false,
            failed: false,
            damaged: false,
            moved_off: false,
            sealed_at: None,
        });
        // A spare was taken.
        self.work = true;
        self.limit_told = false;
        Ok(())
    }

    fn current(&self) -> Option<&HeldSegment> {
        self.held.back().filter(|held| held.sealed_at.is_none())
    }

    /// Seals the current segment: nothing more is appended to it.
    pub(crate) fn seal(&mut self) {
        let current = self.held.back_mut();
        let Some(held) = current.filter(|held| held.sealed_at.is_none()) else {
            return;
        };
        held.sealed_at = Some(Instant::now());
        let number = held.segment.number;
        self.free_if_done(number);
    }

    /// An empty segment: a spare, a used one, or a new one.
    fn claim(&mut self, role: Role) -> Result<Segment, Full> {
        if let Some(spare) = self.spares.pop_front() {
            return Ok(spare);
        }
        while let Some(used) = self.free.pop() {
            let number = self.take_number();
            match used.reuse(&*self.fs, &self.dir, number) {
                Ok(segment) => {
                    self.dir_dirty = true;
                    return Ok(segment);
                }
                Err(error) => {
                    self.note("reuse a segment", &error);
                    self.trash.push(used);
                }
            }
        }
        self.create_now(role)
    }

    /// Creates a segment at once, which happens only when a burst has outrun the spares.
    fn create_now(&mut self, role: Role) -> Result<Segment, Full> {
        if !self.has_space(role) {
            // Wakes the thread only once: it can do no more about the next refusal than about this one.
            self.work |= !std::mem::replace(&mut self.limit_told, true);
            return Err(Full::Limit);
        }
        // Asking a full disk at each append would cost each of them a system call.
        if let Some(kind) = self.refused {
            return Err(Full::Disk(kind));
        }
        let number = self.take_number();
        let bytes = self.options.segment_bytes;
        match Segment::create(&*self.fs, &self.dir, number, bytes, Pages::Later) {
            Ok(segment) => {
                self.dir_dirty = true;
                Ok(segment)
            }
            Err(error) => {
                self.refuse(&error);
                Err(Full::Disk(error.kind()))
            }
        }
    }

    pub(crate) fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Notes that the file system refused a segment; the maintenance thread asks again after a while.
    pub(crate) fn refuse(&mut self, error: &std::io::Error) {
        self.note("make a segment", error);
        self.refused = Some(error.kind());
        self.work = true;
    }

    pub(crate) fn note(&mut self, action: &str, error: &std::io::Error) {
        self.counts.last_error = Some(format!("cannot {action}: {error}"));
    }

    /// A sync failed, and no later one has succeeded.
    pub(crate) fn note_sync_failure(&mut self, action: &str, error: &std::io::Error) {
        self.note(action, error);
        self.counts.sync_failures += 1;
        self.counts.sync_error.clone_from(&self.counts.last_error);
    }

    pub(crate) fn count(&self) -> u64 {
        let kept = self.held.len() + self.spares.len() + self.free.len() + self.trash.len();
        kept as u64 + self.in_work
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.count() * self.options.segment_bytes
    }

    /// Whether one segment more stays within the limit.
    pub(crate) fn has_space(&self, role: Role) -> bool {
        let kept = match role {
            Role::Appender => 2,
            Role::Mover => 1,
        };
        (self.count() + kept) * self.options.segment_bytes <= self.options.max_bytes
    }

    pub(crate) fn find(&mut self, number: u64) -> Option<&mut HeldSegment> {
        let held = &mut self.held;
        // A frame that is settled soon after its append is in the newest segment.
        let is_it = |held: &HeldSegment| held.segment.number == number;
        if held.back().is_some_and(is_it) {
            return held.back_mut();
        }
        let index = held.binary_search_by_key(&number, |held| held.segment.number);
        index.ok().and_then(|index| held.get_mut(index))
    }

    /// Settles a frame, wherever it stands now. `None` if it is settled already.
    pub(crate) fn settle(&mut self, position: Position) -> Option<()> {
        if self.moved.is_empty() {
            return self.mark(position);
        }
        let Some(copy) = self.moved.remove(&position.sequence) else {
            return self.mark(position);
        };
        // Before the copy is settled, or a later process would find the original again.
        let moves = self.moves.remove(&position.sequence);
        for original in moves.into_iter().flat_map(|moves| moves.originals) {
            let _ = self.mark(original);
        }
        self.mark(copy)
    }

    /// Settles a pinned frame. Counts it even if its bytes are damaged, because a pin is released only once.
    pub(crate) fn release(&mut self, position: Position) {
        let _ = self.settle(position);
        self.counts.pinned = self.counts.pinned.saturating_sub(1);
    }

    /// Marks the frame that stands here.
    pub(crate) fn mark(&mut self, position: Position) -> Option<()> {
        let held = self.find(position.segment)?;
        if position.offset >= held.end || !held.segment.settle(position.offset, position.crc) {
            return None;
        }
        let bytes = held.segment.bytes_of(position.offset);
        held.live -= 1;
        held.live_bytes -= bytes;
        let sparse = (held.segment.limit() - HEADER_BYTES) / 4;
        let became_sparse = held.live_bytes <= sparse && held.live_bytes + bytes > sparse;
        let is_sealed = held.sealed_at.is_some();
        let is_empty = held.live == 0;
        // It may be worth copying forward what is left in it.
        self.work |= became_sparse && is_sealed;
        if is_empty {
            self.free_if_done(position.segment);
        }
        Some(())
    }

    /// Frees a segment if it holds nothing any more and was read to its end.
    pub(crate) fn free_if_done(&mut self, number: u64) {
        let reader_at = self.reader_at;
        let held = &self.held;
        let Ok(index) = held.binary_search_by_key(&number, |held| held.segment.number) else {
            return;
        };
        let is_done =
            |held: &HeldSegment| held.live == 0 && !held.damaged && held.sealed_at.is_some();
        if !is_done(&held[index]) || (number >= reader_at && held[index].end > HEADER_BYTES) {
            return;
        }
        let Some(held) = self.held.remove(index) else {
            return;
        };
        // A sync may still be at work on it; the file stays open until that is done.
        let segment = Segment::clone(&held.segment);
        if held.failed {
            self.trash.push(segment);
        } else {
            self.free.push(segment);
        }
        self.work = true;
    }

    /// The reader has gone on to this segment.
    pub(crate) fn advance_reader(&mut self, to: u64) {
        self.reader_at = to;
        let passed = self.held.iter().map(|held| held.segment.number);
        let passed: Vec<u64> = passed.take_while(|number| *number < to).collect();
        for number in passed {
            self.free_if_done(number);
        }
        self.work = true;
    }
}
