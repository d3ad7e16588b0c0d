//! What a copy needs of a backend.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;

use thiserror::Error;

use crate::copy::row::Row;
use crate::copy::table::Table;
use crate::rollup::entity::EntityKey;
use crate::rollup::tally::Tally;

/// Why one side of a copy cannot go on.
#[derive(Debug, Error)]
#[error("{what}")]
pub(crate) struct SideError {
    pub(crate) what: String,
    #[source]
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
}

impl SideError {
    /// Says what could not be done.
    pub(crate) fn of<E: Into<Box<dyn Error + Send + Sync>>>(
        what: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self {
            what,
            source: Some(source.into()),
        }
    }
}

pub(crate) type Answer<T> = Result<T, SideError>;

/// Runs of executions by (after, up to] of their ids, in hexadecimal digits; nothing is before all of them, and behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'s> {
    pub(crate) after: &'s str,
    pub(crate) up_to: &'s str,
}

/// The places of an execution's columns that the copy looks at.
pub(crate) mod execution {
    pub(crate) const ID: usize = 0;
    pub(crate) const SESSION: usize = 1;
    pub(crate) const START: usize = 8;
    pub(crate) const DURATION: usize = 9;
    pub(crate) const LINES: usize = 24;
    /// Whether its listener or job was registered no more. Only a file keeps that of each execution.
    pub(crate) const DETACHED: usize = 29;
}

/// The places of a rollup's columns that the copy looks at.
pub(crate) mod rollup {
    pub(crate) const START: usize = 1;
    /// Kind, app, instance, name and topic.
    pub(crate) const KEY: usize = 2;
    /// The counts, in the order of the statuses' numbers, the sum and the maximum.
    pub(crate) const COUNTS: usize = 7;
    pub(crate) const LAST_ERROR_AT: usize = 16;
    pub(crate) const LAST_ERROR: usize = 17;
    pub(crate) const SKETCH: usize = 18;
}

/// What executions that are in no rollup yet add, by span and start, and by what they belong to.
pub(crate) type Residue = BTreeMap<(i64, i64), BTreeMap<EntityKey, Tally>>;

/// A history that is read, all of it as of one moment.
pub(crate) trait Source {
    /// The history's name in hexadecimal digits.
    fn history_id(&mut self) -> Answer<String>;

    /// Gives all rows of a table, some at a time, until `each` wants no more.
    fn rows(&mut self, table: &Table, each: &mut dyn FnMut(Vec<Row>) -> bool) -> Answer<()>;

    /// Executions with their errors and lines, at most `limit`, in the order of their ids.
    fn executions(&mut self, span: Span<'_>, limit: i64) -> Answer<Vec<Row>>;

    /// The first start of a rollup of this span that is not before `from`.
    fn next_rollup(&mut self, span: i64, from: i64) -> Answer<Option<i64>>;

    /// Rollups of this span that start in `[from, to)`, in the order of their starts and of what they count. There may
    /// be several of the same.
    fn rollups(&mut self, span: i64, from: i64, to: i64) -> Answer<Vec<Row>>;

    /// What is in no rollup yet.
    fn residue(&mut self) -> Answer<Residue>;

    /// Fails if what was read may not have been all of one moment.
    fn check(&mut self) -> Answer<()>;

    /// Whether each execution says by itself if its listener or job was registered no more.
    fn knows_detached(&self) -> bool;

    /// Whether a text may have any character.
    fn holds_nul(&self) -> bool;
}

/// What was in the way of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing is there yet.
    Empty,
    /// A copy of the same history was interrupted here.
    Resumed,
    /// Another history is there.
    Taken,
    /// An unfinished copy of another history is there.
    OfAnother,
}

/// A history that is written.
pub(crate) trait Sink: Source {
    /// Marks an empty one as an unfinished copy of this history. Another copy that is under way writes no more.
    fn claim(&mut self, history: &str) -> Answer<Claim>;

    /// Begins a transaction, in which nobody else opens a session, and returns the names of the sessions that are there.
    fn begin_tables(&mut self) -> Answer<HashSet<String>>;

    /// Deletes all rows of the tables but executions and rollups.
    fn clear_tables(&mut self) -> Answer<()>;

    /// Writes some rows of one.
    fn fill(&mut self, table: &Table, rows: &[Row]) -> Answer<()>;

    /// Commits it.
    fn end_tables(&mut self) -> Answer<()>;

    /// Writes executions in one transaction.
    fn write(&mut self, rows: &[Row]) -> Answer<()>;

    /// Writes executions instead of those that are there in this span, in one transaction.
    fn replace(&mut self, span: Span<'_>, rows: &[Row]) -> Answer<()>;

    /// Deletes all rollups.
    fn clear_rollups(&mut self) -> Answer<()>;

    fn add_rollups(&mut self, rows: &[Row]) -> Answer<()>;

    /// Makes sure that all of it is on the disk, and takes the mark away: the history is whole.
    fn finish(&mut self) -> Answer<()>;
}
