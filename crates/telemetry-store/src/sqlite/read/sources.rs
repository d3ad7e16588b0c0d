//! What was read from sources of events, page by page, the latest first.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use executor_core::ports::{BadLine, PageOf, PageRequest, SourceCounts, UnheardTopic, Window};
use executor_core::{SessionId, Timestamp};

use crate::periods::HOUR_US;
use crate::sqlite::read::paging::{Cursor, page_of};
use crate::sqlite::read::question::{Asked, QueryError, known_count};
use crate::sqlite::read::schedules::bounds;
use crate::sqlite::read::stored::uuid_of;

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
        .bind::<BigInt, _>(Cursor::latest_first(page)?)
        .bind::<Nullable<Binary>, _>(session)
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

#[derive(QueryableByName)]
struct SourceRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    lines: i64,
    #[diesel(sql_type = BigInt)]
    events: i64,
    #[diesel(sql_type = BigInt)]
    bad_lines: i64,
    #[diesel(sql_type = BigInt)]
    unheard: i64,
    #[diesel(sql_type = Binary)]
    session_uuid: Vec<u8>,
}

#[derive(QueryableByName)]
struct TopicRow {
    #[diesel(sql_type = BigInt)]
    first_us: i64,
    #[diesel(sql_type = BigInt)]
    last_us: i64,
    #[diesel(sql_type = Text)]
    topic: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct BadLineRow {
    #[diesel(sql_type = BigInt)]
    line: i64,
    #[diesel(sql_type = BigInt)]
    at_us: i64,
    #[diesel(sql_type = Text)]
    problem: String,
    #[diesel(sql_type = Text)]
    text: String,
}

impl SourceRow {
    fn into_counts(
        self,
        topics: Vec<TopicRow>,
        bad_lines: Vec<BadLineRow>,
    ) -> Result<SourceCounts, QueryError> {
        let known = |what, count| known_count("sources", self.id, what, count);
        let topics = topics.into_iter().map(|row| {
            Ok(UnheardTopic {
                hour_at: Timestamp::from_micros(row.first_us),
                last_hour_at: Timestamp::from_micros(row.last_us),
                topic: row.topic.into(),
                count: known("count", row.count)?,
            })
        });
        let bad_lines = bad_lines.into_iter().map(|row| {
            Ok(BadLine {
                line: known("line", row.line)?,
                at: Timestamp::from_micros(row.at_us),
                problem: row.problem,
                text: row.text,
            })
        });
        Ok(SourceCounts {
            session: SessionId::from_uuid(uuid_of(
                &self.session_uuid,
                "a session's uuid is malformed",
            )?),
            lines: known("lines", self.lines)?,
            events: known("events", self.events)?,
            bad_lines: known("bad_lines", self.bad_lines)?,
            unheard: known("unheard", self.unheard)?,
            topics: topics.collect::<Result<_, QueryError>>()?,
            first_bad_lines: bad_lines.collect::<Result<_, QueryError>>()?,
            name: self.name.into(),
        })
    }
}
