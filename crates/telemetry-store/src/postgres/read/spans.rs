//! Stretches of time to ask one after the other, so that each statement touches few days: one that touches four hundred is
//! planned for 40 ms.

use std::ops::Range;

use diesel::prelude::*;
use diesel::sql_types::Text;
use executor_core::ports::Order;

use crate::periods::DAY_US;

/// The days that have partitions, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Days(Vec<i64>);

#[derive(QueryableByName)]
struct Partition {
    #[diesel(sql_type = Text)]
    name: String,
}

impl Days {
    /// Reads which days a table has.
    pub(crate) fn read(connection: &mut PgConnection, table: &'static str) -> QueryResult<Self> {
        let question = "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                        WHERE i.inhparent = to_regclass($1)";
        let partitions: Vec<Partition> = diesel::sql_query(question)
            .bind::<Text, _>(format!("executor.{table}"))
            .load(connection)?;
        let days = partitions
            .iter()
            .filter_map(|it| number_of(it.name.strip_prefix(table)?));
        Ok(Self::of(days.collect()))
    }

    pub(crate) fn of(mut days: Vec<i64>) -> Self {
        days.sort_unstable();
        Self(days)
    }

    /// The time from the beginning of the first day to the end of the last.
    pub(crate) fn whole(&self) -> Option<Range<i64>> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        Some(begin_of(*first)..begin_of(last.saturating_add(1)))
    }

    /// The days that end before a time, the oldest first.
    pub(crate) fn until(&self, before: i64) -> Vec<i64> {
        let ends = |day: &&i64| begin_of(day.saturating_add(1)) <= before;
        self.0.iter().take_while(ends).copied().collect()
    }

    /// Divides a time, in the order in which it is asked: two days, then four, then eight. The outermost parts reach to
    /// its bounds, and with them to what belongs to no day.
    pub(crate) fn spans(&self, window: &Range<i64>, order: Order) -> Vec<Range<i64>> {
        if window.is_empty() {
            return Vec::new();
        }
        let touched = self.0.iter().map(|day| begin_of(*day));
        let mut begins: Vec<i64> = touched
            .filter(|at| window.contains(at) && *at > window.start)
            .collect();
        if order == Order::LatestFirst {
            begins.reverse();
        }
        let (mut at, mut many) = (1, 2);
        let mut cuts = Vec::new();
        while let Some(cut) = begins.get(at) {
            cuts.push(*cut);
            many = (many * 2).min(begins.len());
            at += many;
        }
        let mut spans = Vec::with_capacity(cuts.len() + 1);
        let mut rest = window.clone();
        for cut in cuts {
            match order {
                Order::LatestFirst => {
                    spans.push(cut..rest.end);
                    rest.end = cut;
                }
                Order::OldestFirst => {
                    spans.push(rest.start..cut);
                    rest.start = cut;
                }
            }
        }
        spans.push(rest);
        spans
    }
}

const fn begin_of(day: i64) -> i64 {
    day.saturating_mul(DAY_US)
}

/// The number of a day, as the end of a partition's name has it.
fn number_of(end: &str) -> Option<i64> {
    let digits = end.strip_prefix('_')?;
    match digits.strip_prefix('m') {
        Some(digits) => digits.parse::<i64>().ok().map(|day| -day),
        None => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
