//! The options and the errors of a spool.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::frame::{HEADER_BYTES, MAX_PAYLOAD};

/// The limits of a spool, and the durability of its frames.
///
/// ```
/// use record_spool::{Durability, SpoolOptions};
///
/// let options = SpoolOptions { max_bytes: 64 << 20, ..SpoolOptions::default() };
/// assert_eq!(options.segment_bytes, 8 << 20);
/// assert_eq!(options.durability, Durability::Process);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// The size of one segment's file, in bytes: a multiple of 4,096, from 4 KiB to 1 GiB. Default 8 MiB.
    pub segment_bytes: u64,
    /// The maximum size of all files together, in bytes: at least four segments. One segment of it
    /// is reserved for making room. Default 1 GiB.
    pub max_bytes: u64,
    /// The number of empty segments to keep ready. Default 2: one is not enough if the disk is busy
    /// when it is taken.
    pub spares: usize,
    /// The kind of death that a frame survives. Default [`Durability::Process`].
    pub durability: Durability,
    /// The mode of created files, as `chmod` takes it; whoever may read a directory may also search it. Default
    /// `0o600`, their owner alone.
    pub file_mode: u32,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 8 << 20,
            max_bytes: 1 << 30,
            spares: 2,
            durability: Durability::Process,
            file_mode: crate::fs::FILE_MODE,
        }
    }
}

/// The kind of death that a frame survives.
///
/// ```
/// use record_spool::{Durability, SpoolOptions};
///
/// let durability = Durability::Power { every: std::time::Duration::from_millis(10) };
/// let options = SpoolOptions { durability, ..SpoolOptions::default() };
/// assert_ne!(options.durability, SpoolOptions::default().durability);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process, at any instant. Costs no system call.
    Process,
    /// The death of the machine too, once the frame is synced.
    Power {
        /// The longest time between an append and the beginning of its sync, at most 50 ms.
        /// Appends made in it share one sync.
        every: Duration,
    },
}

/// The longest that [`Durability::Power`] may let a frame wait for its sync.
pub const SYNC_EVERY_MAX: Duration = Duration::from_millis(50);

impl SpoolOptions {
    pub(crate) fn check(&self) -> Result<(), SpoolError> {
        let is_size = (4 << 10..=1 << 30).contains(&self.segment_bytes);
        if !is_size || !self.segment_bytes.is_multiple_of(4 << 10) {
            return Err(SpoolError::Options("segment_bytes"));
        }
        if self.max_bytes / self.segment_bytes < 4 {
            return Err(SpoolError::Options("max_bytes"));
        }
        match self.durability {
            Durability::Power { every } if every > SYNC_EVERY_MAX || every.is_zero() => {
                Err(SpoolError::Options("every"))
            }
            Durability::Power { .. } | Durability::Process => Ok(()),
        }
    }

    pub(crate) fn is_power(&self) -> bool {
        self.durability != Durability::Process
    }

    /// The longest payload that these segments take.
    pub(crate) fn max_payload(&self) -> usize {
        let frame = crate::frame::FRAME_BYTES;
        let room = self.segment_bytes - u64::from(2 * HEADER_BYTES + frame);
        usize::try_from(room).map_or(MAX_PAYLOAD, |room| room.min(MAX_PAYLOAD))
    }
}

/// The reason why a directory could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// An option is outside its bounds.
    #[error("the option {0} is outside of its bounds")]
    Options(&'static str),
    /// A live process owns this directory.
    #[error("the spool {} belongs to a running process", .0.display())]
    Locked(PathBuf),
    /// An earlier process left something there: take it over with
    /// [`Abandoned`](crate::Abandoned) or choose another directory.
    #[error("the spool {} has content from an earlier process", .0.display())]
    Occupied(PathBuf),
    /// Written by a newer version of this crate, and not touched.
    #[error("{} was written by a newer version, in format {found}, and was left untouched: read it with that version", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it names.
        found: u32,
    },
    /// The file system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
}

impl SpoolError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self::Io {
            action,
            path,
            source,
        }
    }
}

/// The reason why a frame was refused. No part of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All files together have reached [`SpoolOptions::max_bytes`]. Settling makes room.
    #[error("the spool has reached its limit")]
    Limit,
    /// The file system gave no further segment. The spool asks it again by itself, at least once a
    /// second.
    #[error("cannot make another segment: {0}")]
    Disk(io::ErrorKind),
    /// The payload is longer than a segment or [`MAX_PAYLOAD`] allows.
    #[error("the payload is longer than {max} bytes")]
    TooLong {
        /// The length of the longest payload accepted, in bytes.
        max: usize,
    },
    /// The spool was closed.
    #[error("the spool is closed")]
    Closed,
}

/// The reason why a frame is not known to be on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSynced {
    /// It was not synced within the given time. It may be synced later.
    #[error("not synced in time")]
    TimedOut,
    /// The spool was closed, and its last sync failed.
    #[error("the spool was closed before it could sync")]
    Closed,
    /// This spool does not sync: its durability is [`Durability::Process`].
    #[error("this spool does not sync")]
    Off,
}
