//! What a batch changes besides its rows: the counts of hours, the rollups, the session's sign of life. One statement,
//! whichever way the rows are written.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Uuid as SqlUuid};
use executor_core::{ExecutionRecord, SessionId, Status};

use crate::periods::hour_of;
use crate::postgres::memory::{Place, Rollups};
use crate::postgres::sql::{NOW, text};
use crate::rollup::tally::{Run, SPANS_US, Tally};

/// A statement whose values are bound one after the other.
pub(super) type Bound<'q> = BoxedSqlQuery<'q, Pg, SqlQuery>;

/// The number of values that [`Account::bind`] binds.
pub(super) const BOUND: usize = 23;

/// The end of the statement, after the parts that write rows, which come first: `first` is a number that waits for them.
/// All transactions change rows, then hours, then rollups, then sessions. It fails as a whole, by a division by zero, if the rollups are not as they were last seen, or the session
/// is not running where it must be, or the row is
/// another session's, on a server that has taken over.
pub(super) fn accounting(first: &str) -> String {
    format!(
        "hours AS (INSERT INTO executor.session_hours (session_id, hour_us, stored) \
           SELECT $1, h, n FROM unnest($2, $3) AS t(h, n) WHERE {first} >= 0 ORDER BY h ON CONFLICT (session_id, hour_us) \
           DO UPDATE SET stored = session_hours.stored + excluded.stored RETURNING 1), \
         totals AS (SELECT * FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
           AS t(span_us, start_us, entity_id, version, success, error, timed_out, cancelled, panicked, skipped, \
                interrupted, sum_us, max_us, sketch, last_error_us, last_error)), \
         rolled AS (INSERT INTO executor.rollups (session_id, span_us, start_us, entity_id, version, success, error, \
             timed_out, cancelled, panicked, skipped, interrupted, sum_us, max_us, sketch, last_error_us, last_error) \
           SELECT $1, t.* FROM totals t WHERE (SELECT count(*) FROM hours) >= 0 ORDER BY span_us, start_us, entity_id \
           ON CONFLICT (span_us, start_us, entity_id, session_id) DO UPDATE SET version = excluded.version, \
             success = excluded.success, error = excluded.error, timed_out = excluded.timed_out, \
             cancelled = excluded.cancelled, panicked = excluded.panicked, skipped = excluded.skipped, \
             interrupted = excluded.interrupted, sum_us = excluded.sum_us, max_us = excluded.max_us, \
             sketch = excluded.sketch, last_error_us = excluded.last_error_us, last_error = excluded.last_error \
           WHERE rollups.version = excluded.version - 1 RETURNING 1), \
         seen AS (UPDATE executor.sessions SET taken_over = taken_over + $21, seen_us = {NOW} \
           WHERE id = $1 AND session_uuid = $23 AND (status = 'running' OR NOT $22) AND (SELECT count(*) FROM rolled) >= 0 RETURNING 1) \
         SELECT 1 / (SELECT count(*) FROM seen) \
             + 1 / ((SELECT count(*) FROM rolled) = (SELECT count(*) FROM totals))::integer AS ok, \
           coalesce((SELECT array_agg(g) FROM unnest($20) AS g \
             WHERE NOT EXISTS (SELECT FROM executor.listeners l WHERE l.id = g) \
               AND NOT EXISTS (SELECT FROM executor.scheduled_jobs j WHERE j.id = g)), '{{}}') AS detached, \
           CASE WHEN current_setting('synchronous_commit') = 'off' \
             THEN set_config('synchronous_commit', 'on', true) END AS commits"
    )
}

/// The entities of the batch that have no registration.
#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Array<BigInt>)]
    detached: Vec<i64>,
}

/// Runs a statement that ends with [`accounting`], and returns the entities without a registration.
pub(super) fn ask(
    statement: Bound<'_>,
    connection: &mut PgConnection,
) -> QueryResult<HashSet<i64>> {
    let answer: Answer = statement.get_result(connection)?;
    Ok(answer.detached.into_iter().collect())
}

/// What new rows of a session add.
pub(super) struct Account {
    session: i64,
    name: SessionId,
    hours: BTreeMap<i64, i64>,
    /// What they add to rollups.
    added: BTreeMap<Place, Tally>,
    entities: BTreeSet<i64>,
}

impl Account {
    /// `rows` are the new ones, with the ids of their entities.
    pub(super) fn of<'r>(
        session: i64,
        name: SessionId,
        rows: impl Iterator<Item = (&'r ExecutionRecord, i64)>,
    ) -> Self {
        let mut account = Self {
            session,
            name,
            hours: BTreeMap::new(),
            added: BTreeMap::new(),
            entities: BTreeSet::new(),
        };
        rows.for_each(|(record, entity)| account.add(record, entity));
        account
    }

    fn add(&mut self, record: &ExecutionRecord, entity: i64) {
        let went_well = matches!(record.status, Status::Success | Status::Skipped);
        let failure = record.failure.as_deref().filter(|_| !went_well);
        let error = failure.map(|it| format!("{}: {}", text(&it.error_type), text(&it.message)));
        let ended_us = record.ended_at().as_micros();
        let run = Run {
            status: record.status,
            ended_us,
            duration_us: executor_core::time::micros(record.duration),
            error: error.as_deref(),
        };
        *self.hours.entry(hour_of(ended_us)).or_default() += 1;
        self.entities.insert(entity);
        for span in SPANS_US {
            let start = ended_us.div_euclid(span).saturating_mul(span);
            self.added
                .entry((span, start, entity))
                .or_default()
                .add(&run);
        }
    }

    /// The rollups that it changes.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.added.keys()
    }

    /// Names entities of which it is to be said whether they have a registration.
    pub(super) fn ask_of(&mut self, entities: impl Iterator<Item = i64>) {
        self.entities.extend(entities);
    }

    /// Adds what is known to what is new, and notes that as known: it is what the rollups will be. Whatever goes wrong
    /// after this, the rollups must be forgotten.
    pub(super) fn bind<'q>(
        self,
        statement: String,
        known: &mut Rollups,
        taken_over: i64,
        must_run: bool,
    ) -> Bound<'q> {
        let (hours, counts): (Vec<i64>, Vec<i64>) = self.hours.into_iter().unzip();
        let statement = diesel::sql_query(statement)
            .into_boxed::<Pg>()
            .bind::<BigInt, _>(self.session)
            .bind::<Array<BigInt>, _>(hours)
            .bind::<Array<BigInt>, _>(counts);
        let mut columns = Columns::default();
        for (place, tally) in self.added {
            columns.add(place, known.add(self.session, place, &tally));
        }
        columns
            .bind(statement)
            .bind::<Array<BigInt>, _>(Vec::from_iter(self.entities))
            .bind::<BigInt, _>(taken_over)
            .bind::<Bool, _>(must_run)
            .bind::<SqlUuid, _>(*self.name.as_uuid())
    }
}

/// Rollups, column by column.
#[derive(Default)]
struct Columns {
    spans: Vec<i64>,
    starts: Vec<i64>,
    entities: Vec<i64>,
    versions: Vec<i64>,
    by_status: [Vec<i64>; Status::ALL.len()],
    sums: Vec<i64>,
    longest: Vec<i64>,
    sketches: Vec<Vec<u8>>,
    errors_at: Vec<Option<i64>>,
    errors: Vec<Option<String>>,
}

impl Columns {
    fn add(&mut self, (span, start, entity): Place, (version, total): (i64, &Tally)) {
        self.spans.push(span);
        self.starts.push(start);
        self.entities.push(entity);
        self.versions.push(version);
        for (column, count) in self.by_status.iter_mut().zip(total.by_status) {
            column.push(count);
        }
        self.sums.push(total.sum_us);
        self.longest.push(total.max_us);
        self.sketches.push(total.sketch.encode());
        let last = total.last_error.as_ref();
        self.errors_at.push(last.map(|(at, _)| *at));
        self.errors.push(last.map(|(_, text)| text.clone()));
    }

    fn bind(self, statement: Bound<'_>) -> Bound<'_> {
        let [
            success,
            error,
            timed_out,
            cancelled,
            panicked,
            skipped,
            interrupted,
        ] = self.by_status;
        statement
            .bind::<Array<BigInt>, _>(self.spans)
            .bind::<Array<BigInt>, _>(self.starts)
            .bind::<Array<BigInt>, _>(self.entities)
            .bind::<Array<BigInt>, _>(self.versions)
            .bind::<Array<BigInt>, _>(success)
            .bind::<Array<BigInt>, _>(error)
            .bind::<Array<BigInt>, _>(timed_out)
            .bind::<Array<BigInt>, _>(cancelled)
            .bind::<Array<BigInt>, _>(panicked)
            .bind::<Array<BigInt>, _>(skipped)
            .bind::<Array<BigInt>, _>(interrupted)
            .bind::<Array<BigInt>, _>(self.sums)
            .bind::<Array<BigInt>, _>(self.longest)
            .bind::<Array<Binary>, _>(self.sketches)
            .bind::<Array<Nullable<BigInt>>, _>(self.errors_at)
            .bind::<Array<Nullable<Text>>, _>(self.errors)
    }
}
