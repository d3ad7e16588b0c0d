//! How much room the history takes.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::postgres::read::asked::Asked;
use crate::read::question::QueryError;

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// The bytes of all tables of the schema with their indexes and long texts.
pub(crate) fn bytes(asked: &mut Asked<'_>) -> Result<u64, QueryError> {
    let question = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes FROM pg_class c \
                    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'executor' AND c.relkind = 'r'";
    let size: Size = diesel::sql_query(question).get_result(asked.connection)?;
    Ok(size.bytes.unsigned_abs())
}
