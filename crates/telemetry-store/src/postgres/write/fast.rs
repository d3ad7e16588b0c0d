//! Stores a batch of a running session of this process in the fewest round trips: one for a small batch, four or five for a
//! large one. Nothing is looked up first. Whatever is not as expected fails all of it: a row that is there already, a row
//! that breaks a rule, a session that is not running, rollups that somebody else has written. Then the batch goes the
//! careful way.

use std::collections::HashSet;

use diesel::prelude::*;
use executor_core::SessionId;

use crate::postgres::memory::Place;
use crate::postgres::open::Open;
use crate::postgres::schema::{execution_lines, executions};
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::Row;
use crate::postgres::write::account::{self, Account, BOUND, accounting};
use crate::postgres::write::days;
use crate::postgres::write::rows::{
    EXECUTION_ARRAYS, Execution, LinesOf, bind_executions, bind_lines, insert_executions,
    insert_lines,
};

/// More rows than this are copied.
const SMALL: usize = 64;

/// Stores rows, and returns the entities among theirs that have no registration.
pub(super) fn store(
    open: &mut Open,
    (name, session): (SessionId, i64),
    rows: &[Row<'_>],
) -> QueryResult<HashSet<i64>> {
    open.rollups.bound();
    let account = Account::of(session, name, rows.iter().copied());
    let places: Vec<Place> = account.places().copied().collect();
    let stored = match rows.len() {
        ..=SMALL => one_statement(open, session, account, rows),
        _ => copied(open, session, account, rows),
    };
    if stored.is_err() {
        // They are not what they were to be.
        for place in places {
            open.rollups.forget_one(session, place);
        }
    }
    stored
}

fn one_statement(
    open: &mut Open,
    session: i64,
    account: Account,
    rows: &[Row<'_>],
) -> QueryResult<HashSet<i64>> {
    let first = BOUND + 1;
    let statement = format!(
        "WITH rows AS ({} RETURNING 1), lines AS ({} RETURNING 1), {}",
        insert_executions(first),
        insert_lines(first + EXECUTION_ARRAYS),
        accounting("(SELECT count(*) FROM rows) + (SELECT count(*) FROM lines)")
    );
    let executions = rows.iter();
    let executions = executions.map(|(record, entity)| Execution::of(record, *entity, session));
    let lines = rows.iter();
    let lines = lines.filter_map(|(record, entity)| LinesOf::of(record, *entity));
    let bound = account.bind(statement, &mut open.rollups, 0, true);
    let bound = bind_executions(bound, executions.collect());
    account::ask(bind_lines(bound, lines.collect()), open.connection())
}

fn copied(
    open: &mut Open,
    session: i64,
    account: Account,
    rows: &[Row<'_>],
) -> QueryResult<HashSet<i64>> {
    writing(open, |open| {
        days::keep(open)?;
        let executions: Vec<Execution<'_>> = rows
            .iter()
            .map(|(record, entity)| Execution::of(record, *entity, session))
            .collect();
        copy_executions(open.connection(), &executions)?;
        let lines = rows.iter();
        let lines = lines.filter_map(|(record, entity)| LinesOf::of(record, *entity));
        copy_lines(open.connection(), &lines.collect::<Vec<_>>())?;
        let statement = format!("WITH {}", accounting("0"));
        let bound = account.bind(statement, &mut open.rollups, 0, true);
        account::ask(bound, open.connection())
    })
}

fn copy_executions(connection: &mut PgConnection, rows: &[Execution<'_>]) -> QueryResult<()> {
    let copy = diesel::copy_from(executions::table).from_insertable(rows);
    copy.execute(connection).map(drop)
}

fn copy_lines(connection: &mut PgConnection, rows: &[LinesOf<'_>]) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let copy = diesel::copy_from(execution_lines::table).from_insertable(rows);
    copy.execute(connection).map(drop)
}
