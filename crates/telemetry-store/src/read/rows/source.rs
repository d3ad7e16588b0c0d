//! Rows of sources of events, and what they say.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use executor_core::ports::{BadLine, SourceCounts, UnheardTopic};
use executor_core::{SessionId, Timestamp};

use crate::read::question::{QueryError, known_count};
use crate::read::rows::execution::uuid_of;

#[derive(QueryableByName)]
pub(crate) struct SourceRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
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
pub(crate) struct TopicRow {
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
pub(crate) struct BadLineRow {
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
    pub(crate) fn into_counts(
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
