//! The store: the ports of `executor-core`, implemented by handing work to the writer thread.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use executor_core::ports::{
    ActionStore, Batch, Earlier, Fate, Followed, Gap, Housekeeping, Lifetime, LinesBound,
    MissedRuns, Pause, PruneSlice, Reconcile, Reconciled, RecordStore, RecordedAction, Registered,
    RegistrationStore, ScheduleStore, Session, SessionEnd, SessionStore, SourceCounts, SourceStore,
    SpoolHome, StoreFuture, StoredExecution,
};
use executor_core::{
    EntityKind, ErrorClass, Ledger, Registration, RegistrationId, RowId, SessionId, StoreError,
    Timestamp,
};

use crate::hook::{HookAlreadySet, HookPlace};
use crate::liveness::{self, FILE_MODE, Proof};
use crate::sqlite::open::address::{Target, beside};
use crate::sqlite::open::error::OpenError;
use crate::sqlite::write::old_lines::LineSizes;

use crate::sqlite::write::row_ids::Measuring;
use crate::sqlite::write::{
    actions, gaps, persist, prune, registration, rollup, schedules, session, sources,
};
use crate::sqlite::writer::Deferred;
use crate::sqlite::writer::shared::SharedWriter;

/// A SQLite database that keeps records, registrations and sessions.
///
/// One thread writes, and all stores of the same file in this process share it. To share a store, put it
/// in an [`Arc`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), telemetry_store::OpenError> {
/// use telemetry_store::SqliteStore;
///
/// let store = SqliteStore::open(":memory:").await?; // or a path: `telemetry.db`
/// # drop(store);
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore {
    writer: SharedWriter,
    /// Where the lock files of sessions are; `None` for a database in memory.
    sessions_dir: Option<PathBuf>,
    path: Option<PathBuf>,
    file_mode: u32,
    proofs: Mutex<HashMap<SessionId, Proof>>,
    /// The sessions that were opened here and not closed, whether or not they have a row.
    opened: Mutex<HashMap<SessionId, Arc<Session>>>,
    /// The number of rows written since the last rollup.
    unrolled: Arc<AtomicUsize>,
    on_prune: HookPlace,
}

/// Options for opening a database.
///
/// ```
/// use telemetry_store::SqliteOptions;
///
/// let mut options = SqliteOptions::default();
/// options.file_mode = 0o640; // the group may read the history
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The mode of created files, as `chmod` takes it; whoever may read a directory may also search it. Default
    /// `0o600`, their owner alone. Existing files keep their mode.
    pub file_mode: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            file_mode: FILE_MODE,
        }
    }
}

/// The number of new rows that triggers a rollup. Until then queries read them row by row.
const ROLL_UP_EVERY: usize = 10_000;

/// Rolls up a slice, and leaves the next one for later.
fn roll_up(deferred: &Deferred) {
    let next = deferred.clone();
    deferred.leave("rolling up", move |connection| {
        if rollup::roll_up(connection)? {
            roll_up(&next);
        }
        Ok(())
    });
}

/// Measures how far ids lie from their times, a slice at a time, if the database does not say.
fn measure(deferred: &Deferred, measuring: Measuring) {
    let next = deferred.clone();
    deferred.leave("measuring displacements", move |connection| {
        if let Some(rest) = measuring.go_on(connection)? {
            measure(&next, rest);
        }
        Ok(())
    });
}

impl SqliteStore {
    /// Opens the database, creating and migrating it if needed.
    ///
    /// `url` is a path, `sqlite:PATH`, `sqlite://PATH`, `file:PATH`, or `:memory:`.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A file that is not a database of this project is left exactly as it was.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait; the database is created or migrated completely or not at all.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_with(url, SqliteOptions::default()).await
    }

    /// Opens the database like [`open`](Self::open), with options.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Cancel safety
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(url: &str, options: SqliteOptions) -> Result<Self, OpenError> {
        let file_mode = options.file_mode & 0o666;
        let (writer, target) = SharedWriter::open(Target::parse(url)?, file_mode).await?;
        let path = target.path().map(ToOwned::to_owned);
        // What an earlier process left.
        roll_up(&writer.deferred());
        measure(&writer.deferred(), Measuring::new());
        Ok(Self {
            writer,
            sessions_dir: path.as_deref().map(directory_of),
            file_mode,
            path,
            proofs: Mutex::default(),
            opened: Mutex::default(),
            unrolled: Arc::default(),
            on_prune: HookPlace::default(),
        })
    }

    /// Sets a hook that sees every row before it is pruned, a slice at a time, on the writer's thread. If
    /// the hook panics, the slice stays.
    ///
    /// # Errors
    ///
    /// [`HookAlreadySet`] if there is a hook already.
    pub fn on_prune(
        &self,
        hook: impl Fn(&[StoredExecution]) + Send + Sync + 'static,
    ) -> Result<(), HookAlreadySet> {
        self.on_prune.set(hook)
    }

    fn prove_alive(&self, id: SessionId) -> Result<(), StoreError> {
        let Some(directory) = &self.sessions_dir else {
            return Ok(());
        };
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(place) = proofs.entry(id) {
            let proof = Proof::new(directory, id, self.file_mode)
                .map_err(|error| unproved(directory, &error))?;
            place.insert(proof);
        }
        Ok(())
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, id: SessionId) {
        self.opened().remove(&id);
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.remove(&id);
    }
}

/// The directory of the lock files, `DATABASE.sessions`.
fn directory_of(database: &Path) -> PathBuf {
    beside(database, ".sessions")
}

/// Returns the error for a session that cannot be told from a dead one. Waiting does not remove every obstacle.
fn unproved(directory: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};

    let path = directory.display();
    let what = format!("cannot make and lock a file in `{path}`: {error}");
    let failed = StoreError::unreachable("proving that the session lives", what);
    match error.kind() {
        AlreadyExists | NotADirectory | PermissionDenied | ReadOnlyFilesystem => StoreError {
            class: ErrorClass::Unstorable,
            ..failed
        },
        _ => failed,
    }
}

impl RecordStore for SqliteStore {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        let (unrolled, deferred) = (Arc::clone(&self.unrolled), self.writer.deferred());
        Box::pin(self.writer.call("storing a batch", move |connection| {
            let fates = persist::persist(connection, &batch)?;
            if unrolled.fetch_add(fates.len(), Ordering::Relaxed) + fates.len() >= ROLL_UP_EVERY {
                unrolled.store(0, Ordering::Relaxed);
                roll_up(&deferred);
            }
            Ok(fates)
        }))
    }

    fn sync_commits(&self) {
        self.writer.sync_commits();
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            self.writer.close().await;
            Ok(())
        })
    }
}

impl RegistrationStore for SqliteStore {
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId> {
        let operation = match registration.entity.kind {
            EntityKind::Listener => "registering a listener",
            EntityKind::Job => "registering a job",
        };
        Box::pin(self.writer.call(operation, move |connection| {
            registration::register(connection, &registration)
        }))
    }

    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool> {
        Box::pin(
            self.writer
                .call("marking a registration as removed", move |connection| {
                    registration::mark_cancelled(connection, id, at)
                }),
        )
    }

    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled> {
        Box::pin(
            self.writer
                .call("reconciling registrations", move |connection| {
                    registration::reconcile(connection, &wanted)
                }),
        )
    }
}

impl ScheduleStore for SqliteStore {
    fn note_schedule(&self, registered: Registered) -> StoreFuture<'_, ()> {
        let noting = move |connection: &mut _| schedules::note_schedule(connection, &registered);
        Box::pin(self.writer.call("noting a schedule", noting))
    }

    fn take_charge(&self, registered: Vec<Registered>) -> StoreFuture<'_, ()> {
        let taking = move |connection: &mut _| schedules::take_charge(connection, &registered);
        Box::pin(self.writer.call("taking charge", taking))
    }

    fn note_followed(&self, followed: Vec<Followed>) -> StoreFuture<'_, ()> {
        let noting = move |connection: &mut _| schedules::note_followed(connection, &followed);
        Box::pin(
            self.writer
                .call("noting how far schedules were followed", noting),
        )
    }

    fn leave_charge(&self, session: SessionId, at: Timestamp) -> StoreFuture<'_, ()> {
        let leaving = move |connection: &mut _| schedules::leave_charge(connection, session, at);
        Box::pin(self.writer.call("leaving charge", leaving))
    }

    fn earlier(&self, registered: Registered) -> StoreFuture<'_, Earlier> {
        let reading = move |connection: &mut _| schedules::earlier(connection, &registered);
        Box::pin(self.writer.call("reading a schedule", reading))
    }

    fn record_missed(&self, missed: Vec<MissedRuns>) -> StoreFuture<'_, ()> {
        let recording = move |connection: &mut _| schedules::record_missed(connection, &missed);
        Box::pin(self.writer.call("recording missed runs", recording))
    }

    fn record_pauses(&self, pauses: Vec<Pause>) -> StoreFuture<'_, ()> {
        let recording = move |connection: &mut _| schedules::record_pauses(connection, &pauses);
        Box::pin(self.writer.call("recording pauses", recording))
    }
}

impl SourceStore for SqliteStore {
    fn note_sources(&self, noted: Vec<SourceCounts>) -> StoreFuture<'_, ()> {
        let noting = move |connection: &mut _| sources::note(connection, &noted);
        Box::pin(self.writer.call("noting sources", noting))
    }
}

impl ActionStore for SqliteStore {
    fn record_action(&self, action: RecordedAction) -> StoreFuture<'_, ()> {
        let recording = move |connection: &mut _| actions::record(connection, &action);
        Box::pin(self.writer.call("recording an action", recording))
    }
}

impl SessionStore for SqliteStore {
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            // Before the row is written, or a process that starts now would find the row without a lock.
            self.prove_alive(session.id)?;
            self.opened().insert(session.id, Arc::clone(&session));
            self.writer
                .call("opening the session", move |connection| {
                    session::ensure(connection, &session).map(drop)
                })
                .await
        })
    }

    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()> {
        let known = self.opened().get(&id).cloned();
        Box::pin(
            self.writer
                .call("writing the heartbeat", move |connection| {
                    session::heartbeat(connection, id, known.as_deref(), at, &ledger)
                }),
        )
    }

    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()> {
        let known = self.opened().get(&id).cloned();
        Box::pin(async move {
            self.writer
                .call("closing the session", move |connection| {
                    session::close(connection, id, known.as_deref(), &end)
                })
                .await?;
            self.let_go(id);
            Ok(())
        })
    }

    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()> {
        Box::pin(
            self.writer
                .call("amending a session's ledger", move |connection| {
                    session::amend(connection, id, &ledger)
                }),
        )
    }

    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64> {
        Box::pin(
            self.writer
                .call("counting a session's records", move |connection| {
                    session::stored_count(connection, id)
                }),
        )
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        Box::pin(async move {
            let Some(directory) = self.sessions_dir.clone() else {
                return Ok(Vec::new());
            };
            self.writer
                .call("marking crashed sessions", move |connection| {
                    let is_alive = |id| liveness::is_alive(&directory, id);
                    let gone = session::mark_all_crashed(connection, is_alive)?;
                    for id in &gone {
                        liveness::forget(&directory, *id);
                    }
                    Ok(gone)
                })
                .await
        })
    }
}

impl Housekeeping for SqliteStore {
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64> {
        let hook = self.on_prune.get();
        Box::pin(
            self.writer
                .call_later("pruning old records", move |connection| {
                    prune::prune(connection, slice, hook.as_deref())
                }),
        )
    }

    fn lines_beyond(
        &self,
        now: Timestamp,
        all: u64,
        of_one: u64,
    ) -> StoreFuture<'_, Vec<LinesBound>> {
        Box::pin(async move {
            let mut measuring = LineSizes::new(now, all, of_one);
            loop {
                let (back, is_more) = self
                    .writer
                    .call_later("measuring lines", move |connection| {
                        let is_more = measuring.go_on(connection)?;
                        Ok((measuring, is_more))
                    })
                    .await?;
                if !is_more {
                    return Ok(back.bounds());
                }
                measuring = back;
            }
        })
    }

    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        Box::pin(
            self.writer
                .call("reading the lifetimes of sessions", move |connection| {
                    session::lifetimes(connection, max)
                }),
        )
    }

    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()> {
        let known = gaps
            .iter()
            .filter_map(|gap| self.opened().get(&gap.session).cloned());
        let known: Vec<Arc<Session>> = known.collect();
        Box::pin(self.writer.call("recording gaps", move |connection| {
            for session in &known {
                session::ensure(connection, session)?;
            }
            gaps::record_gaps(connection, &gaps)
        }))
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        Box::pin(
            self.writer
                .call("asking for the store's health", gaps::health),
        )
    }

    fn spool_home(&self) -> SpoolHome {
        match &self.path {
            Some(path) => SpoolHome::Beside(beside(path, ".spool")),
            None => SpoolHome::InMemory,
        }
    }
}
