//! Finds the spool directories of sessions, deleted directories, and leftover pages.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use record_spool::{Counters, is_spool};

use crate::recovery::reckoning::{Noted, Segments, reckon};
use crate::spool::counters::noted_of;
use crate::spool::session_spool::page_of;

/// Returns the directories of sessions below `root`, oldest first. A name that begins with a dot belongs to a
/// directory that was never completed.
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
    // Session names sort in the order of their starts.
    found.sort();
    Ok(found)
}

fn is_named_as_session(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| uuid::Uuid::try_parse(name).is_ok())
}

/// Returns whether something in a directory, or the page beside it, bears our mark. Otherwise it belongs to
/// somebody else.
pub(crate) fn is_ours(dir: &Path) -> bool {
    let is_directory = std::fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    let has_page = || matches!(Counters::read(&page_of(dir)), Ok(Some(_)));
    is_directory && (is_spool(dir) || has_page())
}

/// Returns the pages without directories, and their contents. A file is read only if its name may be a page's.
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

/// Returns whether records are missing as far as the page tells; if its counters are damaged, the store must be
/// asked.
fn may_be_missing(noted: &Noted) -> bool {
    !noted.is_whole() || reckon(noted, Segments::default(), noted.ledger()).damaged > 0
}

/// Returns the directories that somebody deleted with records in them.
pub(crate) fn deleted_spools(root: &Path) -> impl Iterator<Item = PathBuf> {
    let orphaned = orphaned_pages(root).filter(|(_, noted)| may_be_missing(noted));
    orphaned.map(|(dir, _)| dir)
}

/// Recreates such directories without records, so that their loss is reported like that of any other segment.
pub(crate) fn restore_missing(root: &Path) {
    for dir in deleted_spools(root) {
        // If that fails, the page stays for the next start.
        let _ = std::fs::create_dir(dir);
    }
}

/// Removes pages without missing records: their process died after removing the directory and before removing the
/// page.
pub(super) fn remove_orphaned_pages(root: &Path) {
    for (dir, noted) in orphaned_pages(root) {
        if !may_be_missing(&noted) {
            let _ = std::fs::remove_file(page_of(&dir));
        }
    }
}
