//! Stores a batch in one transaction and returns a fate for every record.
//!
//! The fast path writes all rows with few statements. If a row breaks a rule, everything is rolled
//! back and written again row by row, each in a savepoint, so that a bad row costs no other.

use std::collections::HashMap;

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use executor_core::ports::{Batch, Fate};
use executor_core::{DropReason, ErrorClass, ExecutionRecord};

use crate::sqlite::classify::class_of;
use crate::sqlite::schema::{
    execution_errors, execution_lines, execution_orphans, executions, listeners, scheduled_jobs,
    sessions,
};
use crate::sqlite::transaction::{immediate, savepoint};
use crate::sqlite::write::hours;
use crate::sqlite::write::insert::insert;
use crate::sqlite::write::references::Parents;
use crate::sqlite::write::rollup::roll_up_late;
use crate::sqlite::write::row_ids;
use crate::sqlite::write::rows::{ErrorRow, ExecutionRow, LinesRow, OrphanRow, Place};
use crate::sqlite::write::{session, topics};

/// Stores a batch. On an error nothing of it is stored.
pub(crate) fn persist(connection: &mut SqliteConnection, batch: &Batch) -> QueryResult<Vec<Fate>> {
    let quick = immediate(connection, |connection| {
        let places = places(connection, batch)?;
        let fates = write(connection, &batch.records, &places)?;
        count(connection, batch, &places, &fates)?;
        Ok(fates)
    });
    match quick {
        Err(error) if class_of(&error) != ErrorClass::Transient => row_by_row(connection, batch),
        result => result,
    }
}

fn row_by_row(connection: &mut SqliteConnection, batch: &Batch) -> QueryResult<Vec<Fate>> {
    immediate(connection, |connection| {
        let places = places(connection, batch)?;
        let mut fates = Vec::with_capacity(batch.records.len());
        for (record, place) in batch.records.iter().zip(&places) {
            let written = savepoint(connection, |connection| {
                write(connection, std::slice::from_ref(record), &[*place])
            });
            match written {
                Ok(fate) => fates.extend(fate),
                Err(error) => fates.push(set_aside(error)?),
            }
        }
        without_dangling(connection, batch, &places, &mut fates)?;
        count(connection, batch, &places, &fates)?;
        Ok(fates)
    })
}

/// Counts the new rows in those of their session.
fn count(
    connection: &mut SqliteConnection,
    batch: &Batch,
    places: &[Place],
    fates: &[Fate],
) -> QueryResult<()> {
    let Some(place) = places.first() else {
        return Ok(());
    };
    let of_new = batch.records.iter().zip(fates);
    let of_new = of_new.filter(|(_, fate)| is_new(fate));
    let ended: Vec<i64> = of_new
        .map(|(record, _)| record.ended_at().as_micros())
        .collect();
    if ended.len() < batch.records.len() {
        // Their topics were written before anybody knew that no row would refer to them.
        let topics = places.iter().zip(fates);
        let topics = topics.filter(|(_, fate)| !is_new(fate));
        let topics: Vec<i64> = topics.filter_map(|(place, _)| place.topic).collect();
        topics::forget(connection, &topics)?;
    }
    if !place.session_runs && !ended.is_empty() {
        hours::count_taken_over(connection, place.session_id, ended.len() as i64)?;
    }
    hours::count_stored(connection, place.session_id, ended.into_iter())
}

const fn is_new(fate: &Fate) -> bool {
    matches!(fate, Fate::Stored | Fate::Detached)
}

/// Removes rows with a dangling reference, which would fail the whole batch at the commit without naming
/// the row. The parents were looked up before, so only something outside this program, such as a trigger,
/// can have changed a reference since.
fn without_dangling(
    connection: &mut SqliteConnection,
    batch: &Batch,
    places: &[Place],
    fates: &mut [Fate],
) -> QueryResult<()> {
    for ((record, place), fate) in batch.records.iter().zip(places).zip(fates) {
        if is_new(fate) && dangles(connection, place.id)? {
            diesel::delete(executions::table.find(place.id)).execute(connection)?;
            *fate = Fate::SetAside {
                reason: DropReason::Constraint,
                detail: format!(
                    "the row of {} names a parent that does not exist",
                    record.execution_id
                ),
            };
        }
    }
    Ok(())
}

fn dangles(connection: &mut SqliteConnection, id: i64) -> QueryResult<bool> {
    let session = sessions::table.filter(sessions::id.eq(executions::session_id));
    let listener = listeners::table.filter(listeners::id.nullable().eq(executions::listener_id));
    let job = scheduled_jobs::table.filter(scheduled_jobs::id.nullable().eq(executions::job_id));
    let sound = exists(session)
        .and(executions::listener_id.is_null().or(exists(listener)))
        .and(executions::job_id.is_null().or(exists(job)));
    let row = executions::table.find(id).select(sound);
    row.get_result::<bool>(connection)
        .optional()
        .map(|sound| sound == Some(false))
}

/// Returns the fate of a row that cannot be written, or the error if the store is at fault.
fn set_aside(error: diesel::result::Error) -> QueryResult<Fate> {
    let reason = match class_of(&error) {
        ErrorClass::Transient | ErrorClass::Closed => return Err(error),
        ErrorClass::Dangling | ErrorClass::Constraint => DropReason::Constraint,
        ErrorClass::Unstorable => DropReason::Unstorable,
    };
    Ok(Fate::SetAside {
        reason,
        detail: error.to_string(),
    })
}

fn places(connection: &mut SqliteConnection, batch: &Batch) -> QueryResult<Vec<Place>> {
    let session = session::ensure(connection, &batch.session)?;
    let topics = topics::rows_of(connection, &batch.records)?;
    let parents = Parents::load(connection, &batch.records)?;
    let recorded = batch.records.iter().map(ExecutionRecord::ended_at);
    let ids = row_ids::give_out(connection, recorded)?;
    let place = |(record, id): (&ExecutionRecord, i64)| Place {
        id,
        session_id: session.row,
        session_runs: session.is_running,
        parent: parents.row_of(&record.subject),
        topic: record
            .topic
            .as_deref()
            .and_then(|topic| topics.get(topic).copied()),
    };
    Ok(batch.records.iter().zip(ids).map(place).collect())
}

fn write(
    connection: &mut SqliteConnection,
    records: &[ExecutionRecord],
    places: &[Place],
) -> QueryResult<Vec<Fate>> {
    let rows: Vec<ExecutionRow<'_>> = records
        .iter()
        .zip(places)
        .map(|(record, place)| ExecutionRow::new(record, *place))
        .collect();
    let mut fates = Vec::with_capacity(rows.len());
    insert(connection, &rows, |connection, chunk, new| {
        if new == chunk.len() {
            fates.extend(chunk.iter().map(fate_of_new));
        } else {
            fates.extend(fates_of_mixed(connection, chunk)?);
        }
        Ok(())
    })?;
    for ((record, place), fate) in records.iter().zip(places).zip(&fates) {
        write_beside(connection, record, *place, fate)?;
    }
    let new = places.iter().zip(&fates).filter(|(_, fate)| is_new(fate));
    roll_up_late(connection, new.map(|(place, _)| place.id))?;
    Ok(fates)
}

const fn fate_of_new(row: &ExecutionRow<'_>) -> Fate {
    if row.listener_id.is_none() && row.job_id.is_none() {
        Fate::Detached
    } else {
        Fate::Stored
    }
}

/// Returns the fates of a chunk in which some rows were stored before. Those are the rows whose
/// stored id is not the one assigned to them here.
fn fates_of_mixed(
    connection: &mut SqliteConnection,
    chunk: &[ExecutionRow<'_>],
) -> QueryResult<Vec<Fate>> {
    let names: Vec<&[u8]> = chunk.iter().map(|row| row.execution_id).collect();
    let standing: HashMap<Vec<u8>, i64> = executions::table
        .filter(executions::execution_id.eq_any(names))
        .select((executions::execution_id, executions::id))
        .load::<(Vec<u8>, i64)>(connection)?
        .into_iter()
        .collect();
    let fate = |row| match standing.get(ExecutionRow::name(row)) {
        Some(id) if *id == row.id => fate_of_new(row),
        _ => Fate::AlreadyThere,
    };
    Ok(chunk.iter().map(fate).collect())
}

/// Writes a new record's rows in the side tables.
fn write_beside(
    connection: &mut SqliteConnection,
    record: &ExecutionRecord,
    place: Place,
    fate: &Fate,
) -> QueryResult<()> {
    if !is_new(fate) {
        return Ok(());
    }
    if let Some(row) = ErrorRow::new(record, place.id) {
        diesel::insert_into(execution_errors::table)
            .values(&row)
            .execute(connection)?;
    }
    if let Some(row) = LinesRow::new(record, place.id) {
        diesel::insert_into(execution_lines::table)
            .values(&row)
            .execute(connection)?;
    }
    if *fate == Fate::Detached {
        diesel::insert_into(execution_orphans::table)
            .values(OrphanRow::new(&record.subject.entity, place.id))
            .execute(connection)?;
    }
    Ok(())
}
