//! What was read from sources of events, page by page, the latest first.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use executor_core::ports::{PageOf, PageRequest, SourceCounts, Window};

use crate::periods::HOUR_US;
use crate::read::paging::{latest_first, page_of};
use crate::read::question::QueryError;
use crate::read::rows::source::{BadLineRow, SourceRow, TopicRow};
use crate::read::window::bounds;
use crate::sqlite::read::asked::Asked;

pub(crate) fn sources(
    asked: &mut Asked<'_>,
    window: &Window,
    page: &PageRequest,
) -> Result<PageOf<SourceCounts>, QueryError> {
    let (session, from, to) = bounds(window);
    let question = diesel::sql_query(
        "SELECT c.id, c.name, c.lines, c.events, c.bad_lines, c.unheard, s.session_uuid \
         FROM sources c JOIN sessions s ON s.id = c.session_id \
         WHERE c.id < ?1 AND (?2 IS NULL OR s.session_uuid = ?2) AND s.started_us < ?4 \
         AND coalesce(s.stopped_us, 9223372036854775807) >= ?3 ORDER BY c.id DESC LIMIT ?5",
    );
    let rows: Vec<SourceRow> = question
        .bind::<BigInt, _>(latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session.map(|id| id.as_bytes().to_vec()))
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(i64::from(page.limit))
        .load(asked.connection)?;
    let mut read = Vec::new();
    for row in rows {
        let topics = topics(asked, row.id, from, to)?;
        let bad_lines = bad_lines(asked, row.id)?;
        read.push((row, topics, bad_lines));
    }
    let item = |(row, topics, bad_lines): Read| row.into_counts(topics, bad_lines);
    page_of(read, page, asked.left_out, |(row, ..)| row.id, item)
}

type Read = (SourceRow, Vec<TopicRow>, Vec<BadLineRow>);

fn topics(asked: &mut Asked<'_>, source: i64, from: i64, to: i64) -> QueryResult<Vec<TopicRow>> {
    diesel::sql_query(
        "SELECT min(hour_us) AS first_us, max(hour_us) AS last_us, topic, sum(count) AS count \
         FROM source_topics WHERE source_id = ?1 AND hour_us > ?2 AND hour_us < ?3 \
         GROUP BY topic ORDER BY 4 DESC, topic",
    )
    .bind::<BigInt, _>(source)
    .bind::<BigInt, _>(from.saturating_sub(HOUR_US))
    .bind::<BigInt, _>(to)
    .load(asked.connection)
}

fn bad_lines(asked: &mut Asked<'_>, source: i64) -> QueryResult<Vec<BadLineRow>> {
    diesel::sql_query(
        "SELECT line, at_us, problem, text FROM source_bad_lines WHERE source_id = ?1 ORDER BY line",
    )
    .bind::<BigInt, _>(source)
    .load(asked.connection)
}
