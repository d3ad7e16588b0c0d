//! Rows of rollups as every backend selects them.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::read::question::{QueryError, known_count};
use crate::rollup::entity::EntityKey;
use crate::rollup::tally::Tally;

/// The totals of one listener or job in one hour or day.
#[derive(QueryableByName)]
pub(crate) struct RollupRow {
    #[diesel(embed)]
    pub(crate) key: EntityKey,
    #[diesel(embed)]
    pub(crate) totals: Totals,
}

/// What is added up.
#[derive(QueryableByName)]
pub(crate) struct Totals {
    #[diesel(sql_type = BigInt)]
    pub(crate) start_us: i64,
    #[diesel(sql_type = BigInt)]
    success: i64,
    #[diesel(sql_type = BigInt)]
    error: i64,
    #[diesel(sql_type = BigInt)]
    timed_out: i64,
    #[diesel(sql_type = BigInt)]
    cancelled: i64,
    #[diesel(sql_type = BigInt)]
    panicked: i64,
    #[diesel(sql_type = BigInt)]
    skipped: i64,
    #[diesel(sql_type = BigInt)]
    interrupted: i64,
    #[diesel(sql_type = BigInt)]
    sum_us: i64,
    #[diesel(sql_type = BigInt)]
    max_us: i64,
    #[diesel(sql_type = Binary)]
    sketch: Vec<u8>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_error_us: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
}

impl Totals {
    pub(crate) fn add_to(self, tally: &mut Tally) -> Result<(), QueryError> {
        // In the order of the statuses' numbers.
        let by_status = [
            self.success,
            self.error,
            self.timed_out,
            self.cancelled,
            self.panicked,
            self.skipped,
            self.interrupted,
        ];
        for (count, more) in tally.by_status.iter_mut().zip(by_status) {
            known_count("rollups", self.start_us, "count", more)?;
            *count = count.saturating_add(more);
        }
        tally.sum_us = tally.sum_us.saturating_add(self.sum_us);
        tally.max_us = tally.max_us.max(self.max_us);
        let merged = tally.sketch.merge_encoded(&self.sketch);
        merged.map_err(|_| QueryError::Damaged("a rollup's sketch cannot be read".into()))?;
        if let (Some(at), Some(text)) = (self.last_error_us, self.last_error) {
            tally.note_error(at, || text);
        }
        Ok(())
    }
}
