//! The spool of a living process: its directory, its lock and its thread around the core.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::core::Core;
use crate::fs::{Fs, Lock, RealFs, survive_file_size_limit};
use crate::maintenance::Maintenance;
use crate::options::{Full, NotSynced, SpoolError, SpoolOptions};
use crate::position::{FrameBatch, Pin, Position, Usage};
use crate::segment::{Segment, number_in};

/// The file in a spool's directory that is locked while its process lives.
pub(crate) const LOCK_NAME: &str = "lock";

/// A queue of byte strings in files. Appended frames survive the death of the process at any
/// instant. Threads share it by reference.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use record_spool::{Closed, Spool, SpoolOptions};
///
/// let spool = Spool::create(&dir.path().join("own"), SpoolOptions::default())?;
/// spool.append(7, b"a record")?;
///
/// let batch = spool.read(1_000, 1 << 20).frames;
/// assert_eq!((batch[0].kind, &batch[0].payload[..]), (7, &b"a record"[..]));
/// // … it is stored elsewhere, and not needed here any more:
/// spool.settle(&[batch[0].position]);
/// assert_eq!(spool.close()?, Closed::Removed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Spool {
    core: Arc<Core>,
    maintenance: Mutex<Option<(Maintenance, Lock)>>,
}

/// The state of the directory after closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Everything was settled, or was [deleted](Spool::deleted) by somebody; there is nothing left.
    Removed,
    /// Frames, or a damaged file, are left for a later process.
    Left {
        /// How many frames, the pinned ones included.
        frames: u64,
    },
}

impl Spool {
    /// Creates the directory, which only this spool uses, with missing parents, and takes its lock.
    /// The directory appears under its name only once the lock is held.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Locked`] and [`SpoolError::Occupied`] if the directory is there and not empty;
    /// [`SpoolError::Options`]; [`SpoolError::Io`] if there is no space for even one segment.
    pub fn create(dir: &Path, options: SpoolOptions) -> Result<Self, SpoolError> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs {
            file_mode: options.file_mode,
        });
        survive_file_size_limit();
        let durability = options.durability;
        let (core, lock) = open_core(&fs, dir, options)?;
        let core = Arc::new(core);
        let maintenance = Maintenance::start(Arc::clone(&core), durability)
            .map_err(|source| SpoolError::io("start a thread for", dir, source))?;
        Ok(Self {
            core,
            maintenance: Mutex::new(Some((maintenance, lock))),
        })
    }

    /// Appends a frame. Once this returns, the death of the process cannot lose it.
    ///
    /// It makes no system call and waits only for other calls that hold the lock as briefly as this
    /// one. The exception: when a burst outruns the spare segments, one append in tens of thousands
    /// creates a segment itself.
    ///
    /// # Errors
    ///
    /// [`Full`], and nothing was written. A refusal costs no system call either.
    pub fn append(&self, kind: u8, payload: &[u8]) -> Result<Position, Full> {
        self.core.append(kind, false, payload)
    }

    /// Appends a frame for something that has begun. It is kept until it is released, and
    /// [`Self::read`] does not return it. A later process finds it if it was not released.
    ///
    /// # Errors
    ///
    /// As [`Self::append`].
    pub fn pin(&self, kind: u8, payload: &[u8]) -> Result<Pin, Full> {
        self.core.append(kind, true, payload).map(Pin)
    }

    /// Appends a frame in place of a pinned one, when something that had begun has ended. Cheaper than an
    /// append and a release, and as safe: a process that dies in between leaves both frames.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use record_spool::{Spool, SpoolOptions};
    /// # let spool = Spool::create(&dir.path().join("own"), SpoolOptions::default())?;
    /// let begun = spool.pin(1, b"begun")?;
    /// // … and when it has ended:
    /// if let Err((full, begun)) = spool.replace(begun, 2, b"ended") {
    ///     eprintln!("{full}: how it ended is lost"); // to be counted first, then
    ///     spool.release(begun);
    /// }
    /// assert_eq!((spool.usage().pinned, spool.usage().unsettled), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::append`]; returns the pin, which still holds.
    pub fn replace(&self, pin: Pin, kind: u8, payload: &[u8]) -> Result<Position, (Full, Pin)> {
        let replaced = self.core.replace(pin.0, kind, payload);
        replaced.map_err(|full| (full, pin))
    }

    /// Settles a pinned frame.
    #[allow(clippy::needless_pass_by_value)]
    pub fn release(&self, pin: Pin) {
        self.core.release(pin.0);
    }

    /// Returns copies of the next unread frames, oldest first: at most `max_frames`, and no more than
    /// fit into `max_bytes` of payloads, but at least one if there is any.
    ///
    /// Meant for one reader; with several, each frame goes to only one of them.
    pub fn read(&self, max_frames: usize, max_bytes: usize) -> FrameBatch {
        self.core.read(max_frames, max_bytes)
    }

    /// Settles frames that are safe elsewhere, in any order. Once all frames of a segment are settled,
    /// its space is used again. Returns how many were not settled before.
    pub fn settle(&self, positions: &[Position]) -> usize {
        self.core.settle(positions)
    }

    /// Gives the space of spare segments back to the file system, for others that need it more. Makes
    /// no new ones until [`keep_spares`](Self::keep_spares). Idempotent.
    pub fn release_spares(&self) {
        self.core.be_lean(true);
    }

    /// Keeps spare segments again, and asks a file system that refused one at the next append instead of after a
    /// while: whoever calls this has just found space there. Idempotent.
    pub fn keep_spares(&self) {
        self.core.be_lean(false);
    }

    /// Returns how full the spool is.
    pub fn usage(&self) -> Usage {
        self.core.usage()
    }

    /// Returns the number of unsettled frames, pinned ones included, in files that somebody has deleted or moved
    /// away. This process can still read them; no later one can. Asks the file system about each file.
    pub fn deleted(&self) -> u64 {
        self.core.deleted()
    }

    /// Returns the sequence up to which every frame is known to be on the medium.
    pub fn synced(&self) -> u64 {
        self.core.synced.sequence()
    }

    /// Waits until the frame of this sequence is on the medium: with
    /// [`Durability::Power`](crate::Durability::Power) about 50 ms at most, plus what the disk
    /// takes. If a file's sync fails, its frames are written to another one first.
    ///
    /// # Errors
    ///
    /// [`NotSynced`].
    pub fn wait_synced(&self, sequence: u64, timeout: Duration) -> Result<(), NotSynced> {
        if !self.core.is_power {
            return Err(NotSynced::Off);
        }
        self.core.synced.wait(sequence, timeout)
    }

    /// Calls `callback` once it is known whether the frame of this sequence is on the medium: at once,
    /// or on the spool's thread, which the callback must not block. Let it send through a oneshot
    /// channel, or wake a task.
    pub fn on_synced(
        &self,
        sequence: u64,
        callback: impl FnOnce(Result<(), NotSynced>) + Send + 'static,
    ) {
        if self.core.is_power {
            self.core.synced.call(sequence, Box::new(callback));
        } else {
            callback(Err(NotSynced::Off));
        }
    }

    /// Closes the spool: refuses further appends, joins the thread, syncs a last time if the
    /// durability asks for it, and removes the directory if everything in it is settled. Releases the
    /// lock. Dropping the spool does the same. A second call returns what is left.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`] if files could not be removed. No frame is lost by that.
    pub fn close(&self) -> Result<Closed, SpoolError> {
        self.core.stop();
        let taken = self
            .maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((maintenance, lock)) = taken else {
            return Ok(self.core.what_is_left());
        };
        maintenance.join();
        let closed = self.core.finish();
        drop(lock);
        closed
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // The next process finds whatever could not be removed.
        let _ = self.close();
    }
}

impl Core {
    pub(crate) fn be_lean(&self, is_lean: bool) {
        let mut segments = self.segments();
        if std::mem::replace(&mut segments.is_lean, is_lean) != is_lean {
            if is_lean {
                let spares = std::mem::take(&mut segments.spares);
                segments.trash.extend(spares);
            }
            segments.work = true;
        }
        if !is_lean && segments.refused.take().is_some() {
            segments.work = true;
        }
        self.wake_if_needed(segments);
    }

    pub(crate) fn stop(&self) {
        let mut segments = self.segments();
        segments.closed = true;
        drop(segments);
        self.wake.notify_all();
    }

    fn deleted(&self) -> u64 {
        let segments = self.segments();
        let live = segments.held.iter().filter(|held| held.live > 0);
        let files: Vec<_> = live
            .map(|held| (Arc::clone(&held.segment), held.live))
            .collect();
        drop(segments);
        let is_gone = |segment: &Segment| !self.fs.exists(&segment.path);
        let deleted = files.iter().filter(|(segment, _)| is_gone(segment));
        deleted.map(|(_, live)| u64::from(*live)).sum()
    }

    fn what_is_left(&self) -> Closed {
        let deleted = self.deleted();
        let segments = self.segments();
        let frames = segments.counts.unsettled + segments.counts.pinned;
        match frames.saturating_sub(deleted) {
            0 if segments.held.iter().all(|held| !held.damaged) => Closed::Removed,
            frames => Closed::Left { frames },
        }
    }

    /// The last steps, once nothing is appended any more.
    pub(crate) fn finish(&self) -> Result<Closed, SpoolError> {
        if self.is_power {
            self.sync_round();
        }
        self.synced.close();
        let left = self.what_is_left();
        let mut segments = self.segments();
        let mut paths: Vec<PathBuf> = Vec::new();
        let empty = segments
            .spares
            .iter()
            .chain(&segments.free)
            .chain(&segments.trash);
        paths.extend(empty.map(|segment| segment.path.clone()));
        if left == Closed::Removed {
            paths.extend(segments.held.iter().map(|held| held.segment.path.clone()));
        }
        segments.spares.clear();
        segments.free.clear();
        segments.trash.clear();
        drop(segments);
        for path in &paths {
            match self.fs.remove(path) {
                // Somebody was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|source| SpoolError::io("remove", path, source))?,
            }
        }
        if left == Closed::Removed {
            remove_spool(&*self.fs, &self.dir)?;
        }
        Ok(left)
    }
}

/// Removes a directory in which only the lock is left.
pub(crate) fn remove_spool(fs: &dyn Fs, dir: &Path) -> Result<(), SpoolError> {
    let lock = dir.join(LOCK_NAME);
    match fs.remove(&lock) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(SpoolError::io("remove", lock, error));
        }
        Ok(()) | Err(_) => {}
    }
    match fs.remove_dir(dir) {
        // Anything else that lies there is not ours, and stays.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| SpoolError::io("remove", dir, source)),
    }
}

/// Does everything that [`Spool::create`] does except starting the thread.
pub(crate) fn open_core(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    options: SpoolOptions,
) -> Result<(Core, Lock), SpoolError> {
    options.check()?;
    let lock = claim_dir(&**fs, dir)?;
    if options.is_power() {
        // A bare name has an empty parent, which means the current directory.
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        if let Err(source) = fs.sync_dir(parent) {
            let _ = remove_spool(&**fs, dir);
            return Err(SpoolError::io("sync the parent of", dir, source));
        }
    }
    match Core::start(Arc::clone(fs), dir, options, first_number()) {
        Ok(core) => Ok((core, lock)),
        Err(error) => {
            let _ = remove_spool(&**fs, dir);
            Err(error)
        }
    }
}

/// Creates and locks the directory under a temporary name before it gets its own, because a process
/// that looks for abandoned spools takes every free lock.
fn claim_dir(fs: &dyn Fs, dir: &Path) -> Result<Lock, SpoolError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let unborn = dir.with_file_name(format!(".{name}.new"));
    let io = |action, source| SpoolError::io(action, dir, source);
    fs.create_dir(&unborn)
        .map_err(|source| io("create", source))?;
    let lock = fs.lock(&unborn.join(LOCK_NAME)).map_err(|source| {
        let _ = fs.remove_dir(&unborn);
        io("lock", source)
    })?;
    let lock = lock.ok_or_else(|| SpoolError::Locked(dir.into()))?;
    let Err(error) = fs.rename(&unborn, dir) else {
        return Ok(lock);
    };
    let _ = remove_spool(fs, &unborn);
    Err(match fs.lock(&dir.join(LOCK_NAME)) {
        Ok(None) => SpoolError::Locked(dir.into()),
        Ok(Some(_)) => SpoolError::Occupied(dir.into()),
        Err(_) => io("create", error),
    })
}

/// Draws the first number at random. A frame's checksum covers the segment's number, so nobody who
/// does not know it can write a payload that looks like a frame.
fn first_number() -> u64 {
    // Leaves room for more consecutive numbers than a process can use.
    (RandomState::new().hash_one(std::process::id()) >> 1) & !0xFF_FFFF | 1
}

/// The segments in a directory, in the order of the numbers in their names.
pub(crate) fn segment_names(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let names = fs.list(dir)?;
    let numbered = names
        .iter()
        .filter_map(|name| Some((number_in(name)?, dir.join(name))));
    let mut numbered: Vec<(u64, PathBuf)> = numbered.collect();
    numbered.sort();
    Ok(numbered)
}
