//! Takes over the spool of an earlier process: reads its frames, settles them in place, and removes
//! its files or moves them aside. One segment at a time is in memory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::frame::{HEADER_BYTES, MARK_OFFSET, Place, settled_mark};
use crate::fs::{Fs, Lock, RealFs, SegmentFile};
use crate::map::Map;
use crate::options::SpoolError;
use crate::position::{Frame, Position};
use crate::recover::{Foreign, Identity, Survey, Walk, identify};
use crate::spool::{LOCK_NAME, remove_spool, segment_names};

/// The directory of a process that is gone.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let own = dir.path().join("own");
/// # use record_spool::{Spool, SpoolOptions};
/// # let spool = Spool::create(&own, SpoolOptions::default())?;
/// # spool.append(7, b"a record")?;
/// # drop(spool);
/// use record_spool::{Blank, Abandoned};
///
/// let mut abandoned = Abandoned::open(&own)?.expect("its process is gone");
/// loop {
///     let frames = abandoned.read(1_000, 1 << 20)?;
///     if frames.is_empty() {
///         break;
///     }
///     // … they are stored elsewhere, and then:
///     let positions: Vec<_> = frames.iter().map(|frame| frame.position).collect();
///     abandoned.settle(&positions)?;
/// }
/// assert_eq!(abandoned.damage().bytes, 0);
/// abandoned.finish(Blank::Unused)?;
/// assert!(!own.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Abandoned {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// Held until this is dropped.
    _lock: Lock,
    files: Vec<AbandonedFile>,
    /// The place of the last copy of each frame that was copied forward, by sequence. Only this copy
    /// is returned.
    copies: HashMap<u64, (Place, usize)>,
    /// Unsettled originals of copies, by sequence: they are settled with their copies.
    superseded: HashMap<u64, Vec<Position>>,
    /// The file that is being read, and the offset reached in it.
    at: usize,
    offset: u32,
    loaded: Option<(usize, Map)>,
}

type OpenFile = (u64, Arc<dyn SegmentFile>);

#[derive(Debug)]
struct AbandonedFile {
    path: PathBuf,
    identity: Identity,
    survey: Survey,
    /// Frames that still have to be settled.
    unsettled: u64,
}

/// The damage that could not be recovered. Bytes are exact. Frames are counted from gaps in their
/// sequences, or as one for each damaged place if there are no gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Frames that are lost, at least.
    pub frames: u64,
    /// Bytes that are neither whole frames nor unwritten.
    pub bytes: u64,
    /// Files with damage in them.
    pub segments: u64,
}

/// The meaning of a blank file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blank {
    /// It was created and never used.
    Unused,
    /// It had content: more was appended than was found.
    Damaged,
}

/// The result of [`Abandoned::finish`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Unsettled frames; their files are still there.
    pub unsettled: u64,
    /// The new paths of the damaged files: beside the directory, each named after the directory and
    /// itself, with `.damaged` at the end.
    pub moved_aside: Vec<PathBuf>,
}

impl Abandoned {
    /// Takes over a directory; `None` if its process is alive or the directory does not exist.
    /// Reads every file once, to find damage, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Version`] if a newer version of this crate wrote it; [`SpoolError::Io`].
    pub fn open(dir: &Path) -> Result<Option<Self>, SpoolError> {
        Self::open_in(Arc::new(RealFs::default()), dir)
    }

    pub(crate) fn open_in(fs: Arc<dyn Fs>, dir: &Path) -> Result<Option<Self>, SpoolError> {
        let lock = match fs.lock(&dir.join(LOCK_NAME)) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SpoolError::io("lock", dir, source)),
        };
        let mut abandoned = Self {
            fs,
            dir: dir.into(),
            _lock: lock,
            files: Vec::new(),
            copies: HashMap::new(),
            superseded: HashMap::new(),
            at: 0,
            offset: HEADER_BYTES,
            loaded: None,
        };
        match segment_names(&*abandoned.fs, dir) {
            Ok(names) => abandoned.survey(names)?,
            // Another process was faster and has finished it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SpoolError::io("list", dir, source)),
        }
        Ok(Some(abandoned))
    }

    fn survey(&mut self, names: Vec<(u64, PathBuf)>) -> Result<(), SpoolError> {
        let numbers: Vec<u64> = names.iter().map(|(number, _)| *number).collect();
        for (number, path) in names {
            let (map, length) = load(&*self.fs, &path)?;
            let identity = identify(&map, length, Some(number));
            let mut identity = identity.map_err(|Foreign(found)| SpoolError::Version {
                path: path.clone(),
                found,
            })?;
            if !identity.has_header {
                // Files may have been mixed up, too.
                identity.may_be(numbers.iter().copied());
            }
            let survey = Survey::of(&map, &identity);
            self.files.push(AbandonedFile {
                path,
                identity,
                unsettled: survey.unsettled,
                survey,
            });
        }
        // Names may lie; the segments' own numbers give the order of the frames.
        self.files
            .sort_by_key(|file| file.identity.numbers.last().copied());
        for (index, file) in self.files.iter().enumerate() {
            for (sequence, place) in &file.survey.copies {
                // By the number it was written under: a file that has hardly begun its next life may
                // still contain a copy from its former one.
                let last = self.copies.entry(*sequence).or_insert((*place, index));
                if (last.0.number, last.0.offset) <= (place.number, place.offset) {
                    *last = (*place, index);
                }
            }
        }
        Ok(())
    }

    /// Returns the next unsettled frames, pinned ones included, in the order of the files: that of
    /// their appends, except for frames that were copied forward. At most `max_frames`, and no more
    /// than fit into `max_bytes` of payloads, but at least one; none at the end.
    ///
    /// The mark of a settled frame may not have survived, so a frame returned here may already be
    /// stored elsewhere.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`]; the next call tries again.
    pub fn read(&mut self, max_frames: usize, max_bytes: usize) -> Result<Vec<Frame>, SpoolError> {
        let mut frames = Vec::new();
        let mut room = max_bytes;
        while self.at < self.files.len() && frames.len() < max_frames {
            self.load()?;
            let Some(frame) = self.next_frame() else {
                self.at += 1;
                self.offset = HEADER_BYTES;
                self.loaded = None;
                continue;
            };
            if frame.payload.len() > room && !frames.is_empty() {
                self.offset = frame.position.offset;
                break;
            }
            room = room.saturating_sub(frame.payload.len());
            frames.push(frame);
        }
        Ok(frames)
    }

    fn load(&mut self) -> Result<(), SpoolError> {
        if self
            .loaded
            .as_ref()
            .is_none_or(|(index, _)| *index != self.at)
        {
            let (map, _) = load(&*self.fs, &self.files[self.at].path)?;
            self.loaded = Some((self.at, map));
        }
        Ok(())
    }

    /// The next frame of the loaded file.
    fn next_frame(&mut self) -> Option<Frame> {
        let (index, map) = self.loaded.as_ref()?;
        let file = &mut self.files[*index];
        let mut walk = Walk::new(map, &file.identity).resume(self.offset);
        let mut payload = Vec::new();
        let found = loop {
            let Some((place, sealed)) = walk.next_unsettled(&mut payload) else {
                break None;
            };
            let position = Position {
                sequence: sealed.head.sequence,
                segment: *index as u64,
                offset: place.offset,
                crc: sealed.crc,
            };
            let served = self.copies.get(&position.sequence);
            if served.is_none_or(|served| *served == (place, *index)) {
                break Some((position, sealed));
            }
            // A later copy of it is served, or was settled.
            let superseded = self.superseded.entry(position.sequence).or_default();
            superseded.push(position);
            file.unsettled = file.unsettled.saturating_sub(1);
        };
        self.offset = walk.offset();
        let (position, sealed) = found?;
        Some(Frame {
            position,
            kind: sealed.head.kind,
            pinned: sealed.head.pinned,
            payload,
        })
    }

    /// Settles frames that [`Self::read`] returned, each once: they are marked in their files, so
    /// that another crash repeats only the others.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`]: some of them are not marked. The call may be repeated with all of them.
    pub fn settle(&mut self, positions: &[Position]) -> Result<(), SpoolError> {
        let mut open = None;
        for position in positions {
            // Originals first: after a crash between the two the original would be found again.
            for original in self
                .superseded
                .remove(&position.sequence)
                .unwrap_or_default()
            {
                self.mark(original, &mut open)?;
            }
            self.mark(*position, &mut open)?;
            let file = self.files.get_mut(position.segment as usize);
            if let Some(file) = file {
                file.unsettled = file.unsettled.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Writes one mark. `open` is the file that the last one was written to.
    fn mark(&self, position: Position, open: &mut Option<OpenFile>) -> Result<(), SpoolError> {
        let Some(file) = self.files.get(position.segment as usize) else {
            return Ok(());
        };
        let io = |source| SpoolError::io("mark frames in", &file.path, source);
        let (segment, handle) = match open.take() {
            Some((segment, handle)) if segment == position.segment => (segment, handle),
            _ => (position.segment, self.fs.open(&file.path).map_err(io)?),
        };
        let mark = settled_mark(position.crc).to_le_bytes();
        let written = handle.write_at(u64::from(position.offset + MARK_OFFSET), &mark);
        *open = Some((segment, handle));
        written.map_err(io)
    }

    /// Returns the damage that could not be recovered.
    pub fn damage(&self) -> Damage {
        let damaged = self.files.iter().filter(|file| file.survey.is_damaged());
        damaged.fold(Damage::default(), |sum, file| Damage {
            frames: sum.frames + file.survey.damaged_frames,
            bytes: sum.bytes + file.survey.damaged_bytes,
            segments: sum.segments + 1,
        })
    }

    /// Returns the least number of records, frames that were not pinned, ever appended: each segment says how many
    /// lie before it. 0 if none does, as in the first version of the format.
    pub fn records_appended(&self) -> u64 {
        let known = self.files.iter().filter_map(|file| {
            let before = file.identity.records_before?;
            Some(before + file.survey.records)
        });
        known.max().unwrap_or(0)
    }

    /// Removes settled files and moves damaged ones aside. Files with unsettled frames, or not read to
    /// the end, stay for the next process that opens them. The directory goes with its last file.
    ///
    /// A file that was never written looks like one that was blanked. With [`Blank::Damaged`], for when more was
    /// appended than was found, such files are moved aside too.
    ///
    /// # Errors
    ///
    /// [`SpoolError::Io`]: some files are still there, none is lost.
    pub fn finish(self, blank: Blank) -> Result<Finished, SpoolError> {
        let mut finished = Finished::default();
        // In the order of their numbers: an original goes before its copy.
        for file in &self.files {
            if file.unsettled > 0 {
                finished.unsettled += file.unsettled;
                continue;
            }
            let is_blanked = blank == Blank::Damaged && file.identity.is_blank;
            if file.survey.is_damaged() || is_blanked {
                let aside = self.aside(&file.path);
                let moved = self.fs.rename(&file.path, &aside);
                moved.map_err(|source| SpoolError::io("move aside", &file.path, source))?;
                finished.moved_aside.push(aside);
            } else {
                let removed = self.fs.remove(&file.path);
                removed.map_err(|source| SpoolError::io("remove", &file.path, source))?;
            }
        }
        if finished.unsettled == 0 {
            remove_spool(&*self.fs, &self.dir)?;
        }
        Ok(finished)
    }

    /// A name beside the directory that nothing else has.
    fn aside(&self, path: &Path) -> PathBuf {
        let mut name = OsString::from(self.dir.file_name().unwrap_or_default());
        name.push(".");
        name.push(path.file_name().unwrap_or_default());
        let names = (0_u32..).map(|number| {
            let mut name = name.clone();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            name.push(".damaged");
            self.dir.with_file_name(name)
        });
        let mut free = names.filter(|path| !self.fs.exists(path));
        free.next().expect("not every name is taken")
    }
}

fn load(fs: &dyn Fs, path: &Path) -> Result<(Map, u64), SpoolError> {
    let read = fs.open(path).and_then(|file| file.read());
    read.map_err(|source| SpoolError::io("read", path, source))
}

#[cfg(test)]
mod tests;
