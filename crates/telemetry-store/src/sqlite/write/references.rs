//! Finds the rows of the listeners and jobs that a batch names, all at once and before anything is
//! written. Otherwise a dangling reference would show only at the commit, which does not name the
//! row.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite, SqliteConnection};
use executor_core::{Entity, EntityKind, ExecutionRecord, RegistrationId, RowId, Subject};

use crate::sqlite::schema::{listeners, scheduled_jobs};

/// The rows of a batch's listeners and jobs.
pub(crate) struct Parents<'a> {
    known: HashSet<RegistrationId>,
    by_entity: HashMap<&'a Entity, Option<i64>>,
}

impl<'a> Parents<'a> {
    /// Loads the parents of all records at once.
    pub(crate) fn load(
        connection: &mut SqliteConnection,
        records: &'a [ExecutionRecord],
    ) -> QueryResult<Self> {
        let mut parents = Self {
            known: HashSet::new(),
            by_entity: HashMap::new(),
        };
        let named: HashSet<RegistrationId> = records.iter().filter_map(named_by).collect();
        for kind in EntityKind::ALL {
            let named = named.iter().filter(|id| id.kind == kind);
            let named: Vec<i64> = named.map(|id| id.row.get()).collect();
            let rows = existing(connection, kind, &named)?;
            let known = rows.into_iter().map(|row| RegistrationId {
                kind,
                row: RowId::new(row),
            });
            parents.known.extend(known);
        }
        for record in records {
            parents.match_by_entity(connection, &record.subject)?;
        }
        Ok(parents)
    }

    /// Returns the row of the listener or job that ran; `None` if there is none.
    pub(crate) fn row_of(&self, subject: &Subject) -> Option<i64> {
        self.known_row(subject).or_else(|| {
            let found = self.by_entity.get(subject.entity.as_ref());
            found.copied().flatten()
        })
    }

    fn known_row(&self, subject: &Subject) -> Option<i64> {
        let kind = subject.entity.kind;
        let is_known = |row: &RowId| self.known.contains(&RegistrationId { kind, row: *row });
        subject.row.filter(is_known).map(RowId::get)
    }

    /// Covers a record that was made before its row was known, or before its row was created anew.
    fn match_by_entity(
        &mut self,
        connection: &mut SqliteConnection,
        subject: &'a Subject,
    ) -> QueryResult<()> {
        let entity = subject.entity.as_ref();
        if self.known_row(subject).is_none() && !self.by_entity.contains_key(entity) {
            self.by_entity.insert(entity, row_of(connection, entity)?);
        }
        Ok(())
    }
}

fn named_by(record: &ExecutionRecord) -> Option<RegistrationId> {
    let Subject { entity, row } = &record.subject;
    row.map(|row| RegistrationId {
        kind: entity.kind,
        row,
    })
}

fn existing(
    connection: &mut SqliteConnection,
    kind: EntityKind,
    rows: &[i64],
) -> QueryResult<Vec<i64>> {
    match kind {
        EntityKind::Listener => existing_in::<Listeners>(connection, rows),
        EntityKind::Job => existing_in::<Jobs>(connection, rows),
    }
}

fn existing_in<T: Table>(connection: &mut SqliteConnection, ids: &[i64]) -> QueryResult<Vec<i64>> {
    let mut found = Vec::new();
    for some in ids.chunks(IDS) {
        // Filling up with the first id is harmless: the answer has each id once.
        let mut all = [some[0]; IDS];
        all[..some.len()].copy_from_slice(some);
        let question = WhichExist::<T>(all, PhantomData);
        found.extend(question.load::<i64>(connection)?);
    }
    Ok(found)
}

/// The number of ids in one query.
const IDS: usize = 64;

/// Selects those of these ids that a table has. The text never changes, so it is prepared once; a list of
/// the batch's own length would be prepared for each batch, which takes longer than the answer.
struct WhichExist<T>([i64; IDS], PhantomData<T>);

trait Table: 'static {
    const QUESTION: &str;
}

struct Listeners;

impl Table for Listeners {
    const QUESTION: &str = "SELECT id FROM listeners WHERE id IN (";
}

struct Jobs;

impl Table for Jobs {
    const QUESTION: &str = "SELECT id FROM scheduled_jobs WHERE id IN (";
}

impl<T: Table> QueryId for WhichExist<T> {
    type QueryId = T;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<T: Table> Query for WhichExist<T> {
    type SqlType = BigInt;
}

impl<T: Table> RunQueryDsl<SqliteConnection> for WhichExist<T> {}

impl<T: Table> QueryFragment<Sqlite> for WhichExist<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(T::QUESTION);
        for (place, id) in self.0.iter().enumerate() {
            if place > 0 {
                out.push_sql(",");
            }
            out.push_bind_param::<BigInt, _>(id)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

/// The row of a registration, by what identifies it.
pub(crate) fn row_of(
    connection: &mut SqliteConnection,
    entity: &Entity,
) -> QueryResult<Option<i64>> {
    match entity.kind {
        EntityKind::Listener => listeners::table
            .filter(listeners::app_key.eq(&entity.app_key))
            .filter(listeners::instance.eq(i64::from(entity.instance)))
            .filter(listeners::name.eq(&entity.name))
            .filter(listeners::topic.eq(&entity.topic))
            .select(listeners::id)
            .first(connection)
            .optional(),
        EntityKind::Job => scheduled_jobs::table
            .filter(scheduled_jobs::app_key.eq(&entity.app_key))
            .filter(scheduled_jobs::instance.eq(i64::from(entity.instance)))
            .filter(scheduled_jobs::name.eq(&entity.name))
            .select(scheduled_jobs::id)
            .first(connection)
            .optional(),
    }
}
