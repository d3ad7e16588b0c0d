//! Notes of programs that have outlived their process, a file each beside the spools. A spool is removed once its
//! records are stored, but such a program may outlive many more processes.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use executor_core::ports::Orphan;
use executor_core::process::has_ended;

use crate::recovery::orphans::is_alive;
use crate::spool::{codec, encoder};

const EXTENSION: &str = "orphan";
/// The extension of a note that is being written.
const UNBORN: &str = "unborn";

/// The longest note that is read.
const BYTES_MAX: u64 = 64 << 10;

/// Notes programs beside the page of the spool that names them, for whoever may read that. Those of the same execution
/// and group are noted once.
pub(crate) fn note(page: &Path, orphans: &[Orphan]) {
    for orphan in orphans {
        if let Err(error) = write(page, orphan) {
            let error: &dyn std::error::Error = &error;
            let (entity, group) = (&*orphan.entity, orphan.group.id);
            tracing::warn!(
                error, %entity, group,
                "could not note a program that is still running; the next start will not know of it"
            );
        }
    }
}

/// Returns the noted programs below `root` that are still running.
pub(crate) fn noted(root: &Path) -> Vec<Orphan> {
    let notes = notes(root).into_iter();
    let orphans = notes.filter_map(|path| read(&path));
    orphans.filter(|orphan| is_alive(&orphan.group)).collect()
}

/// Removes the notes of programs that have ended, and those that a process did not live to finish.
pub(crate) fn remove_old(root: &Path) {
    let has_ended = |path: &PathBuf| read(path).is_some_and(|orphan| has_ended(&orphan.group));
    let ended = notes(root).into_iter().filter(has_ended);
    let unborn = files(root, UNBORN).filter(|path| is_named_as_note(path) && is_old(path));
    for path in ended.chain(unborn) {
        // Another process may be removing it too.
        let _ = fs::remove_file(path);
    }
}

fn is_named_as_note(path: &Path) -> bool {
    let name = path.file_stem().and_then(OsStr::to_str);
    let parts = name.and_then(|name| name.rsplit_once('-'));
    parts.is_some_and(|(id, group)| {
        uuid::Uuid::try_parse(id).is_ok() && group.parse::<u32>().is_ok()
    })
}

/// Returns whether nobody can be writing it any more.
fn is_old(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|file| file.modified());
    let age = written.ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_secs(60))
}

fn write(page: &Path, orphan: &Orphan) -> io::Result<()> {
    let path = page.with_file_name(name_of(orphan));
    if read(&path).is_some() {
        return Ok(());
    }
    // A whole file or none, whenever this process dies.
    let unborn = path.with_extension(UNBORN);
    let mode = fs::metadata(page).map_or(0o600, |page| page.permissions().mode() & 0o666);
    let mut options = fs::OpenOptions::new();
    // What is there by that name is never written into: it may be a link.
    options.write(true).create_new(true).mode(mode);
    let _ = fs::remove_file(&unborn);
    let written = options
        .open(&unborn)
        .and_then(|mut file| file.write_all(&encoder::write_orphan(orphan)))
        .and_then(|()| fs::rename(&unborn, &path));
    if written.is_err() {
        let _ = fs::remove_file(&unborn);
    }
    written
}

fn name_of(orphan: &Orphan) -> String {
    format!("{}-{}.{EXTENSION}", orphan.execution_id, orphan.group.id)
}

/// Returns `None` for a file of somebody else, or of a later version: a note has the name of what is in it.
fn read(path: &Path) -> Option<Orphan> {
    let mut bytes = Vec::new();
    let kind = fs::symlink_metadata(path).ok()?.file_type();
    let file = kind.is_file().then(|| fs::File::open(path))?.ok()?;
    file.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let orphan = codec::read_orphan(&bytes).ok()?;
    let is_its_name = path.file_name().is_some_and(|it| *it == *name_of(&orphan));
    is_its_name.then_some(orphan)
}

fn notes(root: &Path) -> Vec<PathBuf> {
    let mut notes: Vec<PathBuf> = files(root, EXTENSION).collect();
    notes.sort();
    notes
}

fn files(root: &Path, extension: &'static str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let paths = files.map(|entry| entry.path());
    paths.filter(move |path| path.extension().is_some_and(|it| it == extension))
}

#[cfg(test)]
mod tests;
