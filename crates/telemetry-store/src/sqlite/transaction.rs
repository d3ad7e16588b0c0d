//! Transactions that return their own error.
//!
//! On a full disk or an I/O error SQLite rolls a transaction back by itself. diesel's attempt to do
//! so then fails, and it would return that failure instead of the cause, which nobody could sort.

use diesel::Connection;
use diesel::QueryResult;
use diesel::result::Error;
use diesel::sqlite::SqliteConnection;

/// Does the work in a transaction that takes the write lock first.
pub(crate) fn immediate<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let mut cause = None;
    let done = connection.immediate_transaction(|connection| {
        work(connection).map_err(|error| keep(&mut cause, error))
    });
    done.map_err(|error| cause.unwrap_or(error))
}

/// Does the work in a savepoint of the transaction that is open.
pub(crate) fn savepoint<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let mut cause = None;
    let done = connection
        .transaction(|connection| work(connection).map_err(|error| keep(&mut cause, error)));
    done.map_err(|error| cause.unwrap_or(error))
}

/// Errors cannot be copied: the cause is put aside, and what diesel gets only makes it roll back.
fn keep(cause: &mut Option<Error>, error: Error) -> Error {
    *cause = Some(error);
    Error::RollbackTransaction
}
