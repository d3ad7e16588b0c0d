//! Bytes that survive the death of their process: a queue of frames in memory-mapped files.
//!
//! [`Spool::append`] copies a few hundred bytes into the page cache, without a system call. After
//! that no death of the process can lose them: not `kill -9`, not an abort, not a full disk later.
//! A reader takes frames out in order, stores them elsewhere and settles them. The next process
//! finds the unsettled frames with [`Abandoned`].
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
//! - A frame is found as it was appended: a damaged frame is never returned, and every undamaged
//!   frame of a file is, whatever happened to the rest of it.
//! - A settled frame may be found again, rarely after the death of the machine: whoever stores
//!   frames must do so idempotently. A frame whose append has not returned may be found, too.
//! - Memory stays flat: waiting frames are in files, bounded by [`SpoolOptions::max_bytes`].
//!   Unsettled frames keep only their own space, not that of their neighbours.
//! - Only the spool's own thread waits for the disk.
//!
//! # Where it can live
//!
//! On a local file system with real preallocation: on ext4 and tmpfs no later write fails once
//! `fallocate` has succeeded. On a copy-on-write file system (btrfs, ZFS, XFS with reflinks) a full
//! disk can still make a later write fail with a bus error. A network file system may lose the lock,
//! and its page cache works differently. If somebody truncates a file while it is mapped, a bus error
//! ends the process, too. On systems other than Linux the spool allocates files by writing zeros.
//!
//! # The format, version 2
//!
//! A spool is a directory with a file `lock`, which begins with `RECLOCK1`, and segments, named `segment-N.spool` with the
//! segment's number as 16 hexadecimal digits. The first number is random; each life of a file takes
//! the next one. All integers are little-endian. A segment:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 64 | header |
//! | 64 | size − 128 | frames, one after another, each at a multiple of 8 |
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
//! In version 1, which can still be read, offset 40 has a zero. Thanks to this count, whatever becomes of a segment,
//! the next one tells how many records were appended before it.
//!
//! A writer zeroes the header's first word before it writes the others, and writes the first word last: a header
//! with a zero first word does not exist. Before a file begins its next life, its first frame's first word is zeroed;
//! while a header still describes the former life, that zero is not damage.
//!
//! A frame:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 3 | length of the payload, at most 2²⁰ |
//! | 3 | 1 | `0xA4`, plus 1 if pinned, plus 2 if a copy of an earlier frame |
//! | 4 | 4 | CRC-32C of the payload followed by the trailer |
//! | 8 | 8 | sequence, from 1 |
//! | 16 | 1 | kind |
//! | 17 | 3 | the upper 24 bits of the CRC-32C of the trailer alone |
//! | 20 | 4 | mark: settled if it is (`0x5E771ED0` xor the checksum at 4) or 1; otherwise not |
//! | 24 | length | payload, filled up to a multiple of 8 |
//!
//! The trailer is not written: sequence (8), the first four bytes of the frame (4), kind (1), zeros
//! (3), the segment's number (8), the frame's offset in the file (4), zeros (4). So a frame is valid
//! only in the life and at the place it was written for; and since nobody outside knows the number,
//! no payload can pass for a frame.
//!
//! Writing its first eight bytes, last of all, publishes a frame. After the last frame there is a
//! zero word, or the end of the room for frames. After that, and after damage, a reader looks for
//! the next frame at each multiple of 8; the trailer's check makes that linear. A copy and its
//! original have the same sequence; if both are found, the later one counts.
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
pub use mark::{is_held, is_spool, survive_file_size_limit};
pub use options::{Durability, Full, NotSynced, SYNC_EVERY_MAX, SpoolError, SpoolOptions};
pub use position::{Frame, FrameBatch, Pin, Position, Usage};
pub use spool::{Closed, Spool};
