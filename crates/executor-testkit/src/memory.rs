//! An in-memory store: implements the ports of `executor-core` with plain collections. It passes the same conformance
//! suite as the real store, so tests against it hold for that one too.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::ports::{
    Apply, Batch, Fate, Gap, Lifetime, Reconcile, Reconciled, RecordStore, RecordedAction,
    RegistrationStore, Session, SessionCounts, SessionEnd, SessionStatus, SessionStore,
    SourceCounts, StoreFuture, StoredPrune, StoredRegistration, StoredSession,
};
use executor_core::{
    Entity, EntityKind, ErrorClass, ExecutionId, ExecutionRecord, Ledger, Registration,
    RegistrationId, RowId, SessionId, SourceTier, StoreError, StoreFault, Subject, Timestamp,
};

use crate::faults::Faults;
use crate::planned::Schedules;
use crate::pruning::hour_of;

mod actions;
mod history;
mod housekeeping;
mod schedules;
mod sources;

/// An in-memory store. Clones share one store, so a test can keep one clone and pass on another.
///
/// ```
/// use std::sync::Arc;
/// use executor_core::{Batch, Fate, RecordStore};
/// use executor_testkit::{MemoryStore, listener, record, session};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), executor_core::StoreError> {
/// let store = MemoryStore::new();
/// let records = vec![record(&listener("hall"), None, 0)];
/// let fates = store.persist(Arc::new(Batch { session: session(), records })).await?;
/// assert_eq!(fates.len(), 1);
/// assert_eq!(store.records().len(), 1);
/// # assert_ne!(fates[0], Fate::AlreadyThere);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    pub(crate) faults: Arc<Faults>,
}

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) rows: Vec<Row>,
    by_execution: HashMap<ExecutionId, usize>,
    registrations: BTreeMap<RegistrationId, StoredRegistration>,
    /// The last row that was assigned, for each kind.
    last_rows: HashMap<EntityKind, i64>,
    pub(crate) sessions: HashMap<SessionId, SessionRow>,
    /// In the order in which sessions were opened.
    pub(crate) lifetimes: Vec<Lifetime>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) prunes: Vec<StoredPrune>,
    schedules: Schedules,
    sources: Vec<SourceCounts>,
    actions: Vec<RecordedAction>,
    /// What was stored and pruned for each session, by the hour in which executions ended.
    pub(crate) hours: BTreeMap<(SessionId, Timestamp), (u64, u64)>,
    pub(crate) batches: usize,
    pub(crate) is_away: bool,
    pub(crate) syncs_commits: bool,
    pub(crate) is_closed: bool,
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) record: ExecutionRecord,
    pub(crate) session: SessionId,
    parent: Option<RegistrationId>,
}

pub(crate) struct SessionRow {
    /// Its number in the order of arrival.
    number: i64,
    pub(crate) stored: StoredSession,
    /// Whether its process opened it; otherwise a batch brought it along.
    pub(crate) was_opened: bool,
}

impl MemoryStore {
    /// Creates an empty store without faults.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the tables to `work` unless the store is closed or unreachable.
    fn with<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Tables) -> T,
    ) -> Result<T, StoreError> {
        let mut tables = self.tables();
        if tables.is_closed {
            return Err(StoreError::closed(operation));
        }
        if tables.is_away {
            return Err(StoreError::unreachable(operation, "the store is away"));
        }
        Ok(work(&mut tables))
    }

    async fn persist_whole(&self, batch: &Batch) -> Result<Vec<Fate>, StoreError> {
        self.with("storing a batch", |tables| tables.persist(batch))
    }
}

/// A session that has given no sign of life since its beginning.
fn begun(session: &Session) -> StoredSession {
    StoredSession {
        session: session.clone(),
        heartbeat_at: session.started_at,
        stopped_at: None,
        status: SessionStatus::Running,
        failure: None,
        ledger: Ledger::default(),
        counts: SessionCounts {
            is_counted: true,
            ..SessionCounts::default()
        },
        by_server: None,
    }
}

impl Tables {
    fn persist(&mut self, batch: &Batch) -> Vec<Fate> {
        self.open_session(&batch.session);
        let session = batch.session.id;
        let store = |record| self.store(record, session);
        let fates: Vec<Fate> = batch.records.iter().map(store).collect();
        let is_new = |fate: &Fate| matches!(fate, Fate::Stored | Fate::Detached);
        let new = batch.records.iter().zip(&fates);
        let new = new.filter(|(_, fate)| is_new(fate));
        let ends: Vec<Timestamp> = new.map(|(record, _)| record.ended_at()).collect();
        self.count_new(session, &ends);
        fates
    }

    /// Counts rows that are new, by their ends.
    fn count_new(&mut self, session: SessionId, ends: &[Timestamp]) {
        for ended in ends {
            let hour = (session, hour_of(*ended));
            self.hours.entry(hour).or_default().0 += 1;
        }
        if let Some(row) = self.sessions.get_mut(&session) {
            let new = ends.len() as u64;
            row.stored.counts.stored += new;
            if row.stored.status != SessionStatus::Running {
                row.stored.counts.taken_over += new;
            }
        }
    }

    fn store(&mut self, record: &ExecutionRecord, session: SessionId) -> Fate {
        if self.by_execution.contains_key(&record.execution_id) {
            return Fate::AlreadyThere;
        }
        let parent = self.parent_of(&record.subject);
        self.by_execution
            .insert(record.execution_id, self.rows.len());
        self.rows.push(Row {
            record: record.clone(),
            session,
            parent,
        });
        if parent.is_some() {
            Fate::Stored
        } else {
            Fate::Detached
        }
    }

    fn open_session(&mut self, session: &Session) {
        if !self.sessions.contains_key(&session.id) {
            self.lifetimes.push(Lifetime {
                session: session.id,
                started_at: session.started_at,
                last_sign_at: session.started_at,
            });
        }
        let number = self.sessions.len() as i64;
        self.sessions.entry(session.id).or_insert(SessionRow {
            number,
            stored: begun(session),
            was_opened: false,
        });
    }

    fn beat(&mut self, id: SessionId, at: Timestamp) {
        let its = self.lifetimes.iter_mut();
        for lifetime in its.filter(|lifetime| lifetime.session == id) {
            lifetime.last_sign_at = at;
        }
        if let Some(row) = self.sessions.get_mut(&id) {
            row.stored.heartbeat_at = at;
        }
    }

    /// Finds the registration of a subject by its row, or else by its entity.
    fn parent_of(&self, subject: &Subject) -> Option<RegistrationId> {
        let kind = subject.entity.kind;
        let named = subject.row.map(|row| RegistrationId { kind, row });
        let named = named.filter(|id| self.registrations.contains_key(id));
        named.or_else(|| self.id_of(&subject.entity))
    }

    fn id_of(&self, entity: &Entity) -> Option<RegistrationId> {
        let mut rows = self.registrations.iter();
        let its = rows.find(|(_, row)| *row.registration.entity == *entity);
        its.map(|(id, _)| *id)
    }

    fn register(&mut self, registration: Registration) -> RegistrationId {
        let kind = registration.entity.kind;
        let id = self.id_of(&registration.entity).unwrap_or_else(|| {
            let last = self.last_rows.entry(kind).or_default();
            *last += 1;
            let row = RowId::new(*last);
            RegistrationId { kind, row }
        });
        let row = StoredRegistration {
            id,
            registration,
            retired_at: None,
            removed_at: None,
        };
        self.registrations.insert(id, row);
        id
    }

    fn history_of(&self, id: RegistrationId) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.parent == Some(id))
    }

    fn plan(&self, wanted: &Reconcile) -> Reconciled {
        let mut plan = Reconciled::default();
        for (id, row) in &self.registrations {
            let Registration {
                entity, details, ..
            } = &row.registration;
            let ours = entity.app_key == wanted.app_key && details.source_tier == SourceTier::App;
            if !ours || wanted.live.contains(id) || self.is_spent(*id, row, wanted.session) {
                continue;
            }
            if self.is_elsewhere(*id, wanted.session) {
                continue;
            }
            match (self.history_of(*id).next(), row.retired_at) {
                (None, _) => plan.deleted.push(*id),
                (Some(_), None) => plan.retired.push(*id),
                (Some(_), Some(_)) => {}
            }
        }
        plan
    }

    /// Returns `true` for a once-listener that has run in this session; for any once-listener if no session is named.
    fn is_spent(
        &self,
        id: RegistrationId,
        row: &StoredRegistration,
        session: Option<SessionId>,
    ) -> bool {
        let is_once = id.kind == EntityKind::Listener && row.registration.details.once;
        let ran_in = |session| self.history_of(id).any(|row| row.session == session);
        is_once && session.is_none_or(ran_in)
    }

    fn apply(&mut self, plan: &Reconciled, at: Timestamp) {
        for id in &plan.deleted {
            for row in &mut self.rows {
                row.parent = row.parent.filter(|parent| parent != id);
            }
            self.registrations.remove(id);
        }
        for id in &plan.retired {
            if let Some(row) = self.registrations.get_mut(id) {
                row.retired_at = Some(at);
            }
        }
    }

    /// Deletes registrations that were retired or removed before this and have no rows.
    fn forget_gone(&mut self, before: Timestamp, max: u32) -> u64 {
        let is_gone = |(id, row): &(&RegistrationId, &StoredRegistration)| {
            row.retired_at
                .max(row.removed_at)
                .is_some_and(|at| at < before)
                && self.history_of(**id).next().is_none()
        };
        let gone = self.registrations.iter().filter(is_gone);
        let gone: Vec<_> = gone.map(|(id, _)| *id).take(max as usize).collect();
        for id in &gone {
            self.registrations.remove(id);
        }
        gone.len() as u64
    }

    pub(crate) fn registration(&mut self, id: RegistrationId) -> Option<&mut StoredRegistration> {
        self.registrations.get_mut(&id)
    }
}

/// Creates the error for a session that has no row.
fn no_session(operation: &'static str) -> StoreError {
    StoreError {
        class: ErrorClass::Dangling,
        answered: true,
        fault: StoreFault::Other,
        operation,
        source: "there is no such session".into(),
    }
}

impl RecordStore for MemoryStore {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        Box::pin(async move {
            self.tables().batches += 1;
            let persist = async |batch: Arc<Batch>| self.persist_whole(&batch).await;
            self.faults.around(batch, persist).await
        })
    }

    fn sync_commits(&self) {
        self.tables().syncs_commits = true;
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            self.tables().is_closed = true;
            Ok(())
        })
    }
}

impl RegistrationStore for MemoryStore {
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId> {
        Box::pin(
            async move { self.with("registering", |tables| tables.register(registration).row) },
        )
    }

    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.with("marking a registration as removed", |tables| {
                tables.end_schedules(id, at);
                let row = tables.registration(id);
                row.map(|row| row.removed_at.get_or_insert(at)).is_some()
            })
        })
    }

    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled> {
        Box::pin(async move {
            self.with("reconciling registrations", |tables| {
                let plan = tables.plan(&wanted);
                if wanted.apply == Apply::Now {
                    tables.apply(&plan, wanted.at);
                }
                plan
            })
        })
    }
}

impl SessionStore for MemoryStore {
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with("opening the session", |tables| {
                tables.open_session(&session);
                if let Some(row) = tables.sessions.get_mut(&session.id) {
                    row.was_opened = true;
                }
            })
        })
    }

    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with("writing the heartbeat", |tables| {
                let row = tables.sessions.get_mut(&id);
                if let Some(row) = row.filter(|row| row.stored.status == SessionStatus::Running) {
                    row.stored.ledger = ledger;
                    tables.beat(id, at);
                }
            })
        })
    }

    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let closed = self.with("closing the session", |tables| {
                let row = tables.sessions.get_mut(&id)?;
                row.stored.status = end.status;
                row.stored.failure = end.failure;
                row.stored.stopped_at = Some(end.at);
                row.stored.ledger = end.ledger;
                row.stored.counts.is_final = true;
                tables.beat(id, end.at);
                Some(())
            })?;
            closed.ok_or_else(|| no_session("closing the session"))
        })
    }

    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.with("amending a session's ledger", |tables| {
                if let Some(row) = tables.sessions.get_mut(&id) {
                    row.stored.ledger = ledger;
                    row.stored.counts.is_final = true;
                }
            })
        })
    }

    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            self.with("counting a session's records", |tables| {
                let rows = tables.rows.iter().filter(|row| row.session == id).count() as u64;
                let ledger = tables.sessions.get(&id).map(|row| row.stored.ledger);
                rows.max(ledger.map_or(0, |it| it.stored.saturating_sub(it.recovered)))
            })
        })
    }

    /// Marks running sessions that nobody has opened through the port: their records came with an earlier
    /// process's spool.
    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        Box::pin(async move {
            self.with("marking crashed sessions", |tables| {
                let open = tables.sessions.iter_mut().filter(|(_, row)| {
                    row.stored.status == SessionStatus::Running && !row.was_opened
                });
                let gone = open.map(|(id, row)| {
                    row.stored.status = SessionStatus::Crashed;
                    *id
                });
                gone.collect()
            })
        })
    }
}
