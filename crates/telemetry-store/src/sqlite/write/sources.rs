//! What was read from sources of events.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::SourceCounts;

use crate::sqlite::schema::{source_bad_lines, sources};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::session;

pub(crate) fn note(connection: &mut SqliteConnection, noted: &[SourceCounts]) -> QueryResult<()> {
    immediate(connection, |connection| {
        for source in noted {
            let session = session::row_of(connection, source.session)?;
            let session = session.ok_or(diesel::result::Error::NotFound)?;
            let row = totals(connection, session, source)?;
            topics(connection, row, source)?;
            bad_lines(connection, row, source)?;
        }
        Ok(())
    })
}

/// Totals only grow: an older call may arrive after a newer one.
fn totals(
    connection: &mut SqliteConnection,
    session: i64,
    source: &SourceCounts,
) -> QueryResult<i64> {
    diesel::sql_query(
        "INSERT INTO sources (session_id, name, lines, events, bad_lines, unheard) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (session_id, name) DO UPDATE SET lines = max(lines, excluded.lines), \
         events = max(events, excluded.events), bad_lines = max(bad_lines, excluded.bad_lines), \
         unheard = max(unheard, excluded.unheard)",
    )
    .bind::<BigInt, _>(session)
    .bind::<Text, _>(&*source.name)
    .bind::<BigInt, _>(stored(source.lines))
    .bind::<BigInt, _>(stored(source.events))
    .bind::<BigInt, _>(stored(source.bad_lines))
    .bind::<BigInt, _>(stored(source.unheard))
    .execute(connection)?;
    sources::table
        .filter(sources::session_id.eq(session))
        .filter(sources::name.eq(&*source.name))
        .select(sources::id)
        .first(connection)
}

fn topics(connection: &mut SqliteConnection, row: i64, source: &SourceCounts) -> QueryResult<()> {
    for unheard in &source.topics {
        diesel::sql_query(
            "INSERT INTO source_topics (source_id, hour_us, topic, count) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (source_id, hour_us, topic) \
             DO UPDATE SET count = max(count, excluded.count)",
        )
        .bind::<BigInt, _>(row)
        .bind::<BigInt, _>(unheard.hour_at.as_micros())
        .bind::<Text, _>(&*unheard.topic)
        .bind::<BigInt, _>(stored(unheard.count))
        .execute(connection)?;
    }
    Ok(())
}

fn bad_lines(
    connection: &mut SqliteConnection,
    row: i64,
    source: &SourceCounts,
) -> QueryResult<()> {
    for bad in &source.first_bad_lines {
        diesel::insert_or_ignore_into(source_bad_lines::table)
            .values((
                source_bad_lines::source_id.eq(row),
                source_bad_lines::line.eq(stored(bad.line)),
                source_bad_lines::at_us.eq(bad.at.as_micros()),
                source_bad_lines::problem.eq(&bad.problem),
                source_bad_lines::text.eq(&bad.text),
            ))
            .execute(connection)?;
    }
    Ok(())
}

fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
