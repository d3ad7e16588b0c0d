//! Transactions that time out, whatever the connection passes through. diesel's own are not used: a COPY that failed
//! inside of one, and whose error was swallowed, makes it report a rollback as a commit.

use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;

/// Something that holds a connection.
pub(crate) trait Connected {
    fn connection(&mut self) -> &mut PgConnection;
}

/// Runs `work` in a transaction, which an error ends without a trace. Its limits belong to the transaction alone: a
/// pooler gives the session to somebody else afterwards.
pub(crate) fn writing<C: Connected, T>(
    open: &mut C,
    work: impl FnOnce(&mut C) -> QueryResult<T>,
) -> QueryResult<T> {
    // After a silent cut the server would hold its locks for as long as its own keepalives last; and a server, role or
    // database that acknowledges what a crash takes back is not asked to.
    const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '8s'; SET LOCAL lock_timeout = '2s'; \
        SET LOCAL idle_in_transaction_session_timeout = '10s'; \
        SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";
    open.connection().batch_execute(BEGIN)?;
    let done = work(open);
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = open.connection().batch_execute(end);
    // Of two errors the first says what happened.
    done.and_then(|value| ended.map(|()| value))
}

/// Runs `work` in a transaction that reads one snapshot and ends with `limit`.
pub(crate) fn reading<T, E: From<diesel::result::Error>>(
    connection: &mut PgConnection,
    limit: Duration,
    work: impl FnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    // No limit at all is 0.
    let limit = limit.as_millis().clamp(1, i32::MAX as u128);
    connection.batch_execute(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {limit}; SET LOCAL jit = off; \
         SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
    ))?;
    let done = work(connection);
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.batch_execute(end);
    done.and_then(|value| Ok(ended.map(|()| value)?))
}

/// Runs `work` so that an error of it undoes only that.
pub(crate) fn savepoint<C: Connected, T>(
    open: &mut C,
    work: impl FnOnce(&mut C) -> QueryResult<T>,
) -> QueryResult<T> {
    open.connection().batch_execute("SAVEPOINT of_a_row")?;
    let done = work(open);
    let end = match done {
        Ok(_) => "RELEASE of_a_row",
        Err(_) => "ROLLBACK TO of_a_row; RELEASE of_a_row",
    };
    open.connection().batch_execute(end)?;
    done
}
