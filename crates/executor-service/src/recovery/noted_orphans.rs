//! Notes of programs that have outlived their process, a file each beside the spools. A spool is removed once its
//! records are stored, but such a program may outlive many more processes.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use executor_core::ports::Orphan;

use crate::recovery::orphans::is_alive;
use crate::spool::{codec, encoder};

const EXTENSION: &str = "orphan";

/// Notes programs below `root`. Those of the same execution and group are noted once.
pub(crate) fn note(root: &Path, orphans: &[Orphan]) {
    for orphan in orphans {
        if let Err(error) = write(root, orphan) {
            let error: &dyn std::error::Error = &error;
            let (entity, group) = (&*orphan.entity, orphan.group.id);
            tracing::warn!(
                error, %entity, group,
                "could not note a program that is still running; the next start will not know of it"
            );
        }
    }
}

/// Returns the noted programs that are still running.
pub(crate) fn noted(root: &Path) -> Vec<Orphan> {
    let notes = notes(root).into_iter();
    let orphans = notes.filter_map(|path| read(&path));
    orphans.filter(|orphan| is_alive(&orphan.group)).collect()
}

/// Removes the notes of programs that have ended.
pub(crate) fn remove_old(root: &Path) {
    for path in notes(root) {
        if read(&path).is_some_and(|orphan| !is_alive(&orphan.group)) {
            // Another process may be removing it too.
            let _ = fs::remove_file(path);
        }
    }
}

fn write(root: &Path, orphan: &Orphan) -> io::Result<()> {
    let name = format!("{}-{}", orphan.execution_id, orphan.group.id);
    let path = root.join(name).with_extension(EXTENSION);
    if path.exists() {
        return Ok(());
    }
    // A whole file or none, whenever this process dies.
    let unborn = path.with_extension(format!("{}.new", std::process::id()));
    // Whoever may look at the spools may look at it.
    let mode = fs::metadata(root)?.permissions().mode() & 0o666;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options
        .open(&unborn)
        .and_then(|mut file| io::Write::write_all(&mut file, &encoder::write_orphan(orphan)))
        .and_then(|()| fs::rename(&unborn, &path));
    if written.is_err() {
        let _ = fs::remove_file(&unborn);
    }
    written
}

/// Returns `None` for a file of somebody else, or of a later version.
fn read(path: &Path) -> Option<Orphan> {
    codec::read_orphan(&fs::read(path).ok()?).ok()
}

fn notes(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let paths = files.map(|entry| entry.path());
    let mut notes: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|it| it == EXTENSION))
        .collect();
    notes.sort();
    notes
}
