//! Names of frames, and frames.

/// Which frame: what settles it. Only the spool or [`Abandoned`](crate::Abandoned) that gave it out
/// can make sense of it.
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
    /// Counts the frames of a spool in the order of their appends, from 1. It is the same after a
    /// crash.
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
    /// As three words, to be kept where no `Pin` can be.
    pub const fn into_words(self) -> [u64; 3] {
        let Position {
            sequence,
            segment,
            offset,
            crc,
        } = self.0;
        [sequence, segment, (offset as u64) << 32 | crc as u64]
    }

    /// The pin that these words were made of. Of other words comes one that pins nothing.
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

/// What was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Settles it.
    pub position: Position,
    /// As it was appended with. What it means is its owner's business.
    pub kind: u8,
    /// Appended by [`Spool::pin`](crate::Spool::pin); only a
    /// [`Abandoned`](crate::Abandoned) shows such frames.
    pub pinned: bool,
    /// As it was appended.
    pub payload: Vec<u8>,
}

/// What one read returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameBatch {
    /// The frames, oldest first.
    pub frames: Vec<Frame>,
    /// How many frames were appended and cannot be read back. Told once, by the read that comes to the end of what
    /// was appended.
    pub missing: u64,
}

/// How much of it there is and in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What the files take, in bytes.
    pub bytes: u64,
    /// What they may take.
    pub max_bytes: u64,
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
    /// Files whose sync failed. What was in them and not settled was written anew.
    pub sync_failures: u64,
    /// Why the last sync failed; `None` once a later one has succeeded.
    pub sync_error: Option<String>,
    /// Frames of which it is not known that they are on the medium; 0 without
    /// [`Durability::Power`](crate::Durability::Power).
    pub unsynced: u64,
    /// What the file system refused last.
    pub last_error: Option<String>,
}
