//! Takes over the records that earlier processes left in their spools, at the start, before new records, and under
//! the sessions they belong to. Every step may be repeated, so a process that dies midway leaves the rest to the
//! next one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Batch, Fate, Orphan, Store, StoreError, StoreFuture};
use executor_core::{Clock, DropReason, ErrorClass, Timestamp};
use record_spool::SpoolError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drain::guarded::guarded;
use crate::drain::retry::{delay_after, with_jitter};
use crate::drain::say_what_was_set_aside;
use crate::lifecycle::supervise::{Fault, Supervised};
use crate::recovery::abandoned::{AbandonedSession, Piece};
use crate::recovery::directories::{directories, remove_orphaned_pages, restore_missing};
use crate::recovery::reckoning::Reckoned;

pub(crate) mod directories;

pub(crate) mod reckoning;

mod abandoned;

pub(crate) mod orphans;

#[cfg(feature = "process")]
pub(crate) mod left_running;

#[cfg(feature = "process")]
pub(crate) mod noted_orphans;

pub(crate) mod machine;

pub mod inspect;

/// The reason why a spool was not taken over completely. Its remaining contents are kept for the next start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfinished {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The store refuses the session's end, or the record of its losses.
    #[error("the store refused the end of the session or its losses")]
    Refused(#[source] StoreError),
    /// The store was unavailable for longer than the takeover waits.
    #[error("the store does not answer")]
    Away(#[source] StoreError),
    /// The service is ending.
    #[error("the store was closed")]
    Closed,
}

/// The result of a completed takeover.
pub(crate) struct TakenOver {
    /// True if its counters were damaged, so that its ledger was rebuilt from what can be counted.
    pub(crate) is_rebuilt: bool,
    /// The number of its files that were damaged and moved aside.
    pub(crate) damaged_files: usize,
}

/// Receives the results of a takeover: a running service, or code that adds them up.
pub(crate) trait Account: Send + Sync {
    /// Counts an earlier process's records as taken over and, at once, as stored or dropped.
    fn recovered(&self, stored: u64, dropped: &[(DropReason, u64)]);
    /// Notes that the store did not answer, or failed.
    fn store_failed(&self, at: Timestamp, error: &StoreError);
    fn store_answered(&self);
    /// Takes note of programs that an earlier process left running.
    fn found_programs(&self, orphans: Vec<Orphan>);
}

/// Hands a dead process's records to a store.
pub(crate) struct Takeover {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) account: Arc<dyn Account>,
    pub(crate) batch_max: usize,
    /// The longest time to wait for an unavailable store; `None` waits for ever.
    pub(crate) patience: Option<Duration>,
}

/// Takes over the spools below `root`, then ends.
pub(crate) struct Recovery {
    pub(crate) root: PathBuf,
    /// The directory of this process.
    pub(crate) own: PathBuf,
    pub(crate) takeover: Takeover,
    /// Holds the drain back while it is true.
    pub(crate) recovering: watch::Sender<bool>,
}

impl Supervised for Recovery {
    const NAME: &'static str = "recovery";

    async fn run(&mut self) -> Result<(), Fault> {
        let _over = Over(&self.recovering);
        self.take_over_all().await
    }
}

/// Releases the drain when recovery ends, even by a panic.
struct Over<'r>(&'r watch::Sender<bool>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl Recovery {
    async fn take_over_all(&self) -> Result<(), Fault> {
        restore_missing(&self.root);
        let found = directories(&self.root).map_err(|error| Fault(error.to_string()))?;
        for dir in found.into_iter().filter(|dir| *dir != self.own) {
            match self.takeover.take_over(dir.clone()).await {
                Ok(_) => {}
                Err(Unfinished::Closed) => return Ok(()),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    let dir = dir.display();
                    tracing::error!(error, %dir, "could not take over the records of an earlier process; they stay in its spool");
                }
            }
        }
        remove_orphaned_pages(&self.root);
        #[cfg(feature = "process")]
        noted_orphans::remove_old(&self.root);
        Ok(())
    }
}

impl Takeover {
    /// Takes over one directory; returns `None` if its process is alive.
    pub(crate) async fn take_over(&self, dir: PathBuf) -> Result<Option<TakenOver>, Unfinished> {
        let max = self.batch_max;
        let now = self.clock.now().wall;
        let opened = blocking(move || AbandonedSession::open(&dir, now)).await?;
        let Some(mut abandoned) = opened else {
            return Ok(None);
        };
        self.rebuild(&mut abandoned).await?;
        let mut found = 0;
        loop {
            let (back, piece) = blocking(move || {
                let piece = abandoned.next(max);
                (abandoned, piece)
            })
            .await;
            abandoned = back;
            let piece = piece?;
            if piece.records.is_empty() {
                break;
            }
            found += piece.records.len();
            self.store_piece(&mut abandoned, piece).await?;
        }
        self.end_session(&mut abandoned).await?;
        let session = abandoned.session().id;
        let is_rebuilt = abandoned.is_rebuilt();
        let Reckoned { damaged, .. } = abandoned.reckon();
        if damaged > 0 {
            self.account.recovered(0, &[(DropReason::Damaged, damaged)]);
        }
        tracing::warn!(session.id = %session, found, damaged, "took over the records of an earlier process");
        let damaged_files = blocking(move || abandoned.finish()).await?;
        Ok(Some(TakenOver {
            is_rebuilt,
            damaged_files,
        }))
    }

    /// Asks the store for counts that damaged counters no longer hold.
    async fn rebuild(&self, abandoned: &mut AbandonedSession) -> Result<(), Unfinished> {
        if !abandoned.is_rebuilt() {
            return Ok(());
        }
        let session = abandoned.session().id;
        tracing::error!(session.id = %session, "found damaged counters of an earlier session; rebuilding its ledger from what can be counted");
        if abandoned.needs_stored() {
            let ask = || self.store.stored_count(session);
            let stored = self.until_it_holds("counting a session's records", ask);
            abandoned.store_says(stored.await?.map_err(Unfinished::Refused)?);
        }
        Ok(())
    }

    /// Stores a piece, records its losses, and only then settles it: if the process dies in between, the next one
    /// repeats it.
    async fn store_piece(
        &self,
        abandoned: &mut AbandonedSession,
        piece: Piece,
    ) -> Result<(), Unfinished> {
        let batch = Arc::new(Batch {
            session: Arc::clone(abandoned.session()),
            records: piece.records,
        });
        // Before their frames are settled, which are all that names them, and before waiting for the store: whoever
        // starts meanwhile finds this spool locked.
        #[cfg(feature = "process")]
        noted_orphans::note(abandoned.page_path(), &piece.orphans);
        let fates = self.persist(&batch).await?;
        let (stored, dropped) = abandoned.count(&batch.records, &fates, self.clock.now());
        self.write_gaps(abandoned).await?;
        abandoned.settle(&piece.positions)?;
        self.account.recovered(stored, &dropped);
        if !piece.orphans.is_empty() {
            self.account.found_programs(piece.orphans);
        }
        say_what_was_set_aside(&batch.records, &fates);
        Ok(())
    }

    async fn persist(&self, batch: &Arc<Batch>) -> Result<Vec<Fate>, Unfinished> {
        let count = batch.records.len();
        let ask = || self.store.persist(Arc::clone(batch));
        let stored = self
            .until_it_holds("storing an earlier process's records", ask)
            .await?;
        Ok(match stored {
            Ok(fates) if fates.len() == count => fates,
            Ok(_) => set_aside(count, "the store returned more or fewer fates than records"),
            Err(error) => set_aside(count, &error.source.to_string()),
        })
    }

    /// Closes the session as its process noted, or lets the store mark it crashed; writes its ledger and its
    /// remaining losses.
    async fn end_session(&self, abandoned: &mut AbandonedSession) -> Result<(), Unfinished> {
        // An empty batch makes sure that the session's row exists.
        let nothing = Arc::new(Batch {
            session: Arc::clone(abandoned.session()),
            records: Vec::new(),
        });
        self.persist(&nothing).await?;
        let (session, ledger) = (abandoned.session().id, abandoned.reckon().ledger);
        let ended = match abandoned.end() {
            Some(mut end) => {
                end.ledger = ledger;
                let close = || self.store.close_session(session, end.clone());
                self.until_it_holds("closing an earlier session", close)
                    .await?
            }
            None => {
                let mark = || self.store.mark_crashed();
                let marked = self.until_it_holds("marking crashed sessions", mark);
                marked.await?.map_err(Unfinished::Refused)?;
                let amend = || self.store.amend_ledger(session, ledger);
                self.until_it_holds("amending an earlier session's ledger", amend)
                    .await?
            }
        };
        ended.map_err(Unfinished::Refused)?;
        abandoned.note_missing(self.clock.now());
        self.write_gaps(abandoned).await
    }

    async fn write_gaps(&self, abandoned: &mut AbandonedSession) -> Result<(), Unfinished> {
        let gaps = abandoned.unwritten_gaps();
        if gaps.is_empty() {
            return Ok(());
        }
        let record = || self.store.record_gaps(gaps.clone());
        let written = self.until_it_holds("recording gaps", record).await?;
        written.map_err(Unfinished::Refused)?;
        abandoned.gaps_written(&gaps);
        Ok(())
    }

    /// Returns the time to give up; without a limit, later than any program runs.
    fn give_up_at(&self) -> Instant {
        let patience = self
            .patience
            .unwrap_or(Duration::from_secs(100 * 365 * 86_400));
        self.clock.monotonic() + patience
    }

    /// Asks until the store answers, with rests in between: nothing else depends on this. The answer may be an
    /// error that retrying would not change.
    async fn until_it_holds<'s, T>(
        &'s self,
        operation: &'static str,
        mut ask: impl FnMut() -> StoreFuture<'s, T>,
    ) -> Result<Result<T, StoreError>, Unfinished> {
        let mut failures = 0;
        let give_up_at = self.give_up_at();
        loop {
            match guarded(operation, &mut ask).await {
                Err(error) if error.class == ErrorClass::Closed => return Err(Unfinished::Closed),
                Err(error) if error.class == ErrorClass::Transient => {
                    failures += 1;
                    let now = self.clock.now().wall;
                    self.account.store_failed(now, &error);
                    if self.clock.monotonic() >= give_up_at {
                        return Err(Unfinished::Away(error));
                    }
                    tokio::time::sleep(with_jitter(delay_after(failures))).await;
                }
                answer => {
                    self.account.store_answered();
                    return Ok(answer);
                }
            }
        }
    }
}

fn set_aside(count: usize, detail: &str) -> Vec<Fate> {
    let fate = Fate::SetAside {
        reason: DropReason::Unstorable,
        detail: detail.to_owned(),
    };
    vec![fate; count]
}

/// Runs `work` on a blocking thread: reading files would block the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            // Only an ending runtime cancels such a task, and then nobody waits for this one.
            Err(_) => std::future::pending().await,
        },
    }
}
