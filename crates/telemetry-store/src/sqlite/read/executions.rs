//! Reads single executions, page by page, filtered by registration, app or session, by status and by time.
//!
//! A page is read in two steps: first the ids, from an index or the primary key, then the rows. Conditions without an
//! index are checked on those ids, slice by slice, for a short while.

use std::time::{Duration, Instant};

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use executor_core::SessionId;
use executor_core::ports::{Filter, PageOf, PageRequest, StoredExecution};

use self::ids::ids;
use self::search::{PageIds, Residue, search};
use crate::sqlite::read::paging::Cursor;
use crate::sqlite::read::question::{Asked, QueryError};
use crate::sqlite::read::stored::{ROWS_AT_ONCE, by_rows};
use crate::sqlite::schema::{executions, sessions};

mod ids;
mod search;

/// The time that one page may spend on conditions without an index.
const SEARCH_FOR: Duration = Duration::from_millis(200);

pub(crate) fn executions(
    asked: &mut Asked<'_>,
    filter: &Filter,
    page: &PageRequest,
) -> Result<PageOf<StoredExecution>, QueryError> {
    let Asked {
        connection,
        deadline,
    } = asked;
    let cursor = Cursor::of(page)?;
    connection.transaction(|connection| {
        let found = match Residue::of(filter) {
            None => PageIds::of(ids(connection, filter, cursor, page.limit)?, page.limit),
            Some(residue) => {
                let until = Instant::now() + SEARCH_FOR;
                search(connection, filter, &residue, cursor, page.limit, until)?
            }
        };
        let mut items = Vec::with_capacity(found.ids.len());
        for ids in found.ids.chunks(ROWS_AT_ONCE) {
            deadline.check()?;
            items.extend(by_rows(connection, ids, page.order)?);
        }
        Ok(PageOf {
            items,
            next: found.next.map(|id| Cursor::token(page.order, id)),
            searched_to: found.searched_to,
        })
    })
}

/// Counts the executions of one session or of all.
pub(crate) fn count(
    connection: &mut SqliteConnection,
    session: Option<SessionId>,
) -> Result<u64, QueryError> {
    let all = executions::table
        .inner_join(sessions::table)
        .select(count_star());
    let counted: i64 = match session {
        None => executions::table
            .select(count_star())
            .get_result(connection)?,
        Some(id) => all
            .filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().to_vec()))
            .get_result(connection)?,
    };
    Ok(counted.unsigned_abs())
}

#[cfg(test)]
mod tests;
