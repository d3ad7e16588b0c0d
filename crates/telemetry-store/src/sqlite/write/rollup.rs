//! Hourly and daily counts and durations, kept beside the rows and after they are gone.
//!
//! Rows are rolled up in the order of their ids, some time after they were written. The same transaction
//! moves the mark in `rollup_progress`, so a crash leaves rows that are not rolled up yet, but never counts
//! a row twice. Queries read the rollups and the rows beyond the mark. The transaction that writes a late
//! row, one below the mark, rolls it up itself.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use executor_core::{EntityKind, Status};

use crate::codes::kind_of;
use crate::rollup::entity::EntityKey;
use crate::rollup::tally::{Run, SPANS_US, Tally};
use crate::sqlite::schema::{rollup_entities, rollup_progress, rollups};
use crate::sqlite::transaction::immediate;

/// The number of rows that one transaction rolls up, or one query counts, at a time: some 20 ms.
pub(crate) const SLICE: i64 = 20_000;

/// What one row adds.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Line {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) kind: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) status: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) ended_us: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) duration_us: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) parent: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) last_error: Option<String>,
}

/// Selects the columns of a line; the caller appends the condition.
pub(crate) const LINES: &str = "
SELECT e.id, e.kind, e.status, e.start_us + e.duration_us AS ended_us, e.duration_us,
       coalesce(e.listener_id, e.job_id) AS parent,
       CASE WHEN e.status NOT IN (0, 5) THEN
           (SELECT x.error_type || ': ' || x.error_message FROM execution_errors x WHERE x.id = e.id)
       END AS last_error
FROM executions e ";

impl Line {
    /// What it adds, if this program knows its status and its kind.
    pub(crate) fn run(&self) -> Option<Run<'_>> {
        let status = Status::from_code(self.status).filter(|_| kind_of(self.kind).is_some())?;
        Some(Run {
            status,
            ended_us: self.ended_us,
            duration_us: self.duration_us,
            error: self.last_error.as_deref(),
        })
    }
}

/// Finds the listener or job that a row belongs to, and caches the answers.
#[derive(Default)]
pub(crate) struct Entities {
    known: HashMap<(i64, i64), EntityKey>,
}

impl Entities {
    /// The key of what a row belongs to.
    pub(crate) fn key_of(
        &mut self,
        connection: &mut SqliteConnection,
        line: &Line,
    ) -> QueryResult<EntityKey> {
        let Some(parent) = line.parent else {
            let orphan = orphan(connection, line)?;
            return Ok(orphan.unwrap_or_else(|| EntityKey::nobody(line.kind)));
        };
        if let Some(key) = self.known.get(&(line.kind, parent)) {
            return Ok(key.clone());
        }
        let key = registered(connection, line.kind, parent)?;
        let key = key.unwrap_or_else(|| EntityKey::nobody(line.kind));
        self.known.insert((line.kind, parent), key.clone());
        Ok(key)
    }
}

/// The key of a registration, by its row.
pub(crate) fn registered(
    connection: &mut SqliteConnection,
    kind: i64,
    id: i64,
) -> QueryResult<Option<EntityKey>> {
    let question = match kind_of(kind) {
        Some(EntityKind::Listener) => {
            "SELECT 0 AS kind, app_key, instance, name, topic FROM listeners WHERE id = ?1"
        }
        Some(EntityKind::Job) => {
            "SELECT 1 AS kind, app_key, instance, name, '' AS topic FROM scheduled_jobs WHERE id = ?1"
        }
        None => return Ok(None),
    };
    let row = diesel::sql_query(question).bind::<BigInt, _>(id);
    row.get_result(connection).optional()
}

fn orphan(connection: &mut SqliteConnection, line: &Line) -> QueryResult<Option<EntityKey>> {
    diesel::sql_query(
        "SELECT ?2 AS kind, app_key, instance, name, coalesce(topic, '') AS topic \
         FROM execution_orphans WHERE id = ?1",
    )
    .bind::<BigInt, _>(line.id)
    .bind::<BigInt, _>(line.kind)
    .get_result(connection)
    .optional()
}

/// Returns the mark: rows up to this id are in the rollups.
pub(crate) fn rolled_up_to(connection: &mut SqliteConnection) -> QueryResult<i64> {
    rollup_progress::table
        .select(rollup_progress::rolled_up_to)
        .first(connection)
}

/// Rolls up the next slice. Returns `true` if there may be more.
pub(crate) fn roll_up(connection: &mut SqliteConnection) -> QueryResult<bool> {
    immediate(connection, roll_up_slice)
}

/// Rolls up the next slice inside the caller's transaction. Returns `true` if there may be more.
fn roll_up_slice(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let from = rolled_up_to(connection)?;
    let lines: Vec<Line> = diesel::sql_query(format!(
        "{LINES} WHERE e.id > ?1 ORDER BY e.id LIMIT {SLICE}"
    ))
    .bind::<BigInt, _>(from)
    .load(connection)?;
    // Stops before a row that this program does not understand, so that queries still meet it.
    let known = lines.iter().take_while(|line| line.run().is_some());
    let lines = &lines[..known.count()];
    let Some(last) = lines.last() else {
        return Ok(false);
    };
    add(connection, lines)?;
    diesel::update(rollup_progress::table)
        .set(rollup_progress::rolled_up_to.eq(last.id))
        .execute(connection)?;
    Ok(lines.len() as i64 == SLICE)
}

/// Rolls up those of the written rows that lie below the mark and would be passed over. Runs inside the
/// caller's transaction, which has just written them.
pub(crate) fn roll_up_late(
    connection: &mut SqliteConnection,
    written: impl Iterator<Item = i64>,
) -> QueryResult<()> {
    let up_to = rolled_up_to(connection)?;
    let late: Vec<i64> = written.filter(|id| *id <= up_to).collect();
    add_each(connection, &late)
}

/// Rolls up rows that the caller's transaction is about to delete. `ids` must be sorted, the lowest first.
pub(crate) fn roll_up_before_deleting(
    connection: &mut SqliteConnection,
    ids: &[i64],
) -> QueryResult<()> {
    let last = ids.last().copied().unwrap_or(i64::MIN);
    while rolled_up_to(connection)? < last && roll_up_slice(connection)? {}
    // Rows behind one that this program does not understand are added separately: they will be gone when
    // their turn comes.
    let up_to = rolled_up_to(connection)?;
    let behind: Vec<i64> = ids.iter().copied().filter(|id| *id > up_to).collect();
    add_each(connection, &behind)
}

/// The number of ids in one query.
const IDS_AT_ONCE: usize = 512;

fn add_each(connection: &mut SqliteConnection, ids: &[i64]) -> QueryResult<()> {
    for some in ids.chunks(IDS_AT_ONCE) {
        // Numbers can go into the SQL as they are.
        let some: Vec<String> = some.iter().map(ToString::to_string).collect();
        let question = format!("{LINES} WHERE e.id IN ({})", some.join(", "));
        let lines: Vec<Line> = diesel::sql_query(question).load(connection)?;
        add(connection, &lines)?;
    }
    Ok(())
}

fn add(connection: &mut SqliteConnection, lines: &[Line]) -> QueryResult<()> {
    let mut slots = Slots::default();
    let mut tallies: BTreeMap<(i64, i64, usize), Tally> = BTreeMap::new();
    for line in lines {
        let Some(run) = line.run() else { continue };
        let slot = slots.of(connection, line)?;
        for span in SPANS_US {
            let start = line.ended_us.div_euclid(span) * span;
            let tally = tallies.entry((span, start, slot)).or_default();
            tally.add(&run);
        }
    }
    let mut ids = HashMap::new();
    for ((span, start, slot), tally) in tallies {
        let id = match ids.get(&slot) {
            Some(id) => *id,
            None => entity_id(connection, &slots.keys[slot])?,
        };
        ids.insert(slot, id);
        merge_into(connection, (span, start, id), tally)?;
    }
    Ok(())
}

/// Numbers for the keys of some rows: comparing five columns for each row would take longer than counting it.
#[derive(Default)]
struct Slots {
    entities: Entities,
    keys: Vec<EntityKey>,
    by_key: HashMap<EntityKey, usize>,
    by_row: HashMap<(i64, i64), usize>,
}

impl Slots {
    fn of(&mut self, connection: &mut SqliteConnection, line: &Line) -> QueryResult<usize> {
        let row = line.parent.map(|parent| (line.kind, parent));
        if let Some(slot) = row.and_then(|row| self.by_row.get(&row)) {
            return Ok(*slot);
        }
        let key = self.entities.key_of(connection, line)?;
        let keys = &mut self.keys;
        let slot = *self.by_key.entry(key).or_insert_with_key(|key| {
            keys.push(key.clone());
            keys.len() - 1
        });
        self.by_row.extend(row.map(|row| (row, slot)));
        Ok(slot)
    }
}

fn entity_id(connection: &mut SqliteConnection, key: &EntityKey) -> QueryResult<i64> {
    let columns = (
        rollup_entities::kind.eq(key.kind),
        rollup_entities::app_key.eq(&key.app_key),
        rollup_entities::instance.eq(key.instance),
        rollup_entities::name.eq(&key.name),
        rollup_entities::topic.eq(&key.topic),
    );
    diesel::insert_or_ignore_into(rollup_entities::table)
        .values(columns)
        .execute(connection)?;
    rollup_entities::table
        .filter(rollup_entities::kind.eq(key.kind))
        .filter(rollup_entities::app_key.eq(&key.app_key))
        .filter(rollup_entities::instance.eq(key.instance))
        .filter(rollup_entities::name.eq(&key.name))
        .filter(rollup_entities::topic.eq(&key.topic))
        .select(rollup_entities::id)
        .first(connection)
}

fn merge_into(
    connection: &mut SqliteConnection,
    (span, start, entity): (i64, i64, i64),
    mut tally: Tally,
) -> QueryResult<()> {
    let old: Option<Vec<u8>> = rollups::table
        .filter(rollups::span_us.eq(span))
        .filter(rollups::start_us.eq(start))
        .filter(rollups::entity_id.eq(entity))
        .select(rollups::sketch)
        .first(connection)
        .optional()?;
    if let Some(old) = old {
        let merged = tally.sketch.merge_encoded(&old);
        merged.map_err(|_| damaged("a rollup's sketch cannot be read"))?;
    }
    let sketch = tally.sketch.encode();
    let (error_at, error) = tally.last_error.unzip();
    let counted = Upsert {
        place: [span, start, entity],
        by_status: tally.by_status,
        lengths: [tally.sum_us, tally.max_us],
        sketch,
        error_at,
        error,
    };
    counted.execute(connection).map(drop)
}

/// Adds to the totals of one listener or job in one span. The text never changes, so it is prepared once.
struct Upsert {
    place: [i64; 3],
    by_status: [i64; Status::ALL.len()],
    /// Sum and maximum.
    lengths: [i64; 2],
    sketch: Vec<u8>,
    error_at: Option<i64>,
    error: Option<String>,
}

impl QueryId for Upsert {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<SqliteConnection> for Upsert {}

impl QueryFragment<Sqlite> for Upsert {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(INSERT);
        for number in self
            .place
            .iter()
            .chain(&self.by_status)
            .chain(&self.lengths)
        {
            out.push_bind_param::<BigInt, _>(number)?;
            out.push_sql(", ");
        }
        out.push_bind_param::<Binary, _>(&self.sketch)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<BigInt>, _>(&self.error_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.error)?;
        out.push_sql(ON_CONFLICT);
        Ok(())
    }
}

const INSERT: &str = "
INSERT INTO rollups (span_us, start_us, entity_id, success, error, timed_out, cancelled, panicked,
                     skipped, interrupted, sum_us, max_us, sketch, last_error_us, last_error)
VALUES (";

const ON_CONFLICT: &str = ")
ON CONFLICT (span_us, start_us, entity_id) DO UPDATE SET
    success = success + excluded.success, error = error + excluded.error,
    timed_out = timed_out + excluded.timed_out, cancelled = cancelled + excluded.cancelled,
    panicked = panicked + excluded.panicked, skipped = skipped + excluded.skipped,
    interrupted = interrupted + excluded.interrupted,
    sum_us = sum_us + excluded.sum_us, max_us = max(max_us, excluded.max_us),
    sketch = excluded.sketch,
    last_error = CASE WHEN coalesce(excluded.last_error_us >= last_error_us, excluded.last_error_us IS NOT NULL)
                 THEN excluded.last_error ELSE last_error END,
    last_error_us = max(coalesce(last_error_us, excluded.last_error_us),
                        coalesce(excluded.last_error_us, last_error_us))";

pub(crate) fn damaged(what: &'static str) -> diesel::result::Error {
    diesel::result::Error::DeserializationError(what.into())
}
