//! Stores a batch in one transaction and returns a fate for every record: the fast way, if nothing speaks against it, and
//! else the careful one.
//!
//! There, all rows are written at once. If one of them breaks a rule, everything is rolled back and written again row by
//! row, each in a savepoint, so that a bad row costs no other.

use std::collections::{HashMap, HashSet};

use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt};
use executor_core::ports::{Batch, Fate};
use executor_core::{DropReason, ErrorClass, ExecutionRecord, SessionId};
use uuid::Uuid;

use crate::postgres::classify::{class_of, is_gone, may_be_of_a_row};
use crate::postgres::open::Open;
use crate::postgres::transaction::{Connected, savepoint, writing};
use crate::postgres::write::account::{self, Account, accounting};
use crate::postgres::write::rows::{
    Execution, LinesOf, bind_executions, bind_lines, insert_executions, insert_lines,
};
use crate::postgres::write::session::SessionRow;
use crate::postgres::write::{Row, days, entities, fast, rollup, session};

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

/// The texts that one transaction stores: over a slow network more would take longer than a statement may.
const BYTES_MAX: usize = 4 << 20;

/// Stores a batch, in parts if its texts are large. `is_own` if the session's own process stores it. After an error some
/// parts may be stored: asked again, they are there already.
pub(crate) fn persist(open: &mut Open, batch: &Batch, is_own: bool) -> QueryResult<Vec<Fate>> {
    let entities = batch.records.iter().map(|it| &it.subject.entity);
    let entities = entities::ids_of(open, entities)?;
    days::make(
        open,
        batch.records.iter().map(|it| it.ended_at().as_micros()),
    );
    let rows: Vec<Row<'_>> = batch.records.iter().zip(entities).collect();
    let (mut rest, mut fates) = (&rows[..], Vec::with_capacity(rows.len()));
    // A batch of nothing is a sign of life, too.
    loop {
        let (part, others) = rest.split_at(part_of(rest));
        fates.extend(persist_part(open, batch, is_own, part)?);
        if others.is_empty() {
            return Ok(fates);
        }
        rest = others;
    }
}

/// The number of rows that are stored at once: at least one, if there are any.
fn part_of(rows: &[Row<'_>]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take_while(|(record, _)| {
        bytes += bytes_of(record);
        bytes <= BYTES_MAX
    });
    fits.count().max(1).min(rows.len())
}

/// The texts that may be large.
fn bytes_of(record: &ExecutionRecord) -> usize {
    let lines = record.lines.as_deref().map_or(0, |it| it.body().len());
    let failure = record.failure.as_deref();
    let report = failure.and_then(|it| it.report.as_deref());
    lines + report.map_or(0, str::len) + record.arguments_json.as_deref().map_or(0, str::len)
}

fn persist_part(
    open: &mut Open,
    batch: &Batch,
    is_own: bool,
    rows: &[Row<'_>],
) -> QueryResult<Vec<Fate>> {
    // What another process left may be there already.
    let name = batch.session.id;
    let session = open.sessions.get(&name).copied();
    if let Some(session) = session.filter(|_| is_own) {
        match fast::store(open, (name, session), rows) {
            Ok(detached) => return Ok(fates_of_new(rows, &detached)),
            Err(error) if is_gone(&error) => return Err(error),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "a batch goes the careful way");
            }
        }
    }
    let stored = carefully(open, batch, is_own, rows);
    if stored.is_err() {
        open.rollups.forget();
    }
    stored
}

fn fates_of_new(rows: &[Row<'_>], detached: &HashSet<i64>) -> Vec<Fate> {
    let fate = |(_, entity): &Row<'_>| match detached.contains(entity) {
        true => Fate::Detached,
        false => Fate::Stored,
    };
    rows.iter().map(fate).collect()
}

fn carefully(
    open: &mut Open,
    batch: &Batch,
    is_own: bool,
    rows: &[Row<'_>],
) -> QueryResult<Vec<Fate>> {
    match store(open, batch, is_own, rows, insert_all) {
        Err(error) if may_be_of_a_row(&error) => store(open, batch, is_own, rows, insert_each),
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
        days::keep(open)?;
        let mut session = session::ensure(open, &batch.session)?;
        let standing = standing(open, rows)?;
        let fresh = rows
            .iter()
            .filter(|(it, _)| !standing.contains(it.execution_id.as_uuid()));
        let fresh: Vec<Row<'_>> = fresh.copied().collect();
        let mut written = insert(open, &fresh, session.id)?;
        let revives = is_own && session.is_given_up;
        session.is_running |= revives;
        let new = written.rows(&fresh);
        let detached = account(open, (batch.session.id, session), rows, new)?;
        if revives {
            session::revive(open, session)?;
        }
        if session.is_running {
            open.sessions.insert(batch.session.id, session.id);
        }
        Ok(rows
            .iter()
            .map(|(record, entity)| written.fate(record, detached.contains(entity)))
            .collect())
    })
}

/// Counts new rows, and returns the entities of all that have no registration.
fn account(
    open: &mut Open,
    (name, session): (SessionId, SessionRow),
    rows: &[Row<'_>],
    new: Vec<Row<'_>>,
) -> QueryResult<HashSet<i64>> {
    let taken_over = if session.is_running { 0 } else { new.len() };
    let mut account = Account::of(session.id, name, new.into_iter());
    account.ask_of(rows.iter().map(|(_, entity)| *entity));
    rollup::recall(open, session.id, &account)?;
    let statement = format!("WITH {}", accounting("0"));
    let bound = account.bind(statement, &mut open.rollups, taken_over as i64, false);
    account::ask(bound, open.connection())
}

impl Written {
    /// Returns those that were written: of several with one name only one was.
    fn rows<'r>(&self, fresh: &[Row<'r>]) -> Vec<Row<'r>> {
        let mut new = self.new.clone();
        let written = fresh.iter().filter(|(it, _)| {
            let (name, ended_us) = (it.execution_id.as_uuid(), it.ended_at().as_micros());
            new.get(name) == Some(&ended_us) && new.remove(name).is_some()
        });
        written.copied().collect()
    }

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

/// Returns the names and ends of the rows that are new, whose lines are written, too.
fn insert(open: &mut Open, rows: &[Row<'_>], session: i64) -> QueryResult<HashMap<Uuid, i64>> {
    let executions = rows.iter();
    let executions = executions.map(|(record, entity)| Execution::of(record, *entity, session));
    let statement = format!(
        "{} ON CONFLICT (ended_us, execution_id) DO NOTHING RETURNING execution_id AS name, ended_us",
        insert_executions(2)
    );
    let statement = diesel::sql_query(statement)
        .into_boxed::<Pg>()
        .bind::<BigInt, _>(session);
    let new: Vec<New> = bind_executions(statement, executions.collect()).load(open.connection())?;
    let new: HashMap<Uuid, i64> = new.into_iter().map(|it| (it.name, it.ended_us)).collect();
    let is_new = |row: &&Row<'_>| new.contains_key(row.0.execution_id.as_uuid());
    insert_lines_of(open, rows.iter().filter(is_new).copied())?;
    Ok(new)
}

fn insert_lines_of<'r>(open: &mut Open, rows: impl Iterator<Item = Row<'r>>) -> QueryResult<()> {
    let lines = rows.filter_map(|(record, entity)| LinesOf::of(record, entity));
    let lines: Vec<LinesOf<'_>> = lines.collect();
    if lines.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "{} ON CONFLICT (ended_us, execution_id) DO NOTHING",
        insert_lines(1)
    );
    let statement = diesel::sql_query(statement).into_boxed::<Pg>();
    bind_lines(statement, lines)
        .execute(open.connection())
        .map(drop)
}
