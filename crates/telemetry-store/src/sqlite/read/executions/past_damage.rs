//! Finds the ids of executions where an index or a page of the table cannot be read.
//!
//! The table is read in the order of its primary key. Where a page of it is damaged, everything on that page and below
//! it is stepped over: the distance to step grows until something can be read again, and is then halved back to the
//! nearest row.

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use executor_core::Timestamp;
use executor_core::ports::{Filter, Order};

use super::conditions::{Id, of_rows};
use crate::read::paging::{Cursor, direction};
use crate::read::question::QueryError;
use crate::sqlite::classify::is_damage;
use crate::sqlite::read::asked::Asked;

/// The number of ids to read between two readings of the clock.
const SLICE: u32 = 100_000;

/// Returns the ids that can be read, at most `limit`.
pub(crate) fn past_damage(
    asked: &mut Asked<'_>,
    filter: &Filter,
    cursor: Cursor,
    limit: u32,
) -> Result<Vec<i64>, QueryError> {
    let rows = of_rows(asked, filter)?;
    let order = cursor.order;
    let mut table = Table { asked, order };
    let mut found = Vec::new();
    let mut after = cursor.after;
    while found.len() < limit as usize {
        table.asked.deadline.check()?;
        let wanted = limit - found.len() as u32;
        let read = table.read(&rows, after, wanted)?;
        let is_last = read.ids.len() < wanted as usize;
        after = read.ids.last().copied().or(after);
        found.extend(read.ids);
        match read.damage {
            None if is_last => break,
            None => {}
            Some(damage) => match table.step_over(after)? {
                Some(next) => after = Some(next),
                // Nothing at all can be read: there is no answer, rather than an empty one.
                None if found.is_empty() && cursor.after.is_none() => return Err(damage.into()),
                None => break,
            },
        }
    }
    Ok(found)
}

/// What was read until the damage, if there was any.
struct Read {
    ids: Vec<i64>,
    damage: Option<diesel::result::Error>,
}

/// What is found beyond an id.
enum Probe {
    /// The first row there, if there is one.
    Readable(Option<i64>),
    Damaged,
}

struct Table<'a, 'c> {
    asked: &'a mut Asked<'c>,
    order: Order,
}

impl Table<'_, '_> {
    fn read(&mut self, rows: &str, after: Option<i64>, limit: u32) -> Result<Read, QueryError> {
        let beyond = after.map_or(String::new(), |after| self.beyond(after));
        // Without an index, which would be damaged too or not be used at all.
        let question = format!(
            "SELECT e.id FROM executions e NOT INDEXED WHERE {rows}{beyond} \
             ORDER BY e.id {} LIMIT {limit}",
            direction(self.order)
        );
        let question = diesel::sql_query(question);
        let found = question.load_iter::<Id, DefaultLoadingMode>(self.asked.connection);
        let mut read = Read {
            ids: Vec::new(),
            damage: None,
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return read.until(error),
        };
        // A damaged page may lead back to rows that were read already; only what comes next counts.
        let mut position = Cursor {
            order: self.order,
            after,
        };
        for id in found {
            match id {
                Ok(found) if position.is_before(found.id) => {
                    position.after = Some(found.id);
                    read.ids.push(found.id);
                }
                Ok(_) => {}
                Err(error) => return read.until(error),
            }
        }
        Ok(read)
    }

    /// Names the next id itself, on whose page SQLite then begins; that of this one may be damaged.
    fn beyond(&self, id: i64) -> String {
        match self.order {
            Order::LatestFirst => format!(" AND e.id <= {}", id.saturating_sub(1)),
            Order::OldestFirst => format!(" AND e.id >= {}", id.saturating_add(1)),
        }
    }

    /// Finds the first row beyond the damaged page, notes what lies between, and returns the position before that row;
    /// `None` if there is none.
    fn step_over(&mut self, after: Option<i64>) -> Result<Option<i64>, QueryError> {
        let Some(last) = self.last_before_damage(after)? else {
            return Ok(None);
        };
        let from = last.unwrap_or(match self.order {
            Order::LatestFirst => i64::MAX,
            Order::OldestFirst => i64::MIN,
        });
        // The table is damaged `short` beyond the last row, and can be read `far` beyond it.
        let (mut short, mut far) = (0_u64, 1_u64);
        let mut next = loop {
            match self.first_beyond(self.moved(from, far))? {
                Probe::Readable(found) => break found,
                Probe::Damaged if far == u64::MAX => break None,
                // In small steps: between two damaged pages may be one that is whole.
                Probe::Damaged => (short, far) = (far, far.saturating_add(far / 8 + 1)),
            }
        };
        while far - short > 1 {
            let half = short + (far - short) / 2;
            match self.first_beyond(self.moved(from, half))? {
                Probe::Readable(found) => (far, next) = (half, found),
                Probe::Damaged => short = half,
            }
        }
        self.note(last, next);
        Ok(next.map(|next| self.position_before(next)))
    }

    /// The last row before the damage, if there is one: rows that nobody asked for may lie in between. `None` if the
    /// table comes to its end without damage.
    fn last_before_damage(
        &mut self,
        mut after: Option<i64>,
    ) -> Result<Option<Option<i64>>, QueryError> {
        loop {
            self.asked.deadline.check()?;
            let read = self.read("1", after, SLICE)?;
            after = read.ids.last().copied().or(after);
            if read.damage.is_some() {
                return Ok(Some(after));
            }
            if read.ids.is_empty() {
                return Ok(None);
            }
        }
    }

    fn first_beyond(&mut self, id: i64) -> Result<Probe, QueryError> {
        let read = self.read("1", Some(id), 1)?;
        Ok(match (read.ids.first(), read.damage) {
            (None, Some(_)) => Probe::Damaged,
            (found, _) => Probe::Readable(found.copied()),
        })
    }

    /// An id that lies further on in this order.
    fn moved(&self, id: i64, by: u64) -> i64 {
        match self.order {
            Order::LatestFirst => id.saturating_sub_unsigned(by),
            Order::OldestFirst => id.saturating_add_unsigned(by),
        }
    }

    /// The position after which this row is the next.
    fn position_before(&self, id: i64) -> i64 {
        match self.order {
            Order::LatestFirst => id.saturating_add(1),
            Order::OldestFirst => id.saturating_sub(1),
        }
    }

    fn note(&self, last: Option<i64>, next: Option<i64>) {
        let (older, newer) = match self.order {
            Order::LatestFirst => (next, last),
            Order::OldestFirst => (last, next),
        };
        // A row's id is the time at which its execution ended, or soon after it.
        let at = |id: i64| Timestamp::from_micros(id);
        let when = match (older, newer) {
            (Some(older), Some(newer)) => format!("between {} and {}", at(older), at(newer)),
            (Some(older), None) => format!("after {}", at(older)),
            (None, Some(newer)) => format!("before {}", at(newer)),
            (None, None) => "at any time".to_owned(),
        };
        let what = format!("the executions that ended {when} are on a page that cannot be read");
        self.asked.left_out.note(what);
    }
}

impl Read {
    fn until(mut self, error: diesel::result::Error) -> Result<Self, QueryError> {
        if !is_damage(&error) {
            return Err(error.into());
        }
        self.damage = Some(error);
        Ok(self)
    }
}
