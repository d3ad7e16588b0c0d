//! The statement that writes executions: many rows at a time, prepared once.
//!
//! It uses `OR FAIL`, because a multi-row statement that may abort keeps a journal of its own, which
//! costs two fifths of the speed. `ON CONFLICT (execution_id) DO NOTHING` makes it idempotent. Any
//! other broken rule is an error instead of a row that is silently missing.

use diesel::QueryResult;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::sqlite::write::rows::ExecutionRow;

/// Rows in one statement. More gains nothing measurable.
const CHUNK: usize = 32;

/// Writes the rows and calls `written` with each chunk and the number of new rows in it.
///
/// On an error some rows may have been written: the caller must roll its transaction back.
pub(crate) fn insert<'r, 'a>(
    connection: &mut SqliteConnection,
    rows: &'r [ExecutionRow<'a>],
    mut written: impl FnMut(&mut SqliteConnection, &'r [ExecutionRow<'a>], usize) -> QueryResult<()>,
) -> QueryResult<()> {
    let (chunks, rest) = rows.as_chunks::<CHUNK>();
    for chunk in chunks {
        let new = insert_chunk(connection, chunk)?;
        written(connection, chunk, new)?;
    }
    for row in rest.as_chunks::<1>().0 {
        let new = insert_chunk(connection, row)?;
        written(connection, row, new)?;
    }
    Ok(())
}

/// Most rows have none of the columns that are seldom set, and each bound value costs as much as half a column.
fn insert_chunk<const N: usize>(
    connection: &mut SqliteConnection,
    chunk: &[ExecutionRow<'_>; N],
) -> QueryResult<usize> {
    let is_plain = |row: &ExecutionRow<'_>| {
        row.topic_id.is_none() && row.due_us.is_none() && row.exit_code.is_none()
    };
    if chunk.iter().all(is_plain) {
        InsertRows::<N, false>(chunk).execute(connection)
    } else {
        InsertRows::<N, true>(chunk).execute(connection)
    }
}

/// `SELDOM` says whether the columns that are seldom set are bound.
struct InsertRows<'r, 'a, const N: usize, const SELDOM: bool>(&'r [ExecutionRow<'a>; N]);

/// Names the statement for diesel's cache: its text depends on nothing but these two.
struct InsertRowsId<const N: usize, const SELDOM: bool>;

impl<const N: usize, const SELDOM: bool> QueryId for InsertRows<'_, '_, N, SELDOM> {
    type QueryId = InsertRowsId<N, SELDOM>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const N: usize, const SELDOM: bool> RunQueryDsl<SqliteConnection>
    for InsertRows<'_, '_, N, SELDOM>
{
}

impl<const N: usize, const SELDOM: bool> QueryFragment<Sqlite> for InsertRows<'_, '_, N, SELDOM> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "INSERT OR FAIL INTO executions (id, execution_id, kind, status, session_id, \
             listener_id, job_id, start_us, duration_us, flags, blocked_us, retry_count, \
             attempt_number, trigger_id, trigger_origin, trigger_mode, args_json, topic_id, \
             due_us, exit_code) VALUES ",
        );
        for (place, row) in self.0.iter().enumerate() {
            out.push_sql(if place == 0 { "(" } else { ",(" });
            push_row(row, &mut out)?;
            if SELDOM {
                push_seldom(row, &mut out)?;
            } else {
                out.push_sql(",NULL,NULL,NULL");
            }
            out.push_sql(")");
        }
        out.push_sql(" ON CONFLICT (execution_id) DO NOTHING");
        Ok(())
    }
}

fn push_row<'b>(row: &'b ExecutionRow<'_>, out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
    let numbers_1 = [&row.kind, &row.status, &row.session_id];
    let numbers_2 = [&row.start_us, &row.duration_us, &row.flags];
    let numbers_3 = [&row.retry_count, &row.attempt_number];
    let texts = [
        &row.trigger_id,
        &row.trigger_origin,
        &row.trigger_mode,
        &row.args_json,
    ];
    out.push_bind_param::<BigInt, _>(&row.id)?;
    out.push_sql(",");
    out.push_bind_param::<Binary, _>(&row.execution_id)?;
    for number in numbers_1 {
        out.push_sql(",");
        out.push_bind_param::<BigInt, _>(number)?;
    }
    for number in [&row.listener_id, &row.job_id] {
        out.push_sql(",");
        out.push_bind_param::<Nullable<BigInt>, _>(number)?;
    }
    for number in numbers_2 {
        out.push_sql(",");
        out.push_bind_param::<BigInt, _>(number)?;
    }
    out.push_sql(",");
    out.push_bind_param::<Nullable<BigInt>, _>(&row.blocked_us)?;
    for number in numbers_3 {
        out.push_sql(",");
        out.push_bind_param::<BigInt, _>(number)?;
    }
    for text in texts {
        out.push_sql(",");
        out.push_bind_param::<Nullable<Text>, _>(text)?;
    }
    Ok(())
}

fn push_seldom<'b>(
    row: &'b ExecutionRow<'_>,
    out: &mut AstPass<'_, 'b, Sqlite>,
) -> QueryResult<()> {
    for number in [&row.topic_id, &row.due_us, &row.exit_code] {
        out.push_sql(",");
        out.push_bind_param::<Nullable<BigInt>, _>(number)?;
    }
    Ok(())
}
