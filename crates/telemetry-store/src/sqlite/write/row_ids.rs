//! Assigns a record its row id: its time of recording in microseconds, or a free id above it.
//!
//! Ids in order of time make time, session and retention queries ranges of the primary key, and
//! put new rows at the end of the table, where writing is cheapest. No id lies below its record's time. The
//! database's header keeps the greatest displacement, the most that an id lies above it, and queries widen by it.
//!
//! More than one record per microsecond, a clock that stands still, or one that repeats itself all lead to ids
//! that are taken. The end of such a run is found by doubling steps and then halving them, so the work for a row
//! grows with the logarithm of the run, not with its length.

use std::collections::VecDeque;

use diesel::connection::SimpleConnection;
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::Timestamp;

use crate::sqlite::schema::executions;
use crate::sqlite::transaction::immediate;
use crate::sqlite::write::rollup::{SLICE, rolled_up_to};

/// A row recorded at most this long before the mark gets an id behind it. There it costs nothing, while the
/// transaction that writes a row below the mark also has to roll it up.
const BEHIND_THE_MARK_US: i64 = 1_000_000;

/// The number of taken ids to read at once. One read is enough for a batch at the end of the table.
const WINDOW: usize = 64;

/// Returns the ids for a batch's records, in their order.
///
/// Must be called inside a transaction that holds the write lock, because another process may write too.
pub(crate) fn give_out(
    connection: &mut SqliteConnection,
    recorded: impl Iterator<Item = Timestamp>,
) -> QueryResult<Vec<i64>> {
    let mark = rolled_up_to(connection)?;
    let recorded: Vec<i64> = recorded.map(Timestamp::as_micros).collect();
    // In order of time, so that the taken ids already read also serve the next record. Records with the same time
    // stay in the order in which they were offered.
    let mut order: Vec<usize> = (0..recorded.len()).collect();
    order.sort_by_key(|place| recorded[*place]);
    let mut ids = vec![0; recorded.len()];
    let mut free = FreeIds::new(connection);
    let mut displaced = 0;
    for place in order {
        let wanted = behind_the_mark(recorded[place], mark);
        ids[place] = free.next(wanted)?;
        displaced = displaced.max(ids[place].saturating_sub(recorded[place]));
    }
    keep_displacement(connection, displaced)?;
    Ok(ids)
}

const fn behind_the_mark(recorded: i64, mark: i64) -> i64 {
    let is_just_below = recorded <= mark && recorded >= mark.saturating_sub(BEHIND_THE_MARK_US);
    if is_just_below {
        mark.saturating_add(1)
    } else {
        recorded
    }
}

/// Ids that are free, asked for in rising order.
struct FreeIds<'c> {
    connection: &'c mut SqliteConnection,
    /// The taken ids from `known_from` to `known_to`, except those below the last candidate.
    taken: VecDeque<i64>,
    known_from: i64,
    known_to: i64,
    /// The lowest id that was not given out here.
    next: i64,
}

impl<'c> FreeIds<'c> {
    const fn new(connection: &'c mut SqliteConnection) -> Self {
        Self {
            connection,
            taken: VecDeque::new(),
            // Nothing is known.
            known_from: i64::MAX,
            known_to: i64::MIN,
            next: i64::MIN,
        }
    }

    /// A free id at or above `wanted`, and above all that were given out before.
    fn next(&mut self, wanted: i64) -> QueryResult<i64> {
        let mut candidate = wanted.max(self.next);
        loop {
            if !(self.known_from..=self.known_to).contains(&candidate) {
                self.read_taken(candidate)?;
            }
            candidate = self.behind_taken(candidate);
            if candidate <= self.known_to {
                break;
            }
            // The whole window is taken, and the run may be as long as the table.
            candidate = self.end_of_run(self.known_to)?;
        }
        self.next = candidate.saturating_add(1);
        Ok(candidate)
    }

    /// The first id at or above the candidate that is not known to be taken.
    fn behind_taken(&mut self, mut candidate: i64) -> i64 {
        while let Some(first) = self
            .taken
            .front()
            .copied()
            .filter(|first| *first <= candidate)
        {
            if first == candidate {
                candidate = candidate.saturating_add(1);
            }
            self.taken.pop_front();
        }
        candidate
    }

    /// Reads which ids are taken from here on.
    fn read_taken(&mut self, from: i64) -> QueryResult<()> {
        let taken: Vec<i64> = executions::table
            .filter(executions::id.ge(from))
            .order(executions::id)
            .limit(WINDOW as i64)
            .select(executions::id)
            .load(self.connection)?;
        let is_whole = taken.len() < WINDOW;
        let last = taken.last().copied().unwrap_or(from);
        self.known_from = from;
        self.known_to = if is_whole { i64::MAX } else { last };
        self.taken = taken.into();
        Ok(())
    }

    /// Returns a free id that directly follows a taken one, above `taken`: the end of the run, or one of its holes
    /// if it has any.
    fn end_of_run(&mut self, taken: i64) -> QueryResult<i64> {
        let (mut taken, mut step) = (taken, 1_i64);
        let mut free = loop {
            let candidate = taken.saturating_add(step);
            // No id lies above this one: the write itself will show whether it is taken.
            if candidate == i64::MAX || !self.is_taken(candidate)? {
                break candidate;
            }
            (taken, step) = (candidate, step.saturating_mul(2));
        };
        while free.saturating_sub(taken) > 1 {
            let middle = taken + free.saturating_sub(taken) / 2;
            if self.is_taken(middle)? {
                taken = middle;
            } else {
                free = middle;
            }
        }
        Ok(free)
    }

    fn is_taken(&mut self, id: i64) -> QueryResult<bool> {
        diesel::select(exists(executions::table.find(id))).get_result(self.connection)
    }
}

/// The displacement that every query allows for; a smaller one is not recorded.
const DISPLACEMENT_MIN_US: i64 = 2_000_000;

/// The unit in the header: its 32 bits are enough for weeks in milliseconds.
const UNIT_US: i64 = 1_000;

/// The header's value while no displacement exceeds the minimum. 0 means unknown: the database is older than the
/// recording of displacements. While such a database is being measured, the header has the displacement of rows
/// written since, negated.
const NOTHING_YET: i64 = 1;

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// Returns how far a row's id may lie above the time at which its execution ended, in microseconds.
pub(crate) fn displacement(connection: &mut SqliteConnection) -> QueryResult<i64> {
    Ok(kept(connection)?
        .saturating_abs()
        .saturating_mul(UNIT_US)
        .max(DISPLACEMENT_MIN_US))
}

/// Initialises the header, inside the transaction that creates a database.
pub(crate) fn displaces_nothing_yet(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute(&format!("PRAGMA user_version = {NOTHING_YET}"))
}

/// Measures the displacement in a database whose header is 0, a slice of rows at a time.
pub(crate) struct Measuring {
    from: i64,
    displaced_us: i64,
}

#[derive(QueryableByName)]
struct Slice {
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    displaced: Option<i64>,
}

impl Measuring {
    pub(crate) const fn new() -> Self {
        Self {
            from: i64::MIN,
            displaced_us: 0,
        }
    }

    /// Measures the next slice. Returns the work that is left; `None` once the header has the displacement.
    pub(crate) fn go_on(mut self, connection: &mut SqliteConnection) -> QueryResult<Option<Self>> {
        if kept(connection)? > 0 {
            return Ok(None);
        }
        let slice: Slice = diesel::sql_query(format!(
            "SELECT max(id) AS last, max(id - start_us - duration_us) AS displaced FROM \
             (SELECT id, start_us, duration_us FROM executions WHERE id > ?1 ORDER BY id LIMIT {SLICE})"
        ))
        .bind::<BigInt, _>(self.from)
        .get_result(connection)?;
        self.displaced_us = self.displaced_us.max(slice.displaced.unwrap_or(0));
        if let Some(last) = slice.last {
            self.from = last;
            return Ok(Some(self));
        }
        immediate(connection, |connection| {
            let since = kept(connection)?;
            if since <= 0 {
                let units = NOTHING_YET.max(since.saturating_abs());
                connection.batch_execute(&format!("PRAGMA user_version = {units}"))?;
                keep_displacement(connection, self.displaced_us)?;
            }
            Ok(None)
        })
    }
}

/// Returns whether the header has a value in the place where ours has the displacement.
pub(crate) fn has_version(connection: &mut SqliteConnection) -> QueryResult<bool> {
    Ok(kept(connection)? != 0)
}

fn kept(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let question = "SELECT user_version AS value FROM pragma_user_version";
    let found: Value = diesel::sql_query(question).get_result(connection)?;
    Ok(found.value)
}

/// Records a displacement, inside the transaction that writes the row.
fn keep_displacement(connection: &mut SqliteConnection, displaced_us: i64) -> QueryResult<()> {
    // Nearly always true, and then the header is not even read.
    if displaced_us <= DISPLACEMENT_MIN_US {
        return Ok(());
    }
    let units = displaced_us.saturating_add(UNIT_US - 1) / UNIT_US;
    let units = units.min(i64::from(i32::MAX));
    let kept = kept(connection)?;
    if units <= kept.saturating_abs() {
        return Ok(());
    }
    // Adds half as much again, so that a long burst does not write the header with each batch.
    let units = (units + units / 2).min(i64::from(i32::MAX));
    let units = if kept > 0 { units } else { -units };
    connection.batch_execute(&format!("PRAGMA user_version = {units}"))
}

#[cfg(test)]
mod tests;
