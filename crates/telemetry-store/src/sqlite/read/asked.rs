//! A query's connection.

use diesel::Connection;
use diesel::sqlite::SqliteConnection;

use crate::read::question::{Deadline, LeftOut, QueryError};

/// The connection and the deadline of a query, and where it says what it leaves out.
pub(crate) struct Asked<'c> {
    pub(crate) connection: &'c mut SqliteConnection,
    pub(crate) deadline: Deadline,
    pub(crate) left_out: &'c LeftOut,
}

impl Asked<'_> {
    /// The same, but what is left out is noted elsewhere.
    pub(crate) fn noting_in<'a>(&'a mut self, left_out: &'a LeftOut) -> Asked<'a> {
        Asked {
            connection: self.connection,
            deadline: self.deadline,
            left_out,
        }
    }

    /// Asks several things of one snapshot.
    pub(crate) fn transaction<T>(
        &mut self,
        questions: impl FnOnce(&mut Asked<'_>) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let (deadline, left_out) = (self.deadline, self.left_out);
        let mut answer = None;
        let ended = self.connection.transaction(|connection| {
            answer = Some(questions(&mut Asked {
                connection,
                deadline,
                left_out,
            })?);
            Ok(())
        });
        match (ended, answer) {
            // SQLite does not commit either once it has met a damaged page; there is nothing to commit.
            (Err(error), Some(answer)) if QueryError::is_damage(&error) => Ok(answer),
            (Err(error), _) => Err(error),
            (Ok(()), Some(answer)) => Ok(answer),
            (Ok(()), None) => unreachable!("a transaction that succeeds has an answer"),
        }
    }
}
