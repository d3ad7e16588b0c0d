//! Marks a database into which a history is being copied, as a migration that no program knows. So programs of every
//! version leave it alone until it is whole.

use uuid::Uuid;

const MARK: &str = "copy-of-";

/// The mark of one attempt to copy a history. A later attempt replaces it, and then the earlier one writes no more.
pub(crate) struct Mark {
    history: String,
    attempt: Uuid,
}

impl Mark {
    /// A new attempt to copy this history.
    pub(crate) fn new(history: &str) -> Self {
        Self {
            history: history.to_owned(),
            attempt: Uuid::new_v4(),
        }
    }

    /// The name of the migration that stands for this attempt.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.of_any_attempt(), self.attempt.simple())
    }

    /// What the names of all attempts to copy this history begin with.
    pub(crate) fn of_any_attempt(&self) -> String {
        format!("{MARK}{}-", self.history)
    }
}

/// Returns whether the name of a migration stands for an unfinished copy.
pub(crate) fn is_mark(migration: &str) -> bool {
    migration.starts_with(MARK)
}

/// The error of an attempt after a later one has begun.
pub(crate) fn taken_over() -> diesel::result::Error {
    diesel::result::Error::QueryBuilderError("another copy to the same place has taken over".into())
}
