//! Writes rows. Each function is one request, and its transaction.

mod account;
pub(crate) mod actions;

pub(crate) mod days;

pub(crate) mod entities;

mod fast;

pub(crate) mod gaps;

pub(crate) mod missed;

mod old_history;

pub(crate) mod old_lines;

pub(crate) mod persist;

pub(crate) mod prune;

pub(crate) mod registration;

pub(crate) mod rolled_back;

mod rollup;

mod rows;

pub(crate) mod schedules;

pub(crate) mod session;

mod showing;

pub(crate) mod sources;

mod whole_days;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use executor_core::ExecutionRecord;

/// One number.
#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// A record, and the id of its entity.
type Row<'r> = (&'r ExecutionRecord, i64);

/// A count as columns hold it.
fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
