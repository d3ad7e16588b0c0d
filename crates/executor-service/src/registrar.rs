//! Registrations on their way to the store, in the order in which they were made. What the store cannot
//! take now waits here; programs go on without it, and their records are matched by key meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use executor_core::ports::{Apply, Reconcile, Reconciled, RegistrationId, Store, StoreError};
use executor_core::{Clock, ErrorClass, Job, Listener, SessionId, Subject, Timestamp};
use tokio::sync::Notify;

use crate::guarded::guarded;
use crate::retry::{delay_after, with_jitter};
use crate::supervise::{Fault, Supervised};

/// What is registered.
#[derive(Clone)]
pub(crate) enum Target {
    Listener(Arc<Listener>),
    Job(Arc<Job>),
}

/// What is to be written of it.
#[derive(Clone)]
pub(crate) enum Entry {
    Registration(Target),
    Removal(Target, Timestamp),
}

/// What is registered, without keeping it alive: its handler may hold the executor.
enum Known {
    Listener(Weak<Listener>),
    Job(Weak<Job>),
}

impl Target {
    /// The same value before and after its row is known.
    fn entity(&self) -> Subject {
        match self {
            Self::Listener(listener) => Subject::Listener {
                key: Arc::clone(&listener.registration.key),
                id: None,
            },
            Self::Job(job) => Subject::Job {
                key: Arc::clone(&job.registration.key),
                id: None,
            },
        }
    }

    /// Its row, once the store has said.
    fn row(&self) -> Option<RegistrationId> {
        match self {
            Self::Listener(listener) => {
                listener.row_id.get().copied().map(RegistrationId::Listener)
            }
            Self::Job(job) => job.row_id.get().copied().map(RegistrationId::Job),
        }
    }

    fn known(&self) -> Known {
        match self {
            Self::Listener(listener) => Known::Listener(Arc::downgrade(listener)),
            Self::Job(job) => Known::Job(Arc::downgrade(job)),
        }
    }

    fn remove(&self) {
        match self {
            Self::Listener(listener) => listener.slot.remove(),
            Self::Job(job) => job.slot.remove(),
        }
    }
}

impl Known {
    fn is(&self, target: &Target) -> bool {
        match (self, target) {
            (Self::Listener(known), Target::Listener(it)) => known.as_ptr() == Arc::as_ptr(it),
            (Self::Job(known), Target::Job(it)) => known.as_ptr() == Arc::as_ptr(it),
            _ => false,
        }
    }

    /// Its row, if it is still there and may run.
    fn live_row(&self) -> Option<RegistrationId> {
        let target = match self {
            Self::Listener(listener) => Target::Listener(listener.upgrade()?),
            Self::Job(job) => Target::Job(job.upgrade()?),
        };
        let is_removed = match &target {
            Target::Listener(listener) => listener.slot.is_removed(),
            Target::Job(job) => job.slot.is_removed(),
        };
        target.row().filter(|_| !is_removed)
    }
}

/// The registrations: what there is, and what waits for the store.
pub(crate) struct Registrar {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<VecDeque<Entry>>,
    /// The last registration of each key.
    current: Mutex<HashMap<Subject, Known>>,
    /// Held by whoever writes: the order of one key's registrations and removals matters.
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
    pub(crate) async fn register(&self, target: Target) -> Result<(), StoreError> {
        self.current().insert(target.entity(), target.known());
        self.write(Entry::Registration(target)).await
    }

    /// Removes: its commands are refused from now on, and its row is marked, now or later, unless the
    /// same key is registered anew by then.
    pub(crate) async fn remove(&self, target: Target) -> Result<(), StoreError> {
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
        let mut wanted = Reconcile {
            app_key: app_key.to_owned(),
            live_listeners: Vec::new(),
            live_jobs: Vec::new(),
            session: Some(session),
            at: self.clock.now().wall,
            apply,
        };
        for known in self.current().values() {
            match known.live_row() {
                Some(RegistrationId::Listener(id)) => wanted.live_listeners.push(id),
                Some(RegistrationId::Job(id)) => wanted.live_jobs.push(id),
                None => {}
            }
        }
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

    /// Writes a row. Idempotent: the id of a key never changes, so a second time finds the same one.
    async fn apply_one(&self, entry: &Entry) -> Result<(), StoreError> {
        const OPERATION: &str = "registering";
        let store = self.store.as_ref();
        match entry {
            Entry::Registration(Target::Listener(listener)) => {
                let row = listener.registration.clone();
                let id = guarded(OPERATION, || store.register_listener(row)).await?;
                let _ = listener.row_id.set(id);
            }
            Entry::Registration(Target::Job(job)) => {
                let row = job.registration.clone();
                let id = guarded(OPERATION, || store.register_job(row)).await?;
                let _ = job.row_id.set(id);
            }
            Entry::Removal(target, at) => {
                // Registered anew meanwhile: then it lives.
                let is_last = self
                    .current()
                    .get(&target.entity())
                    .is_none_or(|known| known.is(target));
                if let Some(row) = target.row().filter(|_| is_last) {
                    const MARKING: &str = "marking a registration as removed";
                    guarded(MARKING, || store.mark_cancelled(row, *at)).await?;
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

    fn current(&self) -> MutexGuard<'_, HashMap<Subject, Known>> {
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
