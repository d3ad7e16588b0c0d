//! A query's connection.

use diesel::pg::PgConnection;

use crate::postgres::read::spans::Days;
use crate::read::question::{Deadline, LeftOut};

/// The connection and the deadline of a query, and where it says what it leaves out. All that it asks is of one
/// snapshot.
pub(crate) struct Asked<'c> {
    pub(crate) connection: &'c mut PgConnection,
    pub(crate) deadline: Deadline,
    pub(crate) left_out: &'c LeftOut,
    /// The days that had partitions when it began.
    pub(crate) days: &'c Days,
}

impl Asked<'_> {
    /// The same, but what is left out is noted elsewhere.
    pub(crate) fn noting_in<'a>(&'a mut self, left_out: &'a LeftOut) -> Asked<'a> {
        Asked {
            connection: self.connection,
            deadline: self.deadline,
            left_out,
            days: self.days,
        }
    }
}
