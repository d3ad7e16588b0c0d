//! What was read from sources of events.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use executor_core::ports::SourceCounts;

use crate::postgres::open::Open;
use crate::postgres::sql::text;
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::write::{Number, count, session};

/// Notes the counts of sources. Totals only grow: an older call may arrive after a newer one.
pub(crate) fn note(open: &mut Open, noted: &[SourceCounts]) -> QueryResult<()> {
    writing(open, |open| {
        for source in noted {
            let session = session::row_of(open, source.session)?;
            let session = session.ok_or(diesel::result::Error::NotFound)?;
            let row = totals(open, session, source)?;
            topics(open, row, source)?;
            bad_lines(open, row, source)?;
        }
        Ok(())
    })
}

fn totals(open: &mut Open, session: i64, source: &SourceCounts) -> QueryResult<i64> {
    let upsert = "INSERT INTO executor.sources (session_id, name, lines, events, bad_lines, unheard) \
                  VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (session_id, executor.digest_of(name)) \
                  DO UPDATE SET lines = greatest(sources.lines, excluded.lines), \
                    events = greatest(sources.events, excluded.events), \
                    bad_lines = greatest(sources.bad_lines, excluded.bad_lines), \
                    unheard = greatest(sources.unheard, excluded.unheard) RETURNING id AS number";
    let row: Number = diesel::sql_query(upsert)
        .bind::<BigInt, _>(session)
        .bind::<Text, _>(text(&source.name))
        .bind::<BigInt, _>(count(source.lines))
        .bind::<BigInt, _>(count(source.events))
        .bind::<BigInt, _>(count(source.bad_lines))
        .bind::<BigInt, _>(count(source.unheard))
        .get_result(open.connection())?;
    Ok(row.number)
}

fn topics(open: &mut Open, row: i64, source: &SourceCounts) -> QueryResult<()> {
    let upsert = "INSERT INTO executor.source_topics (source_id, hour_us, topic, count) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (source_id, hour_us, executor.digest_of(topic)) \
                  DO UPDATE SET count = greatest(source_topics.count, excluded.count)";
    for unheard in &source.topics {
        diesel::sql_query(upsert)
            .bind::<BigInt, _>(row)
            .bind::<BigInt, _>(unheard.hour_at.as_micros())
            .bind::<Text, _>(text(&unheard.topic))
            .bind::<BigInt, _>(count(unheard.count))
            .execute(open.connection())?;
    }
    Ok(())
}

fn bad_lines(open: &mut Open, row: i64, source: &SourceCounts) -> QueryResult<()> {
    let insert = "INSERT INTO executor.source_bad_lines (source_id, line, at_us, problem, text) \
                  VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    for bad in &source.first_bad_lines {
        diesel::sql_query(insert)
            .bind::<BigInt, _>(row)
            .bind::<BigInt, _>(count(bad.line))
            .bind::<BigInt, _>(bad.at.as_micros())
            .bind::<Text, _>(text(&bad.problem))
            .bind::<Text, _>(text(&bad.text))
            .execute(open.connection())?;
    }
    Ok(())
}
