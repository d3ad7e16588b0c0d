//! Marks a database into which a history is being copied, as a migration that no program knows. So programs of every
//! version leave it alone until it is whole.

const MARK: &str = "copy-of-";

/// The name of the migration that stands for an unfinished copy of this history.
pub(crate) fn mark_of(history: &str) -> String {
    format!("{MARK}{history}")
}

/// Returns whether the name of a migration stands for an unfinished copy.
pub(crate) fn is_mark(migration: &str) -> bool {
    migration.starts_with(MARK)
}
