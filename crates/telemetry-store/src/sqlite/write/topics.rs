//! The topics of events whose listeners have patterns. Each text is kept once, for as long as a row refers to it.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::ExecutionRecord;

use crate::sqlite::read::stored::listed;
use crate::sqlite::schema::topics;

/// Returns the rows of a batch's topics. Writes those that are missing, inside the caller's transaction.
pub(crate) fn rows_of<'r>(
    connection: &mut SqliteConnection,
    records: &'r [ExecutionRecord],
) -> QueryResult<HashMap<&'r str, i64>> {
    let mut rows = HashMap::new();
    for topic in records.iter().filter_map(|record| record.topic.as_deref()) {
        if !rows.contains_key(topic) {
            rows.insert(topic, row_of(connection, topic)?);
        }
    }
    Ok(rows)
}

fn row_of(connection: &mut SqliteConnection, topic: &str) -> QueryResult<i64> {
    let known = topics::table.filter(topics::text.eq(topic));
    let known = known.select(topics::id).first(connection).optional()?;
    known.map_or_else(
        || {
            diesel::insert_into(topics::table)
                .values(topics::text.eq(topic))
                .returning(topics::id)
                .get_result(connection)
        },
        Ok,
    )
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Nullable<BigInt>)]
    topic_id: Option<i64>,
}

/// Returns the topics of these executions, as [`forget`] takes them.
pub(crate) fn of(connection: &mut SqliteConnection, ids: &[i64]) -> QueryResult<Vec<i64>> {
    let question = format!(
        "SELECT DISTINCT topic_id FROM executions WHERE id IN ({}) AND topic_id IS NOT NULL",
        listed(ids)
    );
    let named: Vec<Named> = diesel::sql_query(question).load(connection)?;
    Ok(named.into_iter().filter_map(|row| row.topic_id).collect())
}

/// Deletes those of these topics to which no row refers any more: otherwise a topic for each event would fill the
/// database.
pub(crate) fn forget(connection: &mut SqliteConnection, topics: &[i64]) -> QueryResult<()> {
    if topics.is_empty() {
        return Ok(());
    }
    let question = format!(
        "DELETE FROM topics WHERE id IN ({}) \
         AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.topic_id = topics.id)",
        listed(topics)
    );
    diesel::sql_query(question).execute(connection).map(drop)
}
