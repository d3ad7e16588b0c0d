//! Registrations on their way to the store, in the order in which they were made. What the store cannot
//! take now waits here; programs go on without it, and their records are matched by entity meanwhile.

use std::collections::{HashMap, VecDeque};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use executor_core::ports::{Apply, Reconcile, Reconciled, Store, StoreError};
use executor_core::runnable::Registered;
use executor_core::{
    Clock, Entity, ErrorClass, Registration, RegistrationId, RowId, SessionId, Timestamp,
};
use tokio::sync::Notify;

use crate::drain::guarded::guarded;
use crate::drain::retry::{delay_after, with_jitter};
use crate::lifecycle::supervise::{Fault, Supervised};

/// What is registered: a listener or a job.
pub(crate) trait Target: Send + Sync {
    fn registration(&self) -> &Registration;
    /// Its row, once the store has said.
    fn row(&self) -> &OnceLock<RowId>;
    fn remove(&self);
    fn is_removed(&self) -> bool;
}

impl<H: ?Sized + Send + Sync> Target for Registered<H> {
    fn registration(&self) -> &Registration {
        &self.registration
    }

    fn row(&self) -> &OnceLock<RowId> {
        &self.row
    }

    fn remove(&self) {
        self.slot.remove();
    }

    fn is_removed(&self) -> bool {
        self.slot.is_removed()
    }
}

impl dyn Target {
    fn id(&self) -> Option<RegistrationId> {
        let kind = self.registration().entity.kind;
        let row = self.row().get().copied();
        row.map(|row| RegistrationId { kind, row })
    }
}

/// What is to be written of it.
#[derive(Clone)]
pub(crate) enum Entry {
    Registration(Arc<dyn Target>),
    Removal(Arc<dyn Target>, Timestamp),
}

/// What is registered, without keeping it alive: its handler may hold the executor.
type Known = Weak<dyn Target>;

/// The registrations: what there is, and what waits for the store.
pub(crate) struct Registrar {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<VecDeque<Entry>>,
    /// The last registration of each entity.
    current: Mutex<HashMap<Arc<Entity>, Known>>,
    /// Held by whoever writes: the order of one entity's registrations and removals matters.
    turn: tokio::sync::Mutex<()>,
    bell: Notify,
}

impl Registrar {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            waiting: Mutex::default(),
            current: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// Registers: at once, or later if the store is away or was closed: then its records say what they
    /// belong to without a row.
    ///
    /// Returns the error of a store that refuses it.
    pub(crate) async fn register(&self, target: Arc<dyn Target>) -> Result<(), StoreError> {
        let entity = Arc::clone(&target.registration().entity);
        self.current().insert(entity, Arc::downgrade(&target));
        self.write(Entry::Registration(target)).await
    }

    /// Removes: its commands are refused from now on, and its row is marked, now or later, unless the
    /// same entity is registered anew by then.
    pub(crate) async fn remove(&self, target: Arc<dyn Target>) -> Result<(), StoreError> {
        target.remove();
        let at = self.clock.now().wall;
        self.write(Entry::Removal(target, at)).await
    }

    /// Has the store compare what an app has registered with what is stored.
    pub(crate) async fn reconcile(
        &self,
        app_key: &str,
        session: SessionId,
        apply: Apply,
    ) -> Result<Reconciled, StoreError> {
        self.apply().await?;
        let _turn = self.turn.lock().await;
        let live_id = |known: &Known| {
            let target = known.upgrade().filter(|target| !target.is_removed())?;
            target.id()
        };
        let live = self.current().values().filter_map(live_id).collect();
        let wanted = Reconcile {
            app_key: app_key.to_owned(),
            live,
            session: Some(session),
            at: self.clock.now().wall,
            apply,
        };
        let reconcile = || self.store.reconcile(wanted);
        guarded("reconciling registrations", reconcile).await
    }

    async fn write(&self, entry: Entry) -> Result<(), StoreError> {
        let turn = self.turn.lock().await;
        if self.has_waiting() {
            // Newer ones queue behind older ones, or they would be overwritten.
            self.keep(entry);
            return Ok(());
        }
        let written = self.apply_one(&entry).await;
        drop(turn);
        match written {
            Err(error) if matches!(error.class, ErrorClass::Transient | ErrorClass::Closed) => {
                self.keep(entry);
                Ok(())
            }
            written => written,
        }
    }

    fn keep(&self, entry: Entry) {
        self.waiting().push_back(entry);
        self.bell.notify_one();
    }

    fn has_waiting(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Writes a row. Idempotent: the row of an entity never changes, so a second time finds the same one.
    async fn apply_one(&self, entry: &Entry) -> Result<(), StoreError> {
        const OPERATION: &str = "registering";
        let store = self.store.as_ref();
        match entry {
            Entry::Registration(target) => {
                let registration = target.registration().clone();
                let row = guarded(OPERATION, || store.register(registration)).await?;
                let _ = target.row().set(row);
            }
            Entry::Removal(target, at) => {
                // Registered anew meanwhile: then it lives.
                let is_last = self
                    .current()
                    .get(&target.registration().entity)
                    .is_none_or(|known| ptr::addr_eq(known.as_ptr(), Arc::as_ptr(target)));
                if let Some(id) = target.id().filter(|_| is_last) {
                    const MARKING: &str = "marking a registration as removed";
                    guarded(MARKING, || store.mark_cancelled(id, *at)).await?;
                }
            }
        }
        Ok(())
    }

    /// Applies all that wait, in order. One that the store refuses for good is logged and left out:
    /// its records say what they belong to all the same.
    ///
    /// Returns the error of a store that is away; what was not applied waits on.
    pub(crate) async fn apply(&self) -> Result<(), StoreError> {
        if !self.has_waiting() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        loop {
            let Some(entry) = self.waiting().front().cloned() else {
                return Ok(());
            };
            match self.apply_one(&entry).await {
                Err(error) if error.class == ErrorClass::Transient => return Err(error),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "a registration cannot be stored");
                }
                Ok(()) => {}
            }
            self.waiting().pop_front();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> MutexGuard<'_, HashMap<Arc<Entity>, Known>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies what comes, also while no batch does.
pub(crate) struct Applying(pub(crate) Arc<Registrar>);

impl Supervised for Applying {
    const NAME: &'static str = "registrar";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            let mut failures = 0;
            // Looking first: what waited when an earlier run failed rings no bell any more.
            while self.0.apply().await.is_err() {
                failures += 1;
                tokio::time::sleep(with_jitter(delay_after(failures))).await;
            }
            self.0.bell.notified().await;
        }
    }
}
