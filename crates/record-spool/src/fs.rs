//! The few operations that the spool needs from a file system, as a trait, so that a simulator can
//! replace it; and the real file system.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use rustix::fs::OFlags;

use crate::map::Map;

/// The operations on a directory of segments. None of them retries.
pub(crate) trait Fs: fmt::Debug + Send + Sync {
    /// Creates the directory and its parents; an existing directory is not an error.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes the directory, which must be empty.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Lists the names in it, in no order. Skips names that are not UTF-8: they are not ours.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates the file if needed and locks it; `None` if somebody else has the lock. The lock is
    /// released when the value is dropped or its process dies.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
    /// Creates a file of this length, zeroed, with all its blocks allocated; leaves no file on an error.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn SegmentFile>>;
    /// Opens a file to read it and to mark frames.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in it reach the medium.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns whether anything has this name.
    fn exists(&self, path: &Path) -> bool;
}

/// An open file.
pub(crate) trait SegmentFile: fmt::Debug + Send + Sync {
    fn map(&self, bytes: u64) -> io::Result<Map>;
    /// Reads the whole file; also returns its length in bytes.
    fn read(&self) -> io::Result<(Map, u64)>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all writes, including those through mappings, reach the medium.
    fn sync(&self) -> io::Result<()>;
}

/// A held lock.
pub(crate) type Lock = Box<dyn fmt::Debug + Send + Sync>;

/// The operating system's file system.
#[derive(Debug)]
pub(crate) struct RealFs {
    /// The mode of created files.
    pub(crate) file_mode: u32,
}

/// The default mode of created files: only the owner may read and write them.
pub(crate) const FILE_MODE: u32 = 0o600;

/// How often a lock that is held is tried again, and how soon.
const LOCK_TRIES: u32 = 3;
const LOCK_AGAIN: Duration = Duration::from_millis(2);

/// The content of a lock file from its first moment on, which shows that it is ours.
pub(crate) const LOCK_MARK: &[u8] = b"RECLOCK1";

impl Default for RealFs {
    fn default() -> Self {
        Self {
            file_mode: FILE_MODE,
        }
    }
}

impl RealFs {
    /// Creates a new directory with its mode, whatever the process's umask. Keeps special bits inherited from its
    /// parent, such as setgid.
    fn new_dir(&self, dir: &Path) -> io::Result<()> {
        let mode = 0o700 | self.file_mode | (self.file_mode & 0o444) >> 2;
        DirBuilder::new().mode(mode).create(dir)?;
        if mode == 0o700 {
            return Ok(());
        }
        let inherited = fs::metadata(dir)?.permissions().mode() & 0o7000;
        fs::set_permissions(dir, Permissions::from_mode(inherited | mode))
    }

    /// Creates a new file with its mode, whatever the process's umask.
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

/// Returns whether a directory exists. The last ancestor of a relative path is empty: the current directory.
fn is_there(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir.exists()
}

/// Opens a regular file, and follows no link: anything else that may be there is not ours, and opening a pipe waits
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
            // Links, pipes and anything else that may be there are not ours.
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
                    // Without the mark nobody would recognise the file and remove it.
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
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Box::new(file))),
                // Perhaps somebody is only checking whether it is held.
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn SegmentFile>> {
        let file = self.new_file(path)?;
        if let Err(error) = allocate(&file, bytes) {
            // Otherwise the blocks allocated so far would stay allocated, on a full disk.
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

/// Handles the signal that otherwise ends the process on a write past a file size limit; the write then fails as on a
/// full disk. The signal is handled, not ignored, because every program that this one starts would inherit an ignored
/// signal.
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

/// Allocates by writing zeros. After a mere extension of the file, a full disk would show only later, as a signal.
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
