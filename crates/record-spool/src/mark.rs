//! Whether a directory is a spool: something in it bears our mark. Whatever else lies where spools are kept is
//! somebody else's and is neither read nor moved nor removed.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::path::Path;

use crate::frame::HeaderRead;
use crate::fs::{self, Fs, LOCK_MARK, RealFs, open_file, read_path};
use crate::recover::headers;
use crate::spool::{LOCK_NAME, segment_names};

/// Whether a directory is a spool's, of whatever version: its lock bears our mark, or one of its segments does. A
/// link to one is none, and so is what cannot be read.
pub fn is_spool(dir: &Path) -> bool {
    let is_directory = std::fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    is_directory && (has_lock(dir).unwrap_or(false) || has_segment(dir).unwrap_or(false))
}

/// Has a write past a limit on the size of files be an error, as on a full disk, and not the end of the process. The
/// programs that this one starts are ended by it as ever. A start
/// does this by itself; a database that is made before it may be too large already. Idempotent.
pub fn survive_file_size_limit() {
    fs::survive_file_size_limit();
}

fn has_lock(dir: &Path) -> io::Result<bool> {
    let lock = open_file(&dir.join(LOCK_NAME), OpenOptions::new().read(true))?;
    let mut mark = Vec::new();
    lock.take(LOCK_MARK.len() as u64).read_to_end(&mut mark)?;
    Ok(mark == LOCK_MARK)
}

fn has_segment(dir: &Path) -> io::Result<bool> {
    let names = segment_names(&RealFs::default() as &dyn Fs, dir)?;
    let bears_mark = |path: &Path| {
        read_path(path).is_ok_and(|(map, length)| {
            let read = headers(&map, length);
            read.iter()
                .any(|read| matches!(read, HeaderRead::Good(_) | HeaderRead::Foreign(_)))
        })
    };
    Ok(names.iter().any(|(_, path)| bears_mark(path)))
}
