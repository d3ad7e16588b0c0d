//! Which listeners and jobs a batch names, and which rows those are. Asked as a set before
//! anything is written: a dangling reference would otherwise show only at the commit, where it
//! names no row.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::marker::PhantomData;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite, SqliteConnection};
use executor_core::{ExecutionRecord, JobKey, ListenerKey, Subject};

use crate::schema::{listeners, scheduled_jobs};

/// The rows of a batch's listeners and jobs.
pub(crate) struct Parents<'a> {
    listeners: HashSet<i64>,
    jobs: HashSet<i64>,
    listeners_by_key: HashMap<&'a ListenerKey, Option<i64>>,
    jobs_by_key: HashMap<&'a JobKey, Option<i64>>,
}

impl<'a> Parents<'a> {
    /// Asks for the parents of all records at once.
    pub(crate) fn load(
        connection: &mut SqliteConnection,
        records: &'a [ExecutionRecord],
    ) -> QueryResult<Self> {
        let (listener_ids, job_ids) = named_ids(records);
        let mut parents = Self {
            listeners: existing::<Listeners>(connection, &listener_ids)?,
            jobs: existing::<Jobs>(connection, &job_ids)?,
            listeners_by_key: HashMap::new(),
            jobs_by_key: HashMap::new(),
        };
        for record in records {
            parents.match_by_key(connection, &record.subject)?;
        }
        Ok(parents)
    }

    /// The row of what ran; `None` where there is none.
    pub(crate) fn row_of(&self, subject: &Subject) -> Option<i64> {
        match subject {
            Subject::Listener { key, id } => self.known_listener(id.map(|id| id.0)).or_else(|| {
                let found = self.listeners_by_key.get(key.as_ref());
                found.copied().flatten()
            }),
            Subject::Job { key, id } => self.known_job(id.map(|id| id.0)).or_else(|| {
                let found = self.jobs_by_key.get(key.as_ref());
                found.copied().flatten()
            }),
        }
    }

    fn known_listener(&self, id: Option<i64>) -> Option<i64> {
        id.filter(|id| self.listeners.contains(id))
    }

    fn known_job(&self, id: Option<i64>) -> Option<i64> {
        id.filter(|id| self.jobs.contains(id))
    }

    /// For a record made before its row id was known, or whose row was made anew since.
    fn match_by_key(
        &mut self,
        connection: &mut SqliteConnection,
        subject: &'a Subject,
    ) -> QueryResult<()> {
        match subject {
            Subject::Listener { key, id } if self.known_listener(id.map(|id| id.0)).is_none() => {
                remember(&mut self.listeners_by_key, key, |key| {
                    listener_row(connection, key)
                })
            }
            Subject::Job { key, id } if self.known_job(id.map(|id| id.0)).is_none() => {
                remember(&mut self.jobs_by_key, key, |key| job_row(connection, key))
            }
            Subject::Listener { .. } | Subject::Job { .. } => Ok(()),
        }
    }
}

fn named_ids(records: &[ExecutionRecord]) -> (HashSet<i64>, HashSet<i64>) {
    let mut listener_ids = HashSet::new();
    let mut job_ids = HashSet::new();
    for record in records {
        match &record.subject {
            Subject::Listener { id, .. } => listener_ids.extend(id.map(|id| id.0)),
            Subject::Job { id, .. } => job_ids.extend(id.map(|id| id.0)),
        }
    }
    (listener_ids, job_ids)
}

fn existing<T: Table>(
    connection: &mut SqliteConnection,
    ids: &HashSet<i64>,
) -> QueryResult<HashSet<i64>> {
    let ids: Vec<i64> = ids.iter().copied().collect();
    let mut found = HashSet::new();
    for some in ids.chunks(IDS) {
        // What is asked twice is answered once.
        let mut all = [some[0]; IDS];
        all[..some.len()].copy_from_slice(some);
        let question = WhichExist::<T>(all, PhantomData);
        found.extend(question.load::<i64>(connection)?);
    }
    Ok(found)
}

/// How many ids one question asks for.
const IDS: usize = 64;

/// Which of these ids a table has. Its text never changes, so it is prepared once; a list as long as the
/// batch's is prepared for each batch, which takes longer than the answer.
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

fn remember<'a, K: Eq + Hash>(
    known: &mut HashMap<&'a K, Option<i64>>,
    key: &'a K,
    ask: impl FnOnce(&K) -> QueryResult<Option<i64>>,
) -> QueryResult<()> {
    if !known.contains_key(key) {
        known.insert(key, ask(key)?);
    }
    Ok(())
}

pub(crate) fn listener_row(
    connection: &mut SqliteConnection,
    key: &ListenerKey,
) -> QueryResult<Option<i64>> {
    listeners::table
        .filter(listeners::app_key.eq(&key.app_key))
        .filter(listeners::instance.eq(i64::from(key.instance)))
        .filter(listeners::name.eq(&key.name))
        .filter(listeners::topic.eq(&key.topic))
        .select(listeners::id)
        .first(connection)
        .optional()
}

pub(crate) fn job_row(connection: &mut SqliteConnection, key: &JobKey) -> QueryResult<Option<i64>> {
    scheduled_jobs::table
        .filter(scheduled_jobs::app_key.eq(&key.app_key))
        .filter(scheduled_jobs::instance.eq(i64::from(key.instance)))
        .filter(scheduled_jobs::name.eq(&key.name))
        .select(scheduled_jobs::id)
        .first(connection)
        .optional()
}
