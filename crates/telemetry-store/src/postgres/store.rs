//! The store itself: each request goes to the writer's thread.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use executor_core::ports::{
    ActionStore, Batch, Earlier, Fate, Followed, Gap, Housekeeping, Lifetime, LinesBound,
    MissedRuns, Pause, PruneSlice, Reconcile, Reconciled, RecordStore, RecordedAction, Registered,
    RegistrationStore, ScheduleStore, Session, SessionEnd, SessionStore, SourceCounts, SourceStore,
    SpoolHome, StoreFuture, StoredExecution, state_directory_of,
};
use executor_core::registration::Registration;
use executor_core::{ErrorClass, Ledger, RegistrationId, RowId, SessionId, StoreError, Timestamp};
use uuid::Uuid;

use crate::hook::{HookAlreadySet, HookPlace};
use crate::liveness::{self, FILE_MODE, Proof};
use crate::postgres::acknowledged::Acknowledged;
use crate::postgres::address::Address;
use crate::postgres::connect::ServerError;
use crate::postgres::open::{ConnectionSpec, Open};
use crate::postgres::transaction::writing;
use crate::postgres::write::old_lines::LineSizes;
use crate::postgres::write::{
    actions, days, gaps, missed, persist, prune, registration, schedules, session, sources,
};
use crate::postgres::writer::Writer;

/// How a database on a server is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// A directory of this machine, for the files that tell whether the sessions of its processes live; it is made if
    /// it is missing. Default: one beside the spool in the machine's state directory. Where there is none either, that
    /// is logged, and a session whose process dies is marked as crashed only after a day.
    pub state_dir: Option<PathBuf>,
    /// The mode of new files in it. Default `0o600`.
    pub file_mode: u32,
    /// Whether the server may be away when the store is opened: then requests are refused until it is there, and records
    /// wait in the spool. Default false. What only a person can mend, such as a wrong password, is an error all the same.
    pub may_be_away: bool,
    /// For how long the server must have been reached without a break before sessions of other machines are given up
    /// that have been silent for a day. Default one minute.
    pub judges_others_after: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            state_dir: None,
            file_mode: FILE_MODE,
            may_be_away: false,
            judges_others_after: Duration::from_secs(60),
        }
    }
}

/// Stores records, registrations and sessions in a PostgreSQL database (15 or newer), in its schema `executor`.
pub struct PostgresStore {
    writer: Writer,
    /// Prunes and measures.
    keeper: Writer,
    address: Address,
    /// The lock files of sessions, if there is a place for them.
    sessions_dir: Option<PathBuf>,
    file_mode: u32,
    /// What proves that the sessions opened here live.
    proofs: Mutex<HashMap<SessionId, Proof>>,
    /// The sessions opened here: their rows are written again if they go missing.
    opened: Mutex<HashMap<SessionId, Arc<Session>>>,
    on_prune: HookPlace,
}

impl PostgresStore {
    /// Opens the database, creating or migrating the schema `executor` if needed.
    ///
    /// `url` is `postgres://[USER[:PASSWORD]@][HOST[:PORT]][/DATABASE][?KEY=VALUE]`; what is missing is libpq's own
    /// default, such as the password of `~/.pgpass`.
    ///
    /// # Errors
    ///
    /// See [`ServerError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait; the schema is made or migrated completely or not at all.
    pub async fn open(url: &str) -> Result<Self, ServerError> {
        Self::open_with(url, PostgresOptions::default()).await
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
    pub async fn open_with(url: &str, options: PostgresOptions) -> Result<Self, ServerError> {
        let address = Address::parse(url)?;
        let file_mode = options.file_mode & 0o666;
        let state_dir = options.state_dir.or_else(|| state_of(&address));
        if state_dir.is_none() {
            tracing::warn!(
                server = %address,
                "this machine has no state directory: nobody can tell at once that this process died; set HOME, \
                 XDG_STATE_HOME or STATE_DIRECTORY, or name a directory"
            );
        }
        let home = state_dir.as_deref();
        let home = home
            .map(|directory| home_of(directory, file_mode))
            .transpose();
        let spec = ConnectionSpec {
            address: address.clone(),
            home: home.map_err(ServerError::State)?,
            judges_after: options.judges_others_after,
            acknowledged: Acknowledged::default(),
        };
        let writer = Writer::start(spec, options.may_be_away).await?;
        Ok(Self {
            keeper: writer.for_housekeeping()?,
            writer,
            address,
            sessions_dir: state_dir.map(|directory| directory.join("sessions")),
            file_mode,
            proofs: Mutex::default(),
            opened: Mutex::default(),
            on_prune: HookPlace::default(),
        })
    }

    /// Sets a hook that sees every row before it is pruned, a slice at a time, on the writer's thread. If the hook
    /// panics, the slice stays.
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
            let proof = Proof::new(directory, id, self.file_mode);
            let proof = proof.map_err(|error| {
                let path = directory.display();
                let what = format!("cannot make and lock a file in `{path}`: {error}");
                StoreError::unreachable("proving that the session lives", what)
            })?;
            place.insert(proof);
        }
        Ok(())
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, id: SessionId) {
        self.opened().remove(&id);
        self.writer.acknowledged().forget(id);
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.remove(&id);
    }
}

/// The place for what this machine keeps besides the spool, which has a directory to itself.
fn state_of(address: &Address) -> Option<PathBuf> {
    state_directory_of(&format!("{}.sessions", address.file_name()))
}

/// Returns the name of a directory, which is given once: other machines have directories of the same path.
fn home_of(directory: &Path, file_mode: u32) -> io::Result<Uuid> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let path = directory.join("home");
    let name = Uuid::new_v4();
    // Whole or not at all, whoever else makes it now.
    let unfinished = directory.join(format!("home.{name}"));
    let mut file = liveness::new_file(&unfinished, file_mode)?;
    file.write_all(name.to_string().as_bytes())?;
    // An empty one after a power cut would end every later start.
    file.sync_all()?;
    let made = fs::hard_link(&unfinished, &path);
    fs::remove_file(&unfinished)?;
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::read_to_string(&path)?.parse().map_err(|_| {
            let what = format!("`{}` does not hold a UUID: remove it", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        }),
    }
}

impl RecordStore for PostgresStore {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        let is_own = self.opened().contains_key(&batch.session.id);
        let session = is_own.then(|| Arc::clone(&batch.session));
        let storing = move |open: &mut _| persist::persist(open, &batch, is_own);
        Box::pin(async move {
            let stored = self.writer.call("storing a batch", storing).await;
            if let (Some(session), Ok(fates)) = (session, &stored) {
                // Those that are there already were stored by a request whose answer was lost.
                let are_there = fates
                    .iter()
                    .filter(|fate| !matches!(fate, Fate::SetAside { .. }));
                self.writer
                    .acknowledged()
                    .stored(&session, are_there.count() as u64);
            }
            // A row that is at fault has a fate of its own; what remains says nothing about the batch.
            stored.map_err(|error| match error.class {
                ErrorClass::Closed => error,
                _ => StoreError {
                    class: ErrorClass::Transient,
                    ..error
                },
            })
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            self.keeper.close().await;
            self.writer.close().await;
            Ok(())
        })
    }
}

impl RegistrationStore for PostgresStore {
    fn register(&self, registration: Registration) -> StoreFuture<'_, RowId> {
        let registering = move |open: &mut _| registration::register(open, &registration);
        Box::pin(
            self.writer
                .call("registering a listener or job", registering),
        )
    }

    fn mark_cancelled(&self, id: RegistrationId, at: Timestamp) -> StoreFuture<'_, bool> {
        let marking = move |open: &mut _| registration::mark_cancelled(open, id, at);
        Box::pin(
            self.writer
                .call("marking a registration as removed", marking),
        )
    }

    fn reconcile(&self, wanted: Reconcile) -> StoreFuture<'_, Reconciled> {
        let reconciling = move |open: &mut _| registration::reconcile(open, &wanted);
        Box::pin(self.writer.call("reconciling registrations", reconciling))
    }
}

impl ScheduleStore for PostgresStore {
    fn note_schedule(&self, registered: Registered) -> StoreFuture<'_, ()> {
        let noting = move |open: &mut _| schedules::note_schedule(open, &registered);
        Box::pin(self.writer.call("noting a schedule", noting))
    }

    fn take_charge(&self, registered: Vec<Registered>) -> StoreFuture<'_, ()> {
        let taking = move |open: &mut _| schedules::take_charge(open, &registered);
        Box::pin(self.writer.call("taking charge", taking))
    }

    fn note_followed(&self, followed: Vec<Followed>) -> StoreFuture<'_, ()> {
        let noting = move |open: &mut _| schedules::note_followed(open, &followed);
        Box::pin(
            self.writer
                .call("noting how far schedules were followed", noting),
        )
    }

    fn leave_charge(&self, session: SessionId, at: Timestamp) -> StoreFuture<'_, ()> {
        let leaving = move |open: &mut _| schedules::leave_charge(open, session, at);
        Box::pin(self.writer.call("leaving charge", leaving))
    }

    fn earlier(&self, registered: Registered) -> StoreFuture<'_, Earlier> {
        let reading = move |open: &mut _| schedules::earlier(open, &registered);
        Box::pin(self.writer.call("reading a schedule", reading))
    }

    fn record_missed(&self, missed: Vec<MissedRuns>) -> StoreFuture<'_, ()> {
        let recording = move |open: &mut _| missed::record_missed(open, &missed);
        Box::pin(self.writer.call("recording missed runs", recording))
    }

    fn record_pauses(&self, pauses: Vec<Pause>) -> StoreFuture<'_, ()> {
        let recording = move |open: &mut _| missed::record_pauses(open, &pauses);
        Box::pin(self.writer.call("recording pauses", recording))
    }
}

impl SourceStore for PostgresStore {
    fn note_sources(&self, noted: Vec<SourceCounts>) -> StoreFuture<'_, ()> {
        let noting = move |open: &mut _| sources::note(open, &noted);
        Box::pin(self.writer.call("noting sources", noting))
    }
}

impl ActionStore for PostgresStore {
    fn record_action(&self, action: RecordedAction) -> StoreFuture<'_, ()> {
        let recording = move |open: &mut _| actions::record(open, &action);
        Box::pin(self.writer.call("recording an action", recording))
    }
}

impl SessionStore for PostgresStore {
    fn open_session(&self, session: Arc<Session>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            // Before the row is written, or a process that starts now would find the row without a lock.
            self.prove_alive(session.id)?;
            self.opened().insert(session.id, Arc::clone(&session));
            let opening = move |open: &mut Open| {
                writing(open, |open| session::ensure(open, &session).map(drop))
            };
            self.writer.call("opening the session", opening).await
        })
    }

    fn heartbeat(&self, id: SessionId, at: Timestamp, ledger: Ledger) -> StoreFuture<'_, ()> {
        let known = self.opened().get(&id).cloned();
        let writing = move |open: &mut Open| {
            days::make_ahead(open);
            writing(open, |open| {
                session::heartbeat(open, id, known.as_deref(), at, &ledger)
            })
        };
        Box::pin(self.writer.call("writing the heartbeat", writing))
    }

    /// A session without a sign of life for six times this is silent.
    fn heartbeat_at_least_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }

    fn close_session(&self, id: SessionId, end: SessionEnd) -> StoreFuture<'_, ()> {
        let known = self.opened().get(&id).cloned();
        Box::pin(async move {
            let closing = move |open: &mut Open| {
                writing(open, |open| {
                    session::close(open, id, known.as_deref(), &end)
                })
            };
            self.writer.call("closing the session", closing).await?;
            self.let_go(id);
            Ok(())
        })
    }

    fn amend_ledger(&self, id: SessionId, ledger: Ledger) -> StoreFuture<'_, ()> {
        let amending =
            move |open: &mut Open| writing(open, |open| session::amend(open, id, &ledger));
        Box::pin(self.writer.call("amending a session's ledger", amending))
    }

    fn stored_count(&self, id: SessionId) -> StoreFuture<'_, u64> {
        let counting = move |open: &mut Open| writing(open, |open| session::stored_count(open, id));
        Box::pin(self.writer.call("counting a session's records", counting))
    }

    fn mark_crashed(&self) -> StoreFuture<'_, Vec<SessionId>> {
        Box::pin(async move {
            let Some(directory) = self.sessions_dir.clone() else {
                return Ok(Vec::new());
            };
            let marking = move |open: &mut Open| {
                let gone = writing(open, |open| {
                    let mut gone = session::open_ones(open)?;
                    gone.retain(|id| !liveness::is_alive(&directory, *id));
                    session::mark_crashed(open, &gone)?;
                    Ok(gone)
                })?;
                for id in &gone {
                    liveness::forget(&directory, *id);
                }
                Ok(gone)
            };
            self.writer.call("marking crashed sessions", marking).await
        })
    }
}

impl Housekeeping for PostgresStore {
    fn prune(&self, slice: PruneSlice) -> StoreFuture<'_, u64> {
        let hook = self.on_prune.get();
        let pruning = move |open: &mut _| prune::prune(open, slice, hook.as_deref());
        Box::pin(self.keeper.call("pruning old records", pruning))
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
                let go_on = move |open: &mut Open| {
                    let is_more = measuring.go_on(open)?;
                    Ok((measuring, is_more))
                };
                let (back, is_more) = self.keeper.call("measuring lines", go_on).await?;
                if !is_more {
                    return Ok(back.bounds());
                }
                measuring = back;
            }
        })
    }

    fn lifetimes(&self, max: u32) -> StoreFuture<'_, Vec<Lifetime>> {
        let reading = move |open: &mut Open| writing(open, |open| session::lifetimes(open, max));
        Box::pin(
            self.writer
                .call("reading the lifetimes of sessions", reading),
        )
    }

    fn record_gaps(&self, gaps: Vec<Gap>) -> StoreFuture<'_, ()> {
        let known = gaps
            .iter()
            .filter_map(|gap| self.opened().get(&gap.session).cloned());
        let known: Vec<Arc<Session>> = known.collect();
        let recording = move |open: &mut _| gaps::record_gaps(open, &gaps, &known);
        Box::pin(self.writer.call("recording gaps", recording))
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        Box::pin(
            self.writer
                .call("asking for the store's health", gaps::health),
        )
    }

    fn spool_home(&self) -> SpoolHome {
        SpoolHome::OfMachine {
            name: self.address.file_name(),
        }
    }
}
