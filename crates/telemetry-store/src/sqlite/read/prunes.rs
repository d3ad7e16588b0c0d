//! What was pruned, page by page, the latest first.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use executor_core::ports::{PageOf, PageRequest, StoredPrune, Window};

use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::prune::PruneRow;
use crate::read::window::bounds;
use crate::sqlite::read::asked::Asked;

pub(crate) fn prunes(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<StoredPrune>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT p.id, p.rule, p.hour_us, p.count, p.first_us, p.last_us, s.session_uuid \
         FROM prunes p LEFT JOIN sessions s ON s.id = p.session_id \
         WHERE p.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) AND p.last_us >= ?3 AND p.first_us < ?4 \
         ORDER BY p.id DESC LIMIT ?5",
    );
    let rows: Vec<PruneRow> = question
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session.map(|id| id.as_bytes().to_vec()))
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    page_of(
        rows,
        page,
        asked.left_out,
        |row| row.id,
        PruneRow::into_prune,
    )
}
