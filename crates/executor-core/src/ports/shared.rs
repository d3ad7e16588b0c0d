//! Implements the ports of a store for a shared one, an `Arc<S>`.

use std::sync::Arc;
use std::time::Duration;

use super::{
    ActionStore, Batch, Earlier, Fate, Followed, Gap, Housekeeping, Lifetime, LinesBound,
    MissedRuns, Pause, PruneSlice, Reconcile, Reconciled, RecordStore, RecordedAction, Registered,
    RegistrationStore, ScheduleStore, Session, SessionEnd, SessionStore, SourceCounts, SourceStore,
    SpoolHome, StoreFuture,
};
use crate::identity::{RegistrationId, RowId, SessionId};
use crate::ledger::Ledger;
use crate::registration::Registration;
use crate::time::Timestamp;

impl<S: ?Sized + RecordStore> RecordStore for Arc<S> {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        (**self).persist(batch)
    }

    fn sync_commits(&self) {
        (**self).sync_commits();
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        (**self).close()
    }
}

impl<S: ?Sized + RegistrationStore> RegistrationStore for Arc<S> {
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId> {
        (**self).register(registration)
    }

    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool> {
        (**self).mark_cancelled(id, at)
    }

    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled> {
        (**self).reconcile(wanted)
    }
}

impl<S: ?Sized + ScheduleStore> ScheduleStore for Arc<S> {
    fn note_schedule(&self, registered: Registered) -> StoreFuture<'_, ()> {
        (**self).note_schedule(registered)
    }

    fn take_charge(&self, registered: Vec<Registered>) -> StoreFuture<'_, ()> {
        (**self).take_charge(registered)
    }

    fn leave_charge(&self, session: SessionId, at: Timestamp) -> StoreFuture<'_, ()> {
        (**self).leave_charge(session, at)
    }

    fn note_followed(&self, followed: Vec<Followed>) -> StoreFuture<'_, ()> {
        (**self).note_followed(followed)
    }

    fn earlier(&self, registered: Registered) -> StoreFuture<'_, Earlier> {
        (**self).earlier(registered)
    }

    fn record_missed(&self, missed: Vec<MissedRuns>) -> StoreFuture<'_, ()> {
        (**self).record_missed(missed)
    }

    fn record_pauses(&self, pauses: Vec<Pause>) -> StoreFuture<'_, ()> {
        (**self).record_pauses(pauses)
    }
}

impl<S: ?Sized + SessionStore> SessionStore for Arc<S> {
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()> {
        (**self).open_session(session)
    }

    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()> {
        (**self).heartbeat(id, at, ledger)
    }

    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()> {
        (**self).close_session(id, end)
    }

    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()> {
        (**self).amend_ledger(id, ledger)
    }

    fn heartbeat_at_least_every(&self) -> Option<Duration> {
        (**self).heartbeat_at_least_every()
    }

    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64> {
        (**self).stored_count(id)
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        (**self).mark_crashed()
    }
}

impl<S: ?Sized + SourceStore> SourceStore for Arc<S> {
    fn note_sources(&self, sources: Vec<SourceCounts>) -> StoreFuture<'_, ()> {
        (**self).note_sources(sources)
    }
}

impl<S: ?Sized + ActionStore> ActionStore for Arc<S> {
    fn record_action(&self, action: RecordedAction) -> StoreFuture<'_, ()> {
        (**self).record_action(action)
    }
}

impl<S: ?Sized + Housekeeping> Housekeeping for Arc<S> {
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64> {
        (**self).prune(slice)
    }

    fn lines_beyond(
        &self,
        now: Timestamp,
        all: u64,
        of_one: u64,
    ) -> StoreFuture<'_, Vec<LinesBound>> {
        (**self).lines_beyond(now, all, of_one)
    }

    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        (**self).lifetimes(max)
    }

    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()> {
        (**self).record_gaps(gaps)
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        (**self).health()
    }

    fn spool_home(&self) -> SpoolHome {
        (**self).spool_home()
    }
}
