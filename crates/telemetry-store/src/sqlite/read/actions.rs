//! What people asked for, the latest first.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use executor_core::ports::{PageOf, PageRequest, RecordedAction, Window};

use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::action::ActionRow;
use crate::read::window::bounds;
use crate::sqlite::read::asked::Asked;

pub(crate) fn actions(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<RecordedAction>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT a.id, s.session_uuid, a.at_us, a.who, a.origin, a.action, a.target, a.outcome \
         FROM actions a LEFT JOIN sessions s ON s.id = a.session_id \
         WHERE a.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) AND a.at_us >= ?3 AND a.at_us < ?4 \
         ORDER BY a.id DESC LIMIT ?5",
    );
    let rows: Vec<ActionRow> = question
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session.map(|id| id.as_bytes().to_vec()))
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let item = ActionRow::into_action;
    page_of(rows, page, asked.left_out, |row| row.id, item)
}
