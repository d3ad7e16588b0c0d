//! Records episodes of loss, and checks the store's health. Pruning is in [`crate::sqlite::write::prune`].

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use executor_core::Entity;
use executor_core::ports::Gap;

use crate::codes::code_of;
use crate::sqlite::schema::{gap_entities, gaps, sessions};
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::session;

/// Writes episodes of loss, and replaces the counts of those that exist. An episode of a session
/// without a row could not be shown and is an error.
pub(crate) fn record_gaps(connection: &mut SqliteConnection, episodes: &[Gap]) -> QueryResult<()> {
    immediate(connection, |connection| {
        for episode in episodes {
            record_gap(connection, episode)?;
        }
        Ok(())
    })
}

fn record_gap(connection: &mut SqliteConnection, episode: &Gap) -> QueryResult<()> {
    let session = session::row_of(connection, episode.session)?;
    let session = session.ok_or(diesel::result::Error::NotFound)?;
    let count = i64::try_from(episode.count).unwrap_or(i64::MAX);
    let columns = (
        gaps::count.eq(count),
        gaps::last_us.eq(episode.last_at.as_micros()),
    );
    let gap: i64 = diesel::insert_into(gaps::table)
        .values((
            gaps::session_id.eq(session),
            gaps::reason.eq(episode.reason.as_str()),
            gaps::first_us.eq(episode.first_at.as_micros()),
            columns,
        ))
        .on_conflict((gaps::session_id, gaps::reason, gaps::first_us))
        .do_update()
        .set(columns)
        .returning(gaps::id)
        .get_result(connection)?;
    diesel::delete(gap_entities::table.filter(gap_entities::gap_id.eq(gap))).execute(connection)?;
    for (entity, count) in &episode.entities {
        record_gap_entity(connection, gap, entity, *count)?;
    }
    Ok(())
}

fn record_gap_entity(
    connection: &mut SqliteConnection,
    gap: i64,
    entity: &Entity,
    count: u64,
) -> QueryResult<()> {
    diesel::insert_into(gap_entities::table)
        .values((
            gap_entities::gap_id.eq(gap),
            gap_entities::kind.eq(code_of(entity.kind)),
            gap_entities::app_key.eq(&entity.app_key),
            gap_entities::instance.eq(i64::from(entity.instance)),
            gap_entities::name.eq(&entity.name),
            gap_entities::topic.eq(&entity.topic),
            gap_entities::count.eq(i64::try_from(count).unwrap_or(i64::MAX)),
        ))
        .execute(connection)?;
    Ok(())
}

/// Takes the write lock and reads a table: an open file alone proves neither.
pub(crate) fn health(connection: &mut SqliteConnection) -> QueryResult<()> {
    immediate(connection, |connection| {
        sessions::table
            .count()
            .get_result::<i64>(connection)
            .map(drop)
    })
}
