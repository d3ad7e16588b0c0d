//! The partitions of executions and lines: one for each day (UTC). What belongs to none is in the default partition.

use diesel::QueryResult;
use diesel::connection::SimpleConnection;

use crate::periods::{DAY_US, day_of};
use crate::postgres::transaction::{Connected, writing};
use crate::postgres::writer::Open;

const TABLES: [&str; 2] = ["executions", "execution_lines"];

/// Makes sure that the days of these times have partitions. Failing to is no failure: such rows go to the default
/// partition, and are moved when the day is made.
pub(crate) fn make(open: &mut Open, ended_us: impl Iterator<Item = i64>) {
    let missing = ended_us.map(day_of).filter(|day| !open.days.contains(day));
    let mut missing: Vec<i64> = missing.collect();
    missing.sort_unstable();
    missing.dedup();
    for day in missing {
        let made = TABLES
            .iter()
            .try_for_each(|table| make_one(open, table, day));
        match made {
            Ok(()) => drop(open.days.insert(day)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(
                    error,
                    day,
                    "could not make a day's partition; trying again later"
                );
            }
        }
    }
}

/// Attaching, unlike `PARTITION OF`, lets others insert meanwhile.
fn make_one(open: &mut Open, table: &str, day: i64) -> QueryResult<()> {
    let (Some(from), Some(to)) = (
        day.checked_mul(DAY_US),
        day.checked_add(1).and_then(|next| next.checked_mul(DAY_US)),
    ) else {
        // At the end of time.
        return Ok(());
    };
    // A name has no sign.
    let name = format!("executor.{table}_{}", day.to_string().replace('-', "m"));
    writing(open, |open| {
        open.connection().batch_execute(&format!(
            "SET LOCAL lock_timeout = '100ms'; \
             CREATE TABLE IF NOT EXISTS {name} \
               (LIKE executor.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"
        ))?;
        let attached = format!(
            "SELECT count(*) AS number FROM pg_inherits WHERE inhrelid = '{name}'::regclass"
        );
        let attached: super::Number =
            diesel::RunQueryDsl::get_result(diesel::sql_query(attached), open.connection())?;
        if attached.number > 0 {
            return Ok(());
        }
        open.connection().batch_execute(&format!(
            "WITH moved AS (DELETE FROM executor.{table}_default \
               WHERE ended_us >= {from} AND ended_us < {to} RETURNING *) \
             INSERT INTO {name} SELECT * FROM moved; \
             ALTER TABLE executor.{table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to})"
        ))
    })
}
