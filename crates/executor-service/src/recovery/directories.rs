//! Which directories are spools of sessions, which are gone, and which pages are left over.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use record_spool::{Counters, is_spool};

use crate::recovery::reckoning::{Noted, Segments, reckon};
use crate::spool::counters::noted_of;
use crate::spool::session_spool::page_of;

/// Directories of sessions below `root`, oldest first. A name that begins with a dot is a directory that
/// was never finished.
pub(crate) fn directories(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_named_as_session(&entry.file_name()) && is_ours(&entry.path()) {
            found.push(entry.path());
        }
    }
    // Sessions are named in the order of their starts.
    found.sort();
    Ok(found)
}

fn is_named_as_session(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| uuid::Uuid::try_parse(name).is_ok())
}

/// Whether something in a directory, or the page beside it, bears our mark. What does not is somebody else's.
pub(crate) fn is_ours(dir: &Path) -> bool {
    let is_directory = std::fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    let has_page = || matches!(Counters::read(&page_of(dir)), Ok(Some(_)));
    is_directory && (is_spool(dir) || has_page())
}

/// Pages whose directories are gone, with what they say. Opened only if it may be one: something else is not even
/// read.
fn orphaned_pages(root: &Path) -> impl Iterator<Item = (PathBuf, Noted)> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let dir = entry.path().with_extension("");
        let is_named = dir.file_name().is_some_and(is_named_as_session);
        if !is_named || page_of(&dir) != entry.path() || dir.exists() {
            return None;
        }
        let (_, counters) = Counters::read(&page_of(&dir)).ok()??;
        Some((dir, noted_of(&counters)))
    })
}

/// Whether records lay in it, as far as its page tells; one with damaged counters is asked about in the store.
fn may_be_missing(noted: &Noted) -> bool {
    !noted.is_whole() || reckon(noted, Segments::default(), noted.ledger()).damaged > 0
}

/// Directories that somebody has deleted with records in them.
pub(crate) fn deleted_spools(root: &Path) -> impl Iterator<Item = PathBuf> {
    let orphaned = orphaned_pages(root).filter(|(_, noted)| may_be_missing(noted));
    orphaned.map(|(dir, _)| dir)
}

/// Such a directory comes back without any records: so their loss is told of like that of every other segment.
pub(crate) fn restore_missing(root: &Path) {
    for dir in deleted_spools(root) {
        // Where it cannot be made the page stays, for the next start.
        let _ = std::fs::create_dir(dir);
    }
}

/// One whose records have all come to their ends was left between the removals of the two.
pub(super) fn remove_orphaned_pages(root: &Path) {
    for (dir, noted) in orphaned_pages(root) {
        if !may_be_missing(&noted) {
            let _ = std::fs::remove_file(page_of(&dir));
        }
    }
}
