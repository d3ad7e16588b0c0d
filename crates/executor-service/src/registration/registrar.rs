//! Carries registrations to the store, in the order in which they were made. A registration that the store cannot
//! take now waits here; the program continues, and records are matched by entity meanwhile.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use executor_core::ports::{
    Apply, Orphan, ProgramGroup, Reconcile, Reconciled, Registered as Noted, SchedulePlan, Store,
    StoreError,
};
use executor_core::runnable::Registered;
use executor_core::{
    Clock, Entity, EntityKind, ErrorClass, Refused, Registration, RegistrationId, RowId, SessionId,
    Timestamp,
};
use tokio::sync::Notify;

use crate::drain::guarded::guarded;
use crate::drain::retry::{delay_after, with_jitter};
use crate::lifecycle::supervise::{Fault, Supervised};
use crate::recovery::orphans::{self, FoundOrphans, Orphans};
use crate::schedule::missed_log::{MissedLog, Paused};

/// A listener or a job to register.
pub(crate) trait Target: Send + Sync {
    fn registration(&self) -> &Registration;
    /// Returns its row, once the store has assigned one.
    fn row(&self) -> &OnceLock<RowId>;
    fn remove(&self);
    fn is_removed(&self) -> bool;
    fn pause(&self);
    fn resume(&self);
    fn is_paused(&self) -> bool;
    /// Returns itself, as what it really is.
    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    /// Returns whether its programs of an earlier process are to be ended.
    fn ends_orphans(&self) -> bool;
    /// Takes a place under its overlap rule for programs of an earlier process, and returns what holds it until they
    /// have ended, or for so long at most; `None` if the rule has no place to give.
    fn hold_place(
        self: Arc<Self>,
        programs: Vec<ProgramGroup>,
        patience: Option<Duration>,
    ) -> Option<HoldsPlace>;
}

/// Holds a place until it completes.
pub(crate) type HoldsPlace = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<H: ?Sized + Send + Sync + 'static> Target for Registered<H> {
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

    fn pause(&self) {
        self.slot.pause();
    }

    fn resume(&self) {
        self.slot.resume();
    }

    fn is_paused(&self) -> bool {
        self.slot.refusal() == Some(Refused::Paused)
    }

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn ends_orphans(&self) -> bool {
        self.hooks.ends_orphans
    }

    fn hold_place(
        self: Arc<Self>,
        programs: Vec<ProgramGroup>,
        patience: Option<Duration>,
    ) -> Option<HoldsPlace> {
        let place = self.take_place()?;
        Some(Box::pin(async move {
            let gone = async {
                orphans::gone(&programs, patience).await;
            };
            place.hold(gone, || orphans::end(programs.clone())).await;
        }))
    }
}

impl dyn Target {
    fn id(&self) -> Option<RegistrationId> {
        let kind = self.registration().entity.kind;
        let row = self.row().get().copied();
        row.map(|row| RegistrationId { kind, row })
    }
}

const NOTING: &str = "noting a schedule";

/// The schedule that comes with a registration.
#[derive(Clone)]
pub(crate) enum Plan {
    /// It has this one from now on, or none.
    Own(Option<SchedulePlan>),
    /// Another process follows one, which does not change.
    Elsewhere,
}

/// A change to write to the store.
#[derive(Clone)]
pub(crate) enum Entry {
    /// With the schedule of a job, and the time.
    Registration(Arc<dyn Target>, Plan, Timestamp),
    Removal(Arc<dyn Target>, Timestamp),
    /// The end of a job's schedule.
    Unscheduled(Arc<dyn Target>, Timestamp),
}

/// A weak reference to a target: its handler may hold the executor.
type Known = Weak<dyn Target>;

/// The current registrations, and the changes that wait for the store.
pub(crate) struct Registrar {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    session: SessionId,
    missed: Arc<MissedLog>,
    /// Programs that earlier processes left running.
    orphans: FoundOrphans,
    waiting: Mutex<VecDeque<Entry>>,
    /// The last registration of each entity.
    current: Mutex<HashMap<Arc<Entity>, Known>>,
    /// Held while writing: the order of one entity's registrations and removals matters.
    turn: tokio::sync::Mutex<()>,
    bell: Notify,
}

impl Registrar {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        session: SessionId,
        missed: Arc<MissedLog>,
        orphans: Orphans,
    ) -> Self {
        Self {
            store,
            clock,
            session,
            missed,
            orphans: FoundOrphans::new(orphans),
            waiting: Mutex::default(),
            current: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// Registers a target now, or later if the store is unavailable or closed; until then its records name their
    /// entity without a row.
    ///
    /// Returns the error of a store that refuses it.
    pub(crate) async fn register(
        &self,
        target: Arc<dyn Target>,
        plan: Plan,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let entity = Arc::clone(&target.registration().entity);
        let known = Arc::clone(&entity);
        self.current().insert(known, Arc::downgrade(&target));
        self.hold_place(&target);
        let written = self.write(Entry::Registration(target, plan, at)).await;
        if written.is_ok() {
            // A registration that replaces a paused one is not paused.
            self.missed.resume(&Paused::Job(entity), at);
        }
        written
    }

    /// Takes note of programs that an earlier process left running: they are ended if that is wanted, and keep their
    /// places until then.
    pub(crate) fn found(&self, orphans: Vec<Orphan>) {
        for entity in self.orphans.add(orphans) {
            let target = self.current().get(&entity).and_then(Weak::upgrade);
            if let Some(target) = target {
                self.hold_place(&target);
            }
        }
    }

    fn hold_place(&self, target: &Arc<dyn Target>) {
        let programs = self.orphans.of(&target.registration().entity);
        let ends = target.ends_orphans();
        if ends {
            self.orphans.end(&programs);
        }
        let patience = self.orphans.patience(ends);
        // One place for each, as far as the rule has any.
        for program in programs {
            if let Some(held) = Arc::clone(target).hold_place(vec![program], patience) {
                tokio::spawn(held);
            }
        }
    }

    /// Returns the live registration of an entity.
    pub(crate) fn live(&self, entity: &Entity) -> Option<Arc<dyn Target>> {
        let target = self.current().get(entity).and_then(Weak::upgrade);
        target.filter(|target| !target.is_removed())
    }

    /// Notes that a job is paused; for listeners nothing is planned.
    pub(crate) fn paused(&self, entity: &Arc<Entity>) {
        if entity.kind == EntityKind::Job {
            let paused = Paused::Job(Arc::clone(entity));
            self.missed.pause(paused, self.clock.now().wall);
        }
    }

    /// Notes that it is no longer paused.
    pub(crate) fn resumed(&self, entity: &Arc<Entity>) {
        let paused = Paused::Job(Arc::clone(entity));
        self.missed.resume(&paused, self.clock.now().wall);
    }

    /// Removes a target: its commands are refused from now on, and its row is marked now or later, unless the same
    /// entity is registered again by then.
    pub(crate) async fn remove(&self, target: Arc<dyn Target>) -> Result<(), StoreError> {
        target.remove();
        let at = self.clock.now().wall;
        if self.is_current(&target) {
            self.missed.removed(&target.registration().entity, at);
        }
        self.write(Entry::Removal(target, at)).await
    }

    /// Notes that a job's schedule has ended, now or later.
    pub(crate) fn unscheduled(&self, target: Arc<dyn Target>) {
        let at = self.clock.now().wall;
        self.missed.unscheduled(&target.registration().entity);
        self.keep(Entry::Unscheduled(target, at));
    }

    /// Makes the store compare an app's live registrations with the stored ones.
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
            // Newer changes queue behind older ones, which would otherwise overwrite them.
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

    /// Writes a change. Idempotent: an entity's row never changes, so a second write finds the same one.
    async fn apply_one(&self, entry: &Entry) -> Result<(), StoreError> {
        const OPERATION: &str = "registering";
        let store = self.store.as_ref();
        match entry {
            Entry::Registration(target, plan, at) => {
                let registration = target.registration().clone();
                let row = guarded(OPERATION, || store.register(registration)).await?;
                let _ = target.row().set(row);
                let kind = target.registration().entity.kind;
                let id = RegistrationId { kind, row };
                if let Plan::Own(plan) = plan {
                    self.note(target, id, plan.clone(), *at).await?;
                }
            }
            Entry::Removal(target, at) => {
                // An entity that was registered again meanwhile is not marked.
                if let Some(id) = target.id().filter(|_| self.is_current(target)) {
                    const MARKING: &str = "marking a registration as removed";
                    guarded(MARKING, || store.mark_cancelled(id, *at)).await?;
                }
            }
            Entry::Unscheduled(target, at) => {
                let unscheduled = target.id().map(|id| self.noted(id, None, *at));
                if let Some(unscheduled) = unscheduled {
                    let note = || store.note_schedule(unscheduled);
                    guarded(NOTING, note).await?;
                }
            }
        }
        Ok(())
    }

    /// Returns whether no later registration has taken its place.
    fn is_current(&self, target: &Arc<dyn Target>) -> bool {
        let current = self.current();
        let known = current.get(&target.registration().entity);
        known.is_none_or(|known| ptr::addr_eq(known.as_ptr(), Arc::as_ptr(target)))
    }

    const fn noted(&self, id: RegistrationId, plan: Option<SchedulePlan>, at: Timestamp) -> Noted {
        Noted {
            id,
            session: self.session,
            at,
            plan,
        }
    }

    /// Notes in the history who has registered what, and with which schedule.
    async fn note(
        &self,
        target: &Arc<dyn Target>,
        id: RegistrationId,
        plan: Option<SchedulePlan>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let registered = self.noted(id, plan, at);
        if id.kind == EntityKind::Job {
            let note = || self.store.note_schedule(registered.clone());
            guarded(NOTING, note).await?;
        }
        if !target.is_removed() {
            let entity = &target.registration().entity;
            self.missed.registered(entity, registered);
        }
        Ok(())
    }

    /// Applies all waiting changes, in order. A change that the store refuses for good is logged and dropped; its
    /// records still name their entity.
    ///
    /// Returns the error of an unavailable store; the remaining changes keep waiting.
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

/// Applies changes as they come, even while no batch is written.
pub(crate) struct Applying(pub(crate) Arc<Registrar>);

impl Supervised for Applying {
    const NAME: &'static str = "registrar";

    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            let mut failures = 0;
            // Look first: changes that waited when an earlier run failed do not ring the bell again.
            while self.0.apply().await.is_err() {
                failures += 1;
                tokio::time::sleep(with_jitter(delay_after(failures))).await;
            }
            self.0.bell.notified().await;
        }
    }
}
