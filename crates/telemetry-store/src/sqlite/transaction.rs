//! Transactions that return their own error.
//!
//! On a full disk or an I/O error SQLite rolls the transaction back by itself. diesel's own rollback
//! then fails, and diesel would return that failure, which cannot be classified, instead of the cause.

use diesel::result::Error;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, QueryResult};

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

/// Keeps the cause, because errors cannot be cloned, and returns an error that makes diesel roll back.
fn keep(cause: &mut Option<Error>, error: Error) -> Error {
    *cause = Some(error);
    Error::RollbackTransaction
}
