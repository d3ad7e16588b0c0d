//! Rows of what was pruned, and what they say.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use executor_core::Timestamp;
use executor_core::ports::StoredPrune;

use crate::read::question::{QueryError, known_count};
use crate::read::rows::schedule::session_of;

#[derive(QueryableByName)]
pub(crate) struct PruneRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = Text)]
    rule: String,
    #[diesel(sql_type = BigInt)]
    hour_us: i64,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    first_us: i64,
    #[diesel(sql_type = BigInt)]
    last_us: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    session_uuid: Option<Vec<u8>>,
}

impl PruneRow {
    pub(crate) fn into_prune(self) -> Result<StoredPrune, QueryError> {
        Ok(StoredPrune {
            session: session_of(self.session_uuid.as_deref())?,
            rule: self.rule,
            hour_at: Timestamp::from_micros(self.hour_us),
            count: known_count("prunes", self.id, "count", self.count)?,
            first_at: Timestamp::from_micros(self.first_us),
            last_at: Timestamp::from_micros(self.last_us),
        })
    }
}
