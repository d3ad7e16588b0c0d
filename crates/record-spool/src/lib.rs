//! Bytes that survive the death of their process: a queue of frames in memory-mapped files.
//!
//! [`Spool::append`] copies a few hundred bytes into memory that belongs to the page cache, and
//! then no death of the process can lose them: not `kill -9`, not an abort, not a full disk later.
//! It makes no system call. A reader takes frames out in order, stores them elsewhere and settles
//! them; what a process leaves unsettled, the next one finds with [`Abandoned`].
//!
//! ```
//! # let root = tempfile::tempdir()?;
//! use record_spool::{Abandoned, Spool, SpoolOptions};
//!
//! let dir = root.path().join("spool-of-this-process");
//! let spool = Spool::create(&dir, SpoolOptions::default())?;
//! let begun = spool.pin(1, b"something begins")?;
//! spool.append(2, b"it has ended")?;
//! drop(spool); // as a crash would
//!
//! let mut abandoned = Abandoned::open(&dir)?.expect("its process is gone");
//! let frames = abandoned.read(100, 1 << 20)?;
//! assert_eq!(frames.len(), 2);
//! assert!(frames[0].pinned && !frames[1].pinned);
//! # drop(begun);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! - A frame whose append has returned is found after the death of its process. With
//!   [`Durability::Power`] it is found after the death of the machine too, once it is synced.
//! - What is found is what was appended: a damaged frame is never returned, and whatever
//!   happened to the rest of a file, each undamaged frame of it is.
//! - A settled frame may be found again, rarely after the death of the machine: what takes
//!   frames in must be idempotent. An append that has not returned may be found, too.
//! - Memory stays flat: what waits is in files, bounded by [`SpoolOptions::max_bytes`]. Frames
//!   that stay unsettled keep the space they take, not that of their neighbours.
//! - Nothing waits for the disk but the spool's own thread.
//!
//! # Where it may live
//!
//! On a local file system that allocates what it is asked to: ext4 and tmpfs keep the promise that
//! no later write fails, once `fallocate` has succeeded. On one that copies on write (btrfs, ZFS,
//! XFS with reflinks) a full disk can still make a later write fail, by a bus error; a network
//! file system may lose the lock and has other ideas of a page cache. A file that somebody else
//! cuts while it is mapped ends the process by a bus error, too. On systems other than Linux the
//! files are allocated by writing zeros.
//!
//! # The format, version 2
//!
//! A spool is a directory with a file `lock`, which begins with `RECLOCK1`, and segments, named `segment-N.spool` with the
//! segment's number as 16 hexadecimal digits. Numbers go up by one with each life of a file,
//! from one drawn at random. All integers are little-endian. A segment:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 64 | header |
//! | 64 | size − 128 | frames, one behind the other, each at a multiple of 8 |
//! | size − 64 | 64 | the header again |
//!
//! The header:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `RECSPOOL` |
//! | 8 | 4 | version, 2 |
//! | 12 | 4 | zero |
//! | 16 | 8 | the segment's number |
//! | 24 | 8 | sequence that the first frame has unless it is a copy; 0 before there is one |
//! | 32 | 8 | size of the file |
//! | 40 | 8 | how many frames that are neither pinned nor copies were appended before this segment |
//! | 48 | 8 | zero |
//! | 56 | 4 | CRC-32C of the 56 bytes before it |
//! | 60 | 4 | zero |
//!
//! In version 1, which is read too, offset 40 has a zero. So whatever becomes of a segment, the next one tells how
//! many records were appended before it.
//!
//! Its first word is zeroed before the others are written, and written last: a header whose first word is zero
//! is not there. Before a file is taken for its next life its first frame's first word is zeroed; while a header
//! still tells of the former life, that zero is no damage.
//!
//! A frame:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 3 | length of the payload, at most 2²⁰ |
//! | 3 | 1 | `0xA4`, plus 1 if pinned, plus 2 if a copy of an earlier frame |
//! | 4 | 4 | CRC-32C of the payload and, behind it, the trailer |
//! | 8 | 8 | sequence, from 1 |
//! | 16 | 1 | kind |
//! | 17 | 3 | the upper 24 bits of the CRC-32C of the trailer alone |
//! | 20 | 4 | mark: settled if it is (`0x5E771ED0` xor the checksum at 4) or 1; else not |
//! | 24 | length | payload, filled up to a multiple of 8 |
//!
//! The trailer is not written: sequence (8), the first four bytes of the frame (4), kind (1), zeros
//! (3), the segment's number (8), the frame's offset in the file (4), zeros (4). So a frame counts
//! only in the life and at the place it was written for; and since the number is not known
//! outside, no payload can pass for one.
//!
//! A frame is published by its first eight bytes, written last. Behind the last one there is a
//! zero word, or the end of the room for frames. Behind that, and behind damage, a reader looks for
//! the next frame at each multiple of 8; the check of the trailer makes that linear. A copy and
//! its original have the same sequence; where both are found, the later one counts.
#![deny(unsafe_code)]

#[cfg(not(unix))]
compile_error!("record-spool needs a Unix: shared file mappings and positioned writes");

mod abandoned;
mod compaction;
mod core;
mod counters;
mod frame;
mod fs;
mod inspect;
mod maintenance;
mod map;
mod mark;
mod options;
mod position;
mod recover;
mod segment;
mod segments;
mod spool;
mod sync;
mod synced;
#[cfg(test)]
mod tests;

pub use abandoned::{Abandoned, Blank, Damage, Finished};
pub use counters::{COUNTER_MAX, COUNTERS, Counters, NOTE_BYTES_MAX, Noted};
pub use frame::{FORMAT_VERSION, MAX_PAYLOAD};
pub use inspect::{Entry, SegmentReport, dump, dump_bytes, fsck};
pub use mark::{is_spool, survive_file_size_limit};
pub use options::{Durability, Full, NotSynced, SYNC_EVERY_MAX, SpoolError, SpoolOptions};
pub use position::{Frame, FrameBatch, Pin, Position, Usage};
pub use spool::{Closed, Spool};
