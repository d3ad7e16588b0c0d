//! What was pruned, page by page, the latest first.

use diesel::prelude::*;
use executor_core::ports::{PageOf, PageRequest, StoredPrune, Window};
use executor_core::{SessionId, Timestamp};

use crate::sqlite::read::paging::{Cursor, page_of};
use crate::sqlite::read::question::{Asked, QueryError, known_count};
use crate::sqlite::read::stored::uuid_of;
use crate::sqlite::schema::{prunes, sessions};

pub(crate) fn prunes(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<StoredPrune>, QueryError> {
    let mut question = prunes::table
        .left_join(sessions::table)
        .filter(prunes::id.lt(Cursor::latest_first(page)?))
        .order(prunes::id.desc())
        .limit(i64::from(page.limit))
        .select((PruneRow::as_select(), sessions::session_uuid.nullable()))
        .into_boxed();
    if let Some(id) = window.session {
        question = question.filter(sessions::session_uuid.eq(id.as_uuid().as_bytes().to_vec()));
    }
    if let Some(from) = window.from {
        question = question.filter(prunes::last_us.ge(from.as_micros()));
    }
    if let Some(to) = window.to {
        question = question.filter(prunes::first_us.lt(to.as_micros()));
    }
    let rows: Vec<(PruneRow, Option<Vec<u8>>)> = question.load(asked.connection)?;
    page_of(
        rows,
        page,
        asked.left_out,
        |(row, _)| row.id,
        |(row, session)| row.into_prune(session.as_deref()),
    )
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = prunes)]
struct PruneRow {
    id: i64,
    rule: String,
    hour_us: i64,
    count: i64,
    first_us: i64,
    last_us: i64,
}

impl PruneRow {
    fn into_prune(self, session: Option<&[u8]>) -> Result<StoredPrune, QueryError> {
        let session = session.map(|uuid| uuid_of(uuid, "a session's uuid is malformed"));
        Ok(StoredPrune {
            session: session.transpose()?.map(SessionId::from_uuid),
            rule: self.rule,
            hour_at: Timestamp::from_micros(self.hour_us),
            count: known_count("prunes", self.id, "count", self.count)?,
            first_at: Timestamp::from_micros(self.first_us),
            last_at: Timestamp::from_micros(self.last_us),
        })
    }
}
