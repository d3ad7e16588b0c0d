//! The state that the threads of a spool share: the segments under their lock and the reader's place, with
//! the operations on them. It starts no thread, so tests can take every step themselves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::frame::{HEADER_BYTES, PayloadSum, frame_bytes};
use crate::fs::Fs;
use crate::options::{Full, SpoolError, SpoolOptions};
use crate::position::{Frame, FrameBatch, Position, Usage};
use crate::segment::Segment;
use crate::segments::{Role, Segments};
use crate::synced::Synced;

/// The number of frames to settle before others may take the lock.
const SETTLE_BATCH: usize = 128;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    pub(crate) max_payload: usize,
    pub(crate) is_power: bool,
    segments: Mutex<Segments>,
    /// Locked before `segments` where both are needed.
    reader: Mutex<Cursor>,
    pub(crate) synced: Synced,
    /// Tells the maintenance thread that there is work.
    pub(crate) wake: Condvar,
}

/// The position at which the reader continues.
#[derive(Debug)]
struct Cursor {
    segment: u64,
    offset: u32,
}

/// The part that the reader may read without the lock: frames below `end` no longer change.
struct View {
    segment: Arc<Segment>,
    end: u32,
    sealed: bool,
}

impl Core {
    /// Makes the first segment.
    pub(crate) fn start(
        fs: Arc<dyn Fs>,
        dir: &Path,
        options: SpoolOptions,
        first_number: u64,
    ) -> Result<Self, SpoolError> {
        let (max_payload, is_power) = (options.max_payload(), options.is_power());
        let mut segments = Segments::new(Arc::clone(&fs), dir.into(), options, first_number);
        if let Err(full) = segments.make_room(0, Role::Appender) {
            let kind = match full {
                Full::Disk(kind) => kind,
                Full::Limit | Full::TooLong { .. } | Full::Closed => std::io::ErrorKind::Other,
            };
            return Err(SpoolError::io("make a segment in", dir, kind.into()));
        }
        Ok(Self {
            fs,
            dir: dir.into(),
            max_payload,
            is_power,
            segments: Mutex::new(segments),
            reader: Mutex::new(Cursor {
                segment: first_number,
                offset: HEADER_BYTES,
            }),
            synced: Synced::default(),
            wake: Condvar::new(),
        })
    }

    pub(crate) fn segments(&self) -> MutexGuard<'_, Segments> {
        // A panic under this lock does no harm: each count is changed after the things it counts.
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn append(&self, kind: u8, pinned: bool, payload: &[u8]) -> Result<Position, Full> {
        self.append_and(kind, pinned, payload, |_| {})
    }

    /// Appends a frame and releases a pinned one, in this order.
    pub(crate) fn replace(
        &self,
        pinned: Position,
        kind: u8,
        payload: &[u8],
    ) -> Result<Position, Full> {
        self.append_and(kind, false, payload, |segments| segments.release(pinned))
    }

    fn append_and(
        &self,
        kind: u8,
        pinned: bool,
        payload: &[u8],
        then: impl FnOnce(&mut Segments),
    ) -> Result<Position, Full> {
        if payload.len() > self.max_payload {
            return Err(Full::TooLong {
                max: self.max_payload,
            });
        }
        // Most of the work, done outside the lock, so nobody waits for it.
        let sum = PayloadSum::of(payload);
        let mut segments = self.segments();
        let appended = segments.append(kind, pinned, payload, sum);
        if appended.is_ok() {
            then(&mut segments);
        }
        if self.is_power {
            segments.sync_wanted |= appended.is_ok();
        }
        self.wake_if_needed(segments);
        appended
    }

    /// Releases the lock, and wakes the maintenance thread if it waits and has something to do.
    pub(crate) fn wake_if_needed(&self, mut segments: MutexGuard<'_, Segments>) {
        let has_work =
            segments.work || (self.is_power && segments.sync_wanted && segments.keeper_idles);
        let told = has_work && std::mem::take(&mut segments.keeper_waits);
        drop(segments);
        if told {
            self.wake.notify_one();
        }
    }

    pub(crate) fn settle(&self, positions: &[Position]) -> usize {
        let mut settled = 0;
        for batch in positions.chunks(SETTLE_BATCH) {
            let mut segments = self.segments();
            let done = batch
                .iter()
                .filter(|position| segments.settle(**position).is_some());
            let done = done.count();
            segments.counts.unsettled = segments.counts.unsettled.saturating_sub(done as u64);
            settled += done;
            self.wake_if_needed(segments);
        }
        settled
    }

    pub(crate) fn release(&self, position: Position) {
        let mut segments = self.segments();
        segments.release(position);
        self.wake_if_needed(segments);
    }

    pub(crate) fn read(&self, max_frames: usize, max_bytes: usize) -> FrameBatch {
        let mut cursor = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Batch {
            frames: Vec::new(),
            passed: 0,
            room: max_bytes,
            max_frames,
        };
        loop {
            let view = self.segments().view(&cursor);
            let Some(view) = view else { break };
            if view.segment.number != cursor.segment {
                cursor.segment = view.segment.number;
                cursor.offset = HEADER_BYTES;
            }
            if batch.fill(&mut cursor, &view) == Condition::Damaged {
                self.segments().keep_for_later(view.segment.number);
            }
            if cursor.offset < view.end || !view.sealed {
                break;
            }
            cursor.segment += 1;
            cursor.offset = HEADER_BYTES;
            let mut segments = self.segments();
            segments.advance_reader(cursor.segment);
            self.wake_if_needed(segments);
        }
        let missing = self.segments().count_read(&cursor, batch.passed);
        FrameBatch {
            frames: batch.frames,
            missing,
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let segments = self.segments();
        let counts = segments.counts.clone();
        Usage {
            bytes: segments.bytes(),
            max_bytes: segments.options.max_bytes,
            held_bytes: segments.held.len() as u64 * segments.options.segment_bytes,
            segments: segments.count(),
            unread: counts.unread,
            unsettled: counts.unsettled,
            pinned: counts.pinned,
            moved: counts.moved,
            damaged: counts.damaged,
            sync_failures: counts.sync_failures,
            sync_error: counts.sync_error,
            unsynced: match self.is_power {
                true => segments.written - segments.synced_ticket,
                false => 0,
            },
            last_error: counts.last_error,
        }
    }
}

impl Segments {
    fn keep_for_later(&mut self, number: u64) {
        if let Some(held) = self.find(number) {
            held.damaged = true;
        }
    }

    /// Counts the frames that the reader has passed. At the end of everything appended, returns the number of missing
    /// frames, which the reader will never see.
    fn count_read(&mut self, cursor: &Cursor, passed: u64) -> u64 {
        let is_at_end = self.view(cursor).is_none_or(|view| {
            view.segment.number == cursor.segment && cursor.offset >= view.end && !view.sealed
        });
        let counts = &mut self.counts;
        counts.unread = counts.unread.saturating_sub(passed);
        let missing = if is_at_end {
            std::mem::take(&mut counts.unread)
        } else {
            0
        };
        counts.unsettled = counts.unsettled.saturating_sub(missing);
        counts.damaged += missing;
        missing
    }

    fn view(&self, cursor: &Cursor) -> Option<View> {
        let mut held = self.held.iter();
        let held = held.find(|held| held.segment.number >= cursor.segment)?;
        Some(View {
            segment: Arc::clone(&held.segment),
            end: held.end,
            sealed: held.sealed_at.is_some(),
        })
    }
}

/// The result of one read so far.
struct Batch {
    frames: Vec<Frame>,
    /// Frames seen for the first time, including those that were settled without being read.
    passed: u64,
    room: usize,
    max_frames: usize,
}

/// The condition of the bytes that were read: as written, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Whole,
    Damaged,
}

impl Batch {
    fn fill(&mut self, cursor: &mut Cursor, view: &View) -> Condition {
        let mut condition = Condition::Whole;
        while cursor.offset < view.end && self.frames.len() < self.max_frames {
            let mut payload = Vec::new();
            let Some(sealed) = view.segment.frame_at(cursor.offset, &mut payload) else {
                condition = Condition::Damaged;
                cursor.offset += 8;
                continue;
            };
            let head = sealed.head;
            let is_new = !head.pinned && !head.copied;
            let is_wanted = is_new && !sealed.settled;
            if is_wanted && payload.len() > self.room && !self.frames.is_empty() {
                // The next read begins with it.
                self.max_frames = 0;
                break;
            }
            if is_wanted {
                self.room = self.room.saturating_sub(payload.len());
                self.frames.push(Frame {
                    position: Position {
                        sequence: head.sequence,
                        segment: view.segment.number,
                        offset: cursor.offset,
                        crc: sealed.crc,
                    },
                    kind: head.kind,
                    pinned: false,
                    payload,
                });
            }
            self.passed += u64::from(is_new);
            cursor.offset += frame_bytes(head.length);
        }
        condition
    }
}
