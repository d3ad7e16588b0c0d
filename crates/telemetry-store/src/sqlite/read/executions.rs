//! Reads single executions, page by page, filtered by registration, app or session, by status and by time.
//!
//! A page is read in two steps: first the ids, from an index or the primary key, then the rows. Conditions without an
//! index are checked on those ids, slice by slice, for a short while.

use std::time::{Duration, Instant};

use diesel::dsl::{count_star, max, min};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::Timestamp;
use executor_core::identity::IdRanges;
use executor_core::ports::{Filter, Order, PageOf, PageRequest, StoredExecution, Window};

use self::ids::ids;
use self::search::{Residue, Search};
use crate::read::paging::Cursor;
use crate::read::question::QueryError;
use crate::read::search::{PagePlaces, SEARCH_FOR, search};
use crate::sqlite::read::asked::Asked;
use crate::sqlite::read::stored::{ROWS_AT_ONCE, by_rows};
use crate::sqlite::schema::executions;
use crate::sqlite::write::row_ids::displacement;
use crate::sqlite::write::session;

mod conditions;
mod ids;
mod past_damage;
mod search;

/// An execution that began longer than this before the first row is found only by its whole id.
const LONGEST: Duration = Duration::from_secs(100 * 86_400);

pub(crate) fn executions(
    asked: &mut Asked<'_>,
    filter: &Filter,
    page: &PageRequest,
) -> Result<PageOf<StoredExecution>, QueryError> {
    let cursor = Cursor::of(page)?;
    asked.transaction(|asked| {
        let found = match &Residue::of(filter) {
            None => PagePlaces::of(ids(asked, filter, cursor, page.limit)?, page.limit),
            Some(residue) => {
                let order = page.order;
                let mut searched = Search {
                    asked,
                    filter,
                    residue,
                    order,
                };
                search(
                    &mut searched,
                    cursor,
                    page.limit,
                    Instant::now() + SEARCH_FOR,
                )?
            }
        };
        let mut items = Vec::with_capacity(found.places.len());
        for ids in found.places.chunks(ROWS_AT_ONCE) {
            asked.deadline.check()?;
            items.extend(by_rows(asked, ids, page.order)?);
        }
        Ok(PageOf {
            items,
            next: found.next.map(|id| Cursor::token(page.order, id)),
            searched_to: found.searched_to,
        })
    })
}

/// Finds the executions that a text may mean, the latest first.
pub(crate) fn find(
    asked: &mut Asked<'_>,
    text: &str,
    limit: u32,
) -> Result<Vec<StoredExecution>, QueryError> {
    asked.transaction(|asked| found(asked, text, limit))
}

fn found(
    asked: &mut Asked<'_>,
    text: &str,
    limit: u32,
) -> Result<Vec<StoredExecution>, QueryError> {
    let connection = &mut *asked.connection;
    let ends = executions::table.select((min(executions::id), max(executions::id)));
    let (Some(first), Some(last)) = ends.get_result::<(Option<i64>, Option<i64>)>(connection)?
    else {
        return Ok(Vec::new());
    };
    let from = Timestamp::from_micros(first).saturating_sub(LONGEST);
    let Some(ranges) = IdRanges::of(text, from, Timestamp::from_micros(last)) else {
        return Ok(Vec::new());
    };
    let mut rows: Vec<i64> = Vec::new();
    // The latest first, which are in the last range.
    for (first, last) in ranges.ranges().iter().rev() {
        let bytes = |id: &uuid::Uuid| id.as_bytes().to_vec();
        let found = executions::table
            .filter(executions::execution_id.between(bytes(first), bytes(last)))
            .order(executions::execution_id.desc())
            .limit(i64::from(limit) - rows.len() as i64)
            .select(executions::id);
        rows.extend(found.load::<i64>(connection)?);
        if rows.len() >= limit as usize {
            break;
        }
    }
    let mut found = by_rows(asked, &rows, Order::LatestFirst)?;
    found.sort_by_key(|it| std::cmp::Reverse(it.record.execution_id));
    Ok(found)
}

/// Counts the executions of one session or of all.
pub(crate) fn count(connection: &mut SqliteConnection, window: &Window) -> Result<u64, QueryError> {
    if *window == Window::default() {
        // From the smallest index.
        let all: i64 = executions::table
            .select(count_star())
            .get_result(connection)?;
        return Ok(all.unsigned_abs());
    }
    let ids = match window.session {
        None => None,
        Some(id) => match session::ids_of(connection, id)? {
            Some(found) => Some(found),
            None => return Ok(0),
        },
    };
    let (row, ids) = ids.unzip();
    let ids = ids.unwrap_or(i64::MIN..i64::MAX);
    let from = window.from.map_or(i64::MIN, Timestamp::as_micros);
    let to = window.to.map_or(i64::MAX, Timestamp::as_micros);
    // A row's id is never before the end of its execution, and not further behind than the displacement.
    let last = to.saturating_add(displacement(connection)?);
    let counted: Counted = diesel::sql_query(
        "SELECT count(*) AS count FROM executions WHERE id BETWEEN ?1 AND ?2 \
         AND start_us + duration_us >= ?3 AND start_us + duration_us < ?4 \
         AND (?5 IS NULL OR session_id = ?5)",
    )
    .bind::<BigInt, _>(ids.start.max(from))
    .bind::<BigInt, _>(ids.end.min(last))
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(to)
    .bind::<Nullable<BigInt>, _>(row)
    .get_result(connection)?;
    Ok(counted.count.unsigned_abs())
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[cfg(test)]
mod tests;
