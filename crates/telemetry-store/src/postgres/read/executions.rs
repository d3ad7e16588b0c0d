//! Reads single executions, page by page: first their keys, then their rows.

use std::ops::Range;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Uuid as SqlUuid};
use executor_core::Timestamp;
use executor_core::identity::IdRanges;
use executor_core::ports::{Filter, Order, PageOf, PageRequest, StoredExecution, Window};
use executor_core::time::micros;
use uuid::Uuid;

use crate::postgres::key::Key;
use crate::postgres::read::asked::Asked;
use crate::postgres::read::places::{places, session_of};
use crate::postgres::read::search::{Residue, Search};
use crate::postgres::read::stored::by_keys;
use crate::read::paging::Cursor;
use crate::read::question::QueryError;
use crate::read::search::{PagePlaces, SEARCH_FOR, search};
use crate::read::window::bounds;

/// The number of rows in one statement.
const ROWS_AT_ONCE: usize = 1_000;

/// An execution that lasted longer than this is found only by its whole id.
const LONGEST: Duration = Duration::from_secs(100 * 86_400);

pub(crate) fn executions(
    asked: &mut Asked<'_>,
    filter: &Filter,
    page: &PageRequest,
) -> Result<PageOf<StoredExecution>, QueryError> {
    let cursor = Cursor::of(page)?;
    let found = match &Residue::of(filter) {
        None => PagePlaces::of(places(asked, filter, cursor, page.limit)?, page.limit),
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
    for keys in found.places.chunks(ROWS_AT_ONCE) {
        asked.deadline.check()?;
        items.extend(by_keys(asked, keys, page.order)?);
    }
    Ok(PageOf {
        items,
        next: found.next.map(|key| Cursor::token(page.order, key)),
        searched_to: found.searched_to,
    })
}

#[derive(QueryableByName)]
struct Ends {
    #[diesel(sql_type = Nullable<BigInt>)]
    first: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

/// The time in which executions ended: that of the days, and of what belongs to none.
fn whole(asked: &mut Asked<'_>) -> QueryResult<Option<Range<i64>>> {
    let question =
        "SELECT min(ended_us) AS first, max(ended_us) AS last FROM executor.executions_default";
    let ends: Ends = diesel::sql_query(question).get_result(asked.connection)?;
    let others = ends.first.zip(ends.last).map(|(first, last)| first..last);
    let both = asked.days.whole().into_iter().chain(others);
    Ok(both.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end)))
}

/// Finds the executions that a text may mean, the latest first.
pub(crate) fn find(
    asked: &mut Asked<'_>,
    text: &str,
    limit: u32,
) -> Result<Vec<StoredExecution>, QueryError> {
    let Some(whole) = whole(asked)? else {
        return Ok(Vec::new());
    };
    let from = Timestamp::from_micros(whole.start).saturating_sub(LONGEST);
    let Some(ranges) = IdRanges::of(text, from, Timestamp::from_micros(whole.end)) else {
        return Ok(Vec::new());
    };
    let mut keys: Vec<Key> = Vec::new();
    // The latest first, which are in the last range.
    for range in ranges.ranges().iter().rev() {
        let missing = i64::from(limit) - keys.len() as i64;
        keys.extend(in_range(asked.connection, range, missing)?);
        if keys.len() >= limit as usize {
            break;
        }
    }
    let mut found = by_keys(asked, &keys, Order::LatestFirst)?;
    found.sort_by_key(|it| std::cmp::Reverse(it.record.execution_id));
    Ok(found)
}

/// The keys of ids between two. None ended before its id was made.
fn in_range(
    connection: &mut PgConnection,
    (first, last): &(Uuid, Uuid),
    limit: i64,
) -> QueryResult<Vec<Key>> {
    let made = |id: &Uuid| (id.as_u128() >> 80) as i64;
    let (from, to) = (
        made(first).saturating_mul(1_000),
        made(last).saturating_mul(1_000),
    );
    let question = "SELECT ended_us, execution_id FROM executor.executions WHERE execution_id BETWEEN $1 AND $2 \
                    AND ended_us >= $3 AND ended_us <= $4 ORDER BY execution_id DESC LIMIT $5";
    diesel::sql_query(question)
        .bind::<SqlUuid, _>(*first)
        .bind::<SqlUuid, _>(*last)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to.saturating_add(micros(LONGEST)))
        .bind::<BigInt, _>(limit)
        .load(connection)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Counts the executions of one session or of all.
pub(crate) fn count(asked: &mut Asked<'_>, window: &Window) -> Result<u64, QueryError> {
    if *window == Window::default() {
        // What each session has stored, less what was pruned: counting rows takes as long as there are rows.
        let question = "SELECT coalesce(sum(stored - pruned), 0)::bigint AS number FROM executor.session_hours";
        let all: Number = diesel::sql_query(question).get_result(asked.connection)?;
        return Ok(u64::try_from(all.number).unwrap_or(0));
    }
    let (_, mut from, mut to) = bounds(window);
    let mut row = None;
    if let Some(session) = window.session {
        let Some((session, ends)) = session_of(asked.connection, session)? else {
            return Ok(0);
        };
        (from, to) = (from.max(ends.start), to.min(ends.end));
        row = Some(session);
    }
    let question = "SELECT count(*) AS number FROM executor.executions WHERE ended_us >= $1 AND ended_us < $2 \
                    AND ($3::bigint IS NULL OR session_id = $3)";
    let counted: Number = diesel::sql_query(question)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<Nullable<BigInt>, _>(row)
        .get_result(asked.connection)?;
    Ok(counted.number.unsigned_abs())
}
