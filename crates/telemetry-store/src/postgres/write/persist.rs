//! Stores a batch in one transaction and returns a fate for every record.
//!
//! All rows are written at once. If one of them breaks a rule, everything is rolled back and written again row by row,
//! each in a savepoint, so that a bad row costs no other.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text};
use executor_core::ports::{Batch, Fate};
use executor_core::{DropReason, ErrorClass, ExecutionRecord};
use uuid::Uuid;

use crate::periods::hour_of;
use crate::postgres::classify::{class_of, may_be_of_a_row};
use crate::postgres::open::Open;
use crate::postgres::transaction::{Connected, savepoint, writing};
use crate::postgres::write::rows::{Executions, LinesOf};
use crate::postgres::write::{Number, days, entities, rollup, session};

type Row<'r> = (&'r ExecutionRecord, i64);

/// What became of rows, by their names.
#[derive(Default)]
struct Written {
    /// With their ends.
    new: HashMap<Uuid, i64>,
    set_aside: HashMap<Uuid, (DropReason, String)>,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    name: Uuid,
}

#[derive(QueryableByName)]
struct New {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    name: Uuid,
    #[diesel(sql_type = BigInt)]
    ended_us: i64,
}

/// Stores a batch. On an error nothing of it is stored. `is_own` if the session's own process stores it.
pub(crate) fn persist(open: &mut Open, batch: &Batch, is_own: bool) -> QueryResult<Vec<Fate>> {
    let entities = batch.records.iter().map(|it| &it.subject.entity);
    let entities = entities::ids_of(open, entities)?;
    days::make(
        open,
        batch.records.iter().map(|it| it.ended_at().as_micros()),
    );
    let rows: Vec<Row<'_>> = batch.records.iter().zip(entities).collect();
    match store(open, batch, is_own, &rows, insert_all) {
        Err(error) if may_be_of_a_row(&error) => store(open, batch, is_own, &rows, insert_each),
        stored => stored,
    }
}

fn store(
    open: &mut Open,
    batch: &Batch,
    is_own: bool,
    rows: &[Row<'_>],
    insert: fn(&mut Open, &[Row<'_>], i64) -> QueryResult<Written>,
) -> QueryResult<Vec<Fate>> {
    writing(open, |open| {
        // Somebody who makes a day waits for this, or this for the day: else a row that is there is not found, and one
        // that belongs to the day is refused.
        open.connection().batch_execute(
            "LOCK TABLE ONLY executor.executions_default, executor.execution_lines_default IN ROW EXCLUSIVE MODE",
        )?;
        let mut session = session::ensure(open, &batch.session)?;
        if is_own && session.is_given_up {
            session::revive(open, session)?;
            session.is_running = true;
        }
        let standing = standing(open, rows)?;
        let fresh = rows
            .iter()
            .filter(|(it, _)| !standing.contains(it.execution_id.as_uuid()));
        let fresh: Vec<Row<'_>> = fresh.copied().collect();
        let mut written = insert(open, &fresh, session.id)?;
        let detached = detached(open, rows)?;
        let ended: Vec<i64> = written.new.values().copied().collect();
        count_stored(open, session.id, &ended)?;
        let mut new = written.new.clone();
        // Of several with one name only one was written.
        let new = fresh.iter().filter(|(it, _)| {
            let (name, ended_us) = (it.execution_id.as_uuid(), it.ended_at().as_micros());
            new.get(name) == Some(&ended_us) && new.remove(name).is_some()
        });
        rollup::roll_up(open, session.id, new.copied())?;
        let taken_over = if session.is_running {
            0
        } else {
            ended.len() as i64
        };
        session::note_sign_of_life(open, session.id, taken_over)?;
        Ok(rows
            .iter()
            .map(|(record, entity)| written.fate(record, detached.contains(entity)))
            .collect())
    })
}

impl Written {
    /// Returns the fate of the next record. Of several with one name the first is the one that was written.
    fn fate(&mut self, record: &ExecutionRecord, is_detached: bool) -> Fate {
        let name = record.execution_id.as_uuid();
        if let Some((reason, detail)) = self.set_aside.get(name) {
            return Fate::SetAside {
                reason: *reason,
                detail: detail.clone(),
            };
        }
        match (self.new.remove(name), is_detached) {
            (None, _) => Fate::AlreadyThere,
            (Some(_), false) => Fate::Stored,
            (Some(_), true) => Fate::Detached,
        }
    }
}

/// Returns the names that are stored already, whatever their ends: a record that was made again from what a dead process
/// left may have another one.
fn standing(open: &mut Open, rows: &[Row<'_>]) -> QueryResult<HashSet<Uuid>> {
    let names: Vec<Uuid> = rows
        .iter()
        .map(|(it, _)| *it.execution_id.as_uuid())
        .collect();
    let begun: Vec<i64> = rows
        .iter()
        .map(|(it, _)| it.started_at.as_micros())
        .collect();
    let earliest = begun.iter().copied().min().unwrap_or(i64::MAX);
    // The bound as a value of its own leaves out days when it is planned.
    let question = "SELECT DISTINCT e.execution_id AS name FROM unnest($1, $2) AS g(execution_id, start_us) \
                    JOIN executor.executions e ON e.execution_id = g.execution_id AND e.ended_us >= g.start_us \
                    WHERE e.ended_us >= $3";
    let standing: Vec<Name> = diesel::sql_query(question)
        .bind::<Array<diesel::sql_types::Uuid>, _>(names)
        .bind::<Array<BigInt>, _>(begun)
        .bind::<BigInt, _>(earliest)
        .load(open.connection())?;
    Ok(standing.into_iter().map(|it| it.name).collect())
}

/// Returns the entities that have no registration.
fn detached(open: &mut Open, rows: &[Row<'_>]) -> QueryResult<HashSet<i64>> {
    let entities: HashSet<i64> = rows.iter().map(|(_, entity)| *entity).collect();
    let question = "SELECT g AS number FROM unnest($1) AS g \
                    WHERE NOT EXISTS (SELECT FROM executor.listeners l WHERE l.id = g) \
                      AND NOT EXISTS (SELECT FROM executor.scheduled_jobs j WHERE j.id = g)";
    let detached: Vec<Number> = diesel::sql_query(question)
        .bind::<Array<BigInt>, _>(Vec::from_iter(entities))
        .load(open.connection())?;
    Ok(detached.into_iter().map(|it| it.number).collect())
}

/// Writes all at once. Of several with one name the first is the one.
fn insert_all(open: &mut Open, rows: &[Row<'_>], session: i64) -> QueryResult<Written> {
    let mut seen = HashSet::new();
    let one_each = rows
        .iter()
        .filter(|(it, _)| seen.insert(*it.execution_id.as_uuid()));
    let one_each: Vec<Row<'_>> = one_each.copied().collect();
    Ok(Written {
        new: insert(open, &one_each, session)?,
        set_aside: HashMap::new(),
    })
}

/// Writes one after the other. Of several with one name the first that can be written is the one.
fn insert_each(open: &mut Open, rows: &[Row<'_>], session: i64) -> QueryResult<Written> {
    let mut written = Written::default();
    for row in rows {
        let name = row.0.execution_id.as_uuid();
        if written.new.contains_key(name) {
            continue;
        }
        match insert_one(open, *row, session)? {
            Ok(new) => {
                written.set_aside.remove(name);
                written.new.extend(new);
            }
            Err(fate) => drop(written.set_aside.insert(*name, fate)),
        }
    }
    Ok(written)
}

/// Writes one row, or returns why it cannot be written; an error if the store is at fault.
///
/// A message may be one that nobody knows of, or in another language. So a row is blamed only if the store takes a good
/// one for the same day, with lines, and refuses this one once more.
fn insert_one(
    open: &mut Open,
    row: Row<'_>,
    session: i64,
) -> QueryResult<Result<HashMap<Uuid, i64>, (DropReason, String)>> {
    let one = std::slice::from_ref(&row);
    let attempt = |open: &mut Open| savepoint(open, |open| insert(open, one, session));
    let error = match attempt(open) {
        Ok(new) => return Ok(Ok(new)),
        Err(error) if !may_be_of_a_row(&error) => return Err(error),
        Err(error) => error,
    };
    if !takes_a_good_row(open, row.0.ended_at().as_micros(), session) {
        return Err(DieselError::BrokenTransactionManager);
    }
    match attempt(open) {
        Ok(new) => Ok(Ok(new)),
        Err(again) if again.to_string() == error.to_string() => {
            let reason = match class_of(&error) {
                ErrorClass::Dangling | ErrorClass::Constraint => DropReason::Constraint,
                _ => DropReason::Unstorable,
            };
            Ok(Err((reason, error.to_string())))
        }
        Err(_) => Err(DieselError::BrokenTransactionManager),
    }
}

/// Returns whether the store takes a row without anything of interest. Nothing of it stays.
fn takes_a_good_row(open: &mut Open, ended_us: i64, session: i64) -> bool {
    let name = Uuid::new_v4();
    let tried = savepoint(open, |open| {
        open.connection().batch_execute(&format!(
            "INSERT INTO executor.executions (ended_us, start_us, duration_us, entity_id, session_id, kind, status, \
               execution_id) VALUES ({ended_us}, {ended_us}, 0, 0, {session}, 0, 0, '{name}'); \
             INSERT INTO executor.execution_lines (ended_us, execution_id, entity_id, lines, total_lines, total_bytes, \
               body) VALUES ({ended_us}, '{name}', 0, 0, 0, 0, '')"
        ))?;
        Err::<(), _>(DieselError::RollbackTransaction)
    });
    matches!(tried, Err(DieselError::RollbackTransaction))
}

const INSERT: &str = "INSERT INTO executor.executions (ended_us, start_us, duration_us, entity_id, session_id, flags, \
    kind, status, execution_id, trigger_id, trigger_origin, trigger_mode, due_us, exit_code, blocked_us, retry_count, \
    attempt_number, topic, args_json, error_type, error_message, error_report) \
    SELECT t.a, t.b, t.c, t.d, $1, t.e, t.f, t.g, t.h, t.i, t.j, t.k, t.l, t.m, t.n, t.o, t.p, t.q, t.r, t.s, t.t, t.u \
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
    AS t(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u) \
    ON CONFLICT (ended_us, execution_id) DO NOTHING RETURNING execution_id AS name, ended_us";

const INSERT_LINES: &str = "INSERT INTO executor.execution_lines (ended_us, execution_id, entity_id, lines, total_lines, \
    total_bytes, flags, body) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (ended_us, execution_id) DO NOTHING";

/// Returns the names and ends of the rows that are new, whose lines are written, too.
fn insert(open: &mut Open, rows: &[Row<'_>], session: i64) -> QueryResult<HashMap<Uuid, i64>> {
    let all = Executions::of(rows.iter().copied());
    let new: Vec<New> = diesel::sql_query(INSERT)
        .bind::<BigInt, _>(session)
        .bind::<Array<BigInt>, _>(all.ended_us)
        .bind::<Array<BigInt>, _>(all.start_us)
        .bind::<Array<BigInt>, _>(all.duration_us)
        .bind::<Array<BigInt>, _>(all.entity_id)
        .bind::<Array<Integer>, _>(all.flags)
        .bind::<Array<SmallInt>, _>(all.kind)
        .bind::<Array<SmallInt>, _>(all.status)
        .bind::<Array<diesel::sql_types::Uuid>, _>(all.execution_id)
        .bind::<Array<Nullable<Text>>, _>(all.trigger_id)
        .bind::<Array<Nullable<Text>>, _>(all.trigger_origin)
        .bind::<Array<Nullable<Text>>, _>(all.trigger_mode)
        .bind::<Array<Nullable<BigInt>>, _>(all.due_us)
        .bind::<Array<Nullable<Integer>>, _>(all.exit_code)
        .bind::<Array<Nullable<BigInt>>, _>(all.blocked_us)
        .bind::<Array<Nullable<BigInt>>, _>(all.retry_count)
        .bind::<Array<Nullable<BigInt>>, _>(all.attempt_number)
        .bind::<Array<Nullable<Text>>, _>(all.topic)
        .bind::<Array<Nullable<Text>>, _>(all.args_json)
        .bind::<Array<Nullable<Text>>, _>(all.error_type)
        .bind::<Array<Nullable<Text>>, _>(all.error_message)
        .bind::<Array<Nullable<Text>>, _>(all.error_report)
        .load(open.connection())?;
    let new: HashMap<Uuid, i64> = new.into_iter().map(|it| (it.name, it.ended_us)).collect();
    let is_new = |row: &&Row<'_>| new.contains_key(row.0.execution_id.as_uuid());
    insert_lines(open, rows.iter().filter(is_new).copied())?;
    Ok(new)
}

fn insert_lines<'r>(open: &mut Open, rows: impl Iterator<Item = Row<'r>>) -> QueryResult<()> {
    let all = LinesOf::of(rows);
    if all.body.is_empty() {
        return Ok(());
    }
    diesel::sql_query(INSERT_LINES)
        .bind::<Array<BigInt>, _>(all.ended_us)
        .bind::<Array<diesel::sql_types::Uuid>, _>(all.execution_id)
        .bind::<Array<BigInt>, _>(all.entity_id)
        .bind::<Array<BigInt>, _>(all.lines)
        .bind::<Array<BigInt>, _>(all.total_lines)
        .bind::<Array<BigInt>, _>(all.total_bytes)
        .bind::<Array<Integer>, _>(all.flags)
        .bind::<Array<Text>, _>(all.body)
        .execute(open.connection())?;
    Ok(())
}

/// Raises the counts of the session's hours, in the order of their keys, as every transaction does.
fn count_stored(open: &mut Open, session: i64, ended_us: &[i64]) -> QueryResult<()> {
    let mut hours: BTreeMap<i64, i64> = BTreeMap::new();
    for ended in ended_us {
        *hours.entry(hour_of(*ended)).or_default() += 1;
    }
    let (hours, counts): (Vec<i64>, Vec<i64>) = hours.into_iter().unzip();
    let raise = "INSERT INTO executor.session_hours (session_id, hour_us, stored) \
                 SELECT $1, h, n FROM unnest($2, $3) AS t(h, n) ON CONFLICT (session_id, hour_us) \
                 DO UPDATE SET stored = session_hours.stored + excluded.stored";
    diesel::sql_query(raise)
        .bind::<BigInt, _>(session)
        .bind::<Array<BigInt>, _>(hours)
        .bind::<Array<BigInt>, _>(counts)
        .execute(open.connection())?;
    Ok(())
}
