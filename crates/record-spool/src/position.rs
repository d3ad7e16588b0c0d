//! Frames, and the positions and pins that identify them.

/// Identifies a frame, so that it can be settled. Only the spool or [`Abandoned`](crate::Abandoned)
/// that returned it understands it.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use record_spool::{Spool, SpoolOptions};
///
/// let spool = Spool::create(&dir.path().join("own"), SpoolOptions::default())?;
/// let (first, second) = (spool.append(0, b"a")?, spool.append(0, b"b")?);
/// assert!(first.sequence() < second.sequence());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub(crate) sequence: u64,
    /// In a spool the segment's number, in an abandoned one its place in the list.
    pub(crate) segment: u64,
    pub(crate) offset: u32,
    pub(crate) crc: u32,
}

impl Position {
    /// Returns the frame's number in the order of the spool's appends, from 1. It stays the same
    /// after a crash.
    pub const fn sequence(self) -> u64 {
        self.sequence
    }
}

/// A frame that is kept until it is released, by [`Spool::release`](crate::Spool::release) or by
/// [`Spool::replace`](crate::Spool::replace).
/// Dropping it instead leaves the frame for a later process.
#[derive(Debug)]
#[must_use = "a frame that is never released is kept until a later process finds it"]
pub struct Pin(pub(crate) Position);

impl Pin {
    /// Converts the pin into three words, for places that cannot hold a `Pin`.
    pub const fn into_words(self) -> [u64; 3] {
        let Position {
            sequence,
            segment,
            offset,
            crc,
        } = self.0;
        [sequence, segment, (offset as u64) << 32 | crc as u64]
    }

    /// Restores a pin from its words. Other words give a pin that pins nothing.
    pub const fn from_words([sequence, segment, rest]: [u64; 3]) -> Self {
        Self(Position {
            sequence,
            segment,
            offset: (rest >> 32) as u32,
            crc: rest as u32,
        })
    }

    /// As [`Position::sequence`].
    pub const fn sequence(&self) -> u64 {
        self.0.sequence
    }
}

/// An appended frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Settles the frame.
    pub position: Position,
    /// The kind it was appended with. Only its owner knows the meaning.
    pub kind: u8,
    /// Appended by [`Spool::pin`](crate::Spool::pin); only
    /// [`Abandoned`](crate::Abandoned) returns such frames.
    pub pinned: bool,
    /// The payload as it was appended.
    pub payload: Vec<u8>,
}

/// The result of one read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameBatch {
    /// The frames, oldest first.
    pub frames: Vec<Frame>,
    /// The number of appended frames that cannot be read back. Reported once, by the read that reaches the end of the
    /// appended frames.
    pub missing: u64,
}

/// The space that a spool takes, and the number of its frames in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The size of all files, in bytes.
    pub bytes: u64,
    /// The limit on that size.
    pub max_bytes: u64,
    /// The size of the files with frames in them, in bytes; the others are empty.
    pub held_bytes: u64,
    /// Files, the empty ones included.
    pub segments: u64,
    /// Frames not read yet.
    pub unread: u64,
    /// Frames not settled yet, those not read included.
    pub unsettled: u64,
    /// Frames pinned and not released.
    pub pinned: u64,
    /// How often a frame was copied forward.
    pub moved: u64,
    /// Frames, pinned ones aside, that could not be read back. They count as neither unread nor unsettled, and their
    /// segment is left for a later process.
    pub damaged: u64,
    /// Files that failed to sync. Their unsettled frames were written to another file.
    pub sync_failures: u64,
    /// The error of the last failed sync; `None` once a later one has succeeded.
    pub sync_error: Option<String>,
    /// Frames not known to be on the medium; 0 without
    /// [`Durability::Power`](crate::Durability::Power).
    pub unsynced: u64,
    /// The last error of the file system.
    pub last_error: Option<String>,
}
