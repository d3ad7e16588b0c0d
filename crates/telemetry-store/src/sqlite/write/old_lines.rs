//! Deletes what executions said, a slice at a time, and finds out how much of it is too much. The executions stay.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{LinesBound, LinesBudget, PruneRule, PruneSlice};
use executor_core::{EntityKind, RegistrationId, RowId, Timestamp};

use crate::sqlite::schema::execution_lines;

/// Rows whose sizes are read in one go: some milliseconds' work, between which others have their turn.
const SIZES_AT_ONCE: i64 = 200;

/// Rows deleted before looking how many pages that has freed: each may have had sixteen.
const ROWS_AT_ONCE: usize = 16;

/// Deletes the lines of executions, until that is enough, and returns the ids of these. They are looked for once: those of
/// one listener may lie far apart.
pub(crate) fn forget(
    connection: &mut SqliteConnection,
    slice: PruneSlice,
    mut is_enough: impl FnMut(&mut SqliteConnection) -> QueryResult<bool>,
) -> QueryResult<Vec<i64>> {
    let mut ids = next(connection, slice.rule, slice.max_rows.into())?;
    let mut gone = 0;
    while gone < ids.len() {
        let some = &ids[gone..ids.len().min(gone + ROWS_AT_ONCE)];
        let lines = execution_lines::table.filter(execution_lines::id.eq_any(some));
        diesel::delete(lines).execute(connection)?;
        gone += some.len();
        if is_enough(connection)? {
            break;
        }
    }
    ids.truncate(gone);
    Ok(ids)
}

fn next(connection: &mut SqliteConnection, rule: PruneRule, most: i64) -> QueryResult<Vec<i64>> {
    // A row's id is never before the time at which its execution ended.
    let until = match rule {
        PruneRule::LinesBefore(at) => at.as_micros().saturating_sub(1),
        PruneRule::LinesUntil(LinesBound { of: None, until }) => until.as_micros(),
        PruneRule::LinesUntil(LinesBound {
            of: Some(of),
            until,
        }) => return of_one(connection, of, until, most),
        _ => return Ok(Vec::new()),
    };
    execution_lines::table
        .select(execution_lines::id)
        .filter(execution_lines::id.le(until))
        .order(execution_lines::id)
        .limit(most)
        .load(connection)
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Goes through the executions, by their index: lines of others may be many.
fn of_one(
    connection: &mut SqliteConnection,
    of: RegistrationId,
    until: Timestamp,
    most: i64,
) -> QueryResult<Vec<i64>> {
    let column = match of.kind {
        EntityKind::Listener => "listener_id",
        EntityKind::Job => "job_id",
    };
    let question = format!(
        "SELECT e.id FROM executions e CROSS JOIN execution_lines l ON l.id = e.id \
         WHERE e.{column} = ?2 AND e.id <= ?1 ORDER BY e.id LIMIT ?3"
    );
    let ids: Vec<Id> = diesel::sql_query(question)
        .bind::<BigInt, _>(until.as_micros())
        .bind::<BigInt, _>(of.row.get())
        .bind::<BigInt, _>(most)
        .load(connection)?;
    Ok(ids.into_iter().map(|row| row.id).collect())
}

/// Adds up sizes, from the latest row backwards.
pub(crate) struct LineSizes {
    budget: LinesBudget,
    before: i64,
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    listener_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    job_id: Option<i64>,
}

impl Size {
    fn registration(&self) -> Option<RegistrationId> {
        let listener = self.listener_id.map(RowId::new);
        let job = self.job_id.map(RowId::new);
        let listener = listener.map(RegistrationId::listener);
        listener.or_else(|| job.map(RegistrationId::job))
    }
}

impl LineSizes {
    pub(crate) fn new(now: Timestamp, all: u64, of_one: u64) -> Self {
        Self {
            budget: LinesBudget::new(all, of_one),
            before: now.as_micros().saturating_add(1),
        }
    }

    /// Reads the next sizes. Returns whether there may be more.
    pub(crate) fn go_on(&mut self, connection: &mut SqliteConnection) -> QueryResult<bool> {
        // `octet_length` does not read the text itself.
        let sizes: Vec<Size> = diesel::sql_query(
            "SELECT l.id, octet_length(l.body) AS bytes, e.listener_id, e.job_id \
             FROM execution_lines l CROSS JOIN executions e ON e.id = l.id \
             WHERE l.id < ?1 ORDER BY l.id DESC LIMIT ?2",
        )
        .bind::<BigInt, _>(self.before)
        .bind::<BigInt, _>(SIZES_AT_ONCE)
        .load(connection)?;
        for size in &sizes {
            let (at, bytes) = (Timestamp::from_micros(size.id), size.bytes.unsigned_abs());
            if !self.budget.add(at, size.registration(), bytes) {
                return Ok(false);
            }
            self.before = size.id;
        }
        Ok(sizes.len() as i64 == SIZES_AT_ONCE)
    }

    pub(crate) fn bounds(self) -> Vec<LinesBound> {
        self.budget.bounds()
    }
}
