//! The few things asked of a file system, as a trait, so that a simulator can stand in for it; and
//! the real one.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Once};

use rustix::fs::OFlags;

use crate::map::Map;

/// A directory of segments and what is done to it. Nothing here retries.
pub(crate) trait Fs: fmt::Debug + Send + Sync {
    /// With its parents; it is no error if it exists.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The directory has to be empty.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Names of what is in it, in no order. Names that are not text are none of ours.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates the file if need be and locks it; `None` if another has the lock. It is released
    /// when the value is dropped or its process dies.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
    /// A new file of this length with all its blocks allocated, zeros; or no file.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn SegmentFile>>;
    /// To read, and to mark frames.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Has what was created, renamed and removed in it reach the medium.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Whether anything has this name.
    fn exists(&self, path: &Path) -> bool;
}

/// An open file.
pub(crate) trait SegmentFile: fmt::Debug + Send + Sync {
    fn map(&self, bytes: u64) -> io::Result<Map>;
    /// All of it, and its length in bytes.
    fn read(&self) -> io::Result<(Map, u64)>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Has what was written, also through mappings, reach the medium.
    fn sync(&self) -> io::Result<()>;
}

/// A held lock.
pub(crate) type Lock = Box<dyn fmt::Debug + Send + Sync>;

/// The operating system's.
#[derive(Debug)]
pub(crate) struct RealFs {
    /// Of files that are made.
    pub(crate) file_mode: u32,
}

/// Who may read and write what is made, where nothing else is asked for: its owner.
pub(crate) const FILE_MODE: u32 = 0o600;

/// What a lock file says from its first moment on: that it is ours.
pub(crate) const LOCK_MARK: &[u8] = b"RECLOCK1";

impl Default for RealFs {
    fn default() -> Self {
        Self {
            file_mode: FILE_MODE,
        }
    }
}

impl RealFs {
    /// A directory that is not there yet, with its mode whatever the process's mask. A group that it has of its
    /// parent stays.
    fn new_dir(&self, dir: &Path) -> io::Result<()> {
        let mode = 0o700 | self.file_mode | (self.file_mode & 0o444) >> 2;
        DirBuilder::new().mode(mode).create(dir)?;
        if mode == 0o700 {
            return Ok(());
        }
        let inherited = fs::metadata(dir)?.permissions().mode() & 0o7000;
        fs::set_permissions(dir, Permissions::from_mode(inherited | mode))
    }

    /// A file that is not there yet, with its mode whatever the process's mask.
    fn new_file(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.mode(FILE_MODE & self.file_mode).open(path)?;
        if self.file_mode != FILE_MODE {
            file.set_permissions(Permissions::from_mode(self.file_mode))?;
        }
        Ok(file)
    }
}

/// Of a relative path the last ancestor has no name, and is the current directory.
fn is_there(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir.exists()
}

/// Opens what is a file, and not through a link: whatever else may be there is not ours, and opening a pipe waits
/// for its other end.
pub(crate) fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<fs::File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits() as i32).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no file"))
}

impl Fs for RealFs {
    /// Whoever may read its files may search it, and its parents where they are new.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<_> = dir.ancestors().take_while(|dir| !is_there(dir)).collect();
        for dir in missing.into_iter().rev() {
            match self.new_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                made => made?,
            }
        }
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // Links, pipes and what else there may be are none of ours.
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file = match self.new_file(path) {
            Ok(mut file) => {
                if let Err(error) = file.write_all(LOCK_MARK) {
                    // Without the mark nobody would know whose it is, nor remove it.
                    let _ = fs::remove_file(path);
                    return Err(error);
                }
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                open_file(path, OpenOptions::new().write(true))?
            }
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let file = self.new_file(path)?;
        if let Err(error) = allocate(&file, bytes) {
            // What was allocated of it stays allocated otherwise, on a disk that is full.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        let file = open_file(path, OpenOptions::new().read(true).write(true))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl SegmentFile for RealFile {
    fn map(&self, bytes: u64) -> io::Result<Map> {
        Map::of_file(&self.0, bytes)
    }

    fn read(&self) -> io::Result<(Map, u64)> {
        read_all(&self.0)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Reads a file from its beginning, without the right to write to it.
pub(crate) fn read_path(path: &Path) -> io::Result<(Map, u64)> {
    read_all(&open_file(path, OpenOptions::new().read(true))?)
}

/// The longest file that is read: offsets are 32 bits wide.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 31;

fn read_all(file: &fs::File) -> io::Result<(Map, u64)> {
    let length = file.metadata()?.len();
    if length > FILE_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    let map = Map::on_heap(
        usize::try_from(length)
            .map_err(io::Error::other)?
            .next_multiple_of(8),
    );
    let mut block = vec![0; 64 << 10];
    let mut offset = 0;
    while offset < length {
        let wanted = usize::try_from(length - offset).unwrap_or(usize::MAX);
        let wanted = wanted.min(block.len());
        let filled = fill(file, offset, &mut block[..wanted])?;
        if filled == 0 {
            break;
        }
        map.write(offset as u32, &block[..filled]);
        offset += filled as u64;
    }
    Ok((map, offset))
}

/// Fills the block, so that every piece but the last ends at a whole word.
fn fill(file: &fs::File, offset: u64, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read_at(&mut block[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A write past a limit on the size of files ends the process by a signal, unless somebody handles it: then it is
/// an error as on a full disk. A handler, and not being ignored, because what is ignored is ignored by every program
/// that this one starts as well.
pub(crate) fn survive_file_size_limit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Without it such a limit ends the process, as it would have without this crate.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
    });
}

#[cfg(target_os = "linux")]
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => allocate_by_writing(file, bytes),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    allocate_by_writing(file, bytes)
}

/// Only lengthening the file would leave a full disk to be noticed by a signal, later.
fn allocate_by_writing(mut file: &fs::File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 64 << 10];
    let mut missing = bytes;
    while missing > 0 {
        let length = usize::try_from(missing).map_or(zeros.len(), |bytes| bytes.min(zeros.len()));
        file.write_all(&zeros[..length])?;
        missing -= length as u64;
    }
    Ok(())
}
