//! The spool of this process: records and starts as frames, and the counts of its ledger on a page beside them.
//! [`crate::spool::codec`] defines the frames; `record-spool` makes them survive.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use executor_core::lines::Lines;
use executor_core::ports::{ExecutionStart, ProgramGroup, Session, SessionEnd, Ticket};
use executor_core::time::HeldTime;
use executor_core::{Durability, ExecutionId, Ledger, SessionId, Timestamp};
use record_spool::{
    Closed, Counters, FrameBatch, NotSynced, Pin, Position, SYNC_EVERY_MAX, Spool, SpoolError,
    SpoolOptions, Usage,
};
use tokio::sync::oneshot;

#[cfg(feature = "process")]
use crate::recovery::noted_orphans;
use crate::recovery::reckoning::Counts;
use crate::spool::codec;
use crate::spool::counters::{DURABILITY, HEARTBEAT_MS, OFFERED, note_on};
use crate::spool::encoder::Encoder;

/// The kinds of frames.
pub(crate) mod kind {
    /// An execution has ended.
    pub(crate) const RECORD: u8 = 1;
    /// An execution has begun; pinned until it has ended.
    pub(crate) const START: u8 = 2;
    /// The session has ended; pinned until the store knows.
    pub(crate) const END: u8 = 3;
    /// The session has begun; pinned until it has ended in order. The pin keeps the directory and the page for the
    /// process that otherwise ends the session.
    pub(crate) const SESSION: u8 = 4;
    /// An execution has said something; pinned until it has ended.
    pub(crate) const LINES: u8 = 5;
    /// An execution has started a program; pinned until the program has ended.
    pub(crate) const PROGRAM: u8 = 6;
}

/// The maximum number of payload bytes read at once.
const READ_BYTES: usize = 4 << 20;

thread_local! {
    /// Reused, so that no execution allocates for its payloads.
    static ENCODER: RefCell<Encoder> = const { RefCell::new(Encoder::new()) };
}

/// Runs `work` with this thread's encoder, or with a new one if the thread is being torn down or its encoder is in
/// use.
pub(crate) fn with_encoder<T>(mut work: impl FnMut(&mut Encoder) -> T) -> T {
    let done = ENCODER.try_with(|encoder| Some(work(&mut *encoder.try_borrow_mut().ok()?)));
    match done {
        Ok(Some(done)) => done,
        Ok(None) | Err(_) => work(&mut Encoder::new()),
    }
}

/// The directory of a session's spool, and the page beside it.
pub(crate) fn paths(root: &Path, session: SessionId) -> (PathBuf, PathBuf) {
    let dir = root.join(session.to_string());
    let page = page_of(&dir);
    (dir, page)
}

/// The page beside a spool's directory.
pub(crate) fn page_of(dir: &Path) -> PathBuf {
    dir.with_extension("page")
}

#[derive(Debug)]
pub(crate) struct SessionSpool {
    spool: Spool,
    page: Counters,
    page_path: PathBuf,
    /// True if the root is this program's own, beside the store.
    is_beside: bool,
    /// The pin of the open session.
    session: Mutex<Option<Pin>>,
    /// The sequence number of the last appended record; the first one is 1.
    last: AtomicU64,
    durability: Durability,
}

impl SessionSpool {
    /// Creates a spool below `root` for this session.
    pub(crate) fn create(
        root: &Path,
        is_beside: bool,
        session: &Session,
        max_bytes: u64,
        durability: Durability,
        file_mode: u32,
    ) -> Result<Self, SpoolError> {
        let options = SpoolOptions {
            max_bytes,
            durability: level_of(durability),
            file_mode,
            ..SpoolOptions::default()
        };
        let (dir, page_path) = paths(root, session.id);
        // Another process may remove the root at this moment, as it ends.
        let spool = match Spool::create(&dir, options.clone()) {
            Err(SpoolError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Spool::create(&dir, options)?
            }
            created => created?,
        };
        let note = codec::write_session(session);
        let page = Counters::create_with(&page_path, &note, file_mode)?;
        page.set(DURABILITY, durability as u64 + 1);
        let pinned = spool.pin(kind::SESSION, &[]).ok();
        Ok(Self {
            spool,
            page,
            page_path,
            is_beside,
            session: Mutex::new(pinned),
            last: AtomicU64::new(0),
            durability,
        })
    }

    /// Returns the durability of its records.
    pub(crate) const fn durability(&self) -> Durability {
        self.durability
    }

    /// Keeps a start. If there is no room, the start is dropped: only the record matters.
    pub(crate) fn begin(&self, start: &ExecutionStart<'_>) -> Ticket {
        let pinned = with_encoder(|encoder| self.spool.pin(kind::START, encoder.start(start)));
        pinned.map_or(Ticket::NONE, |pin| Ticket::new(pin.into_words()))
    }

    /// Keeps what an execution has said. Does nothing if half of the spool is in use: records need the rest.
    pub(crate) fn keep_lines(&self, id: ExecutionId, at: Timestamp, lines: &Lines) -> Ticket {
        let usage = self.spool.usage();
        if usage.held_bytes > usage.max_bytes / 2 {
            return Ticket::NONE;
        }
        let payload = codec::write_lines(id, at, lines);
        let pinned = self.spool.pin(kind::LINES, &payload);
        pinned.map_or(Ticket::NONE, |pin| Ticket::new(pin.into_words()))
    }

    /// Keeps the group of a program.
    pub(crate) fn keep_program(&self, id: ExecutionId, group: &ProgramGroup) -> Ticket {
        let pinned = self
            .spool
            .pin(kind::PROGRAM, &codec::write_program(id, group));
        pinned.map_or(Ticket::NONE, |pin| Ticket::new(pin.into_words()))
    }

    /// Releases a start once the execution has ended and its record is accounted for.
    pub(crate) fn release(&self, ticket: Ticket) {
        if ticket != Ticket::NONE {
            self.spool.release(Pin::from_words(ticket.words()));
        }
    }

    /// Appends a record, replacing its start if that was kept. Without room it returns the ticket: release the
    /// start only once the loss is counted.
    pub(crate) fn append(&self, record: &[u8], ticket: Ticket) -> Result<(), Ticket> {
        let appended = if ticket == Ticket::NONE {
            let appended = self.spool.append(kind::RECORD, record);
            appended.map_err(|_| Ticket::NONE)
        } else {
            let start = Pin::from_words(ticket.words());
            let appended = self.spool.replace(start, kind::RECORD, record);
            appended.map_err(|(_, start)| Ticket::new(start.into_words()))
        };
        let position = appended?;
        self.last.store(position.sequence(), Ordering::Release);
        Ok(())
    }

    /// Reads the next records as bytes.
    pub(crate) fn read(&self, max: usize) -> FrameBatch {
        self.spool.read(max, READ_BYTES)
    }

    /// Returns the directory that its files are in.
    pub(crate) fn dir(&self) -> PathBuf {
        self.page_path.with_extension("")
    }

    pub(crate) fn settle(&self, positions: &[Position]) {
        self.spool.settle(positions);
    }

    /// Gives back spare space that is needed more elsewhere.
    pub(crate) fn release_spares(&self) {
        self.spool.release_spares();
    }

    /// Keeps spare space again.
    pub(crate) fn keep_spares(&self) {
        self.spool.keep_spares();
    }

    /// Returns how many of its frames are in deleted files.
    pub(crate) fn deleted(&self) -> u64 {
        self.spool.deleted()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.spool.usage()
    }

    /// Waits until everything that was appended before is on the medium.
    pub(crate) async fn synced(&self) -> Result<(), NotSynced> {
        let last = self.last.load(Ordering::Acquire);
        let (tell, told) = oneshot::channel();
        self.spool.on_synced(last, move |synced| {
            // The caller may be gone.
            let _ = tell.send(synced);
        });
        let _held = HeldTime::new();
        told.await.unwrap_or(Err(NotSynced::Closed))
    }

    /// Writes the counts to the page, where they outlive the process.
    pub(crate) fn note(&self, ledger: &Ledger, told: Counts) {
        note_on(&self.page, ledger, told);
    }

    /// Writes only the offered count, for the usual case in which nothing else changed. Runs for each record.
    pub(crate) fn note_offered(&self, ledger: &Ledger) {
        self.page.set(OFFERED, ledger.offered);
    }

    /// Writes a heartbeat to the page.
    pub(crate) fn beat(&self, at: Timestamp) {
        let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
        self.page.set(HEARTBEAT_MS, millis);
    }

    /// Notes the session's end, to be kept until the store knows of it.
    pub(crate) fn end(&self, end: &SessionEnd) -> Option<Pin> {
        self.spool.pin(kind::END, &codec::write_end(end)).ok()
    }

    /// Releases and removes a directory that was never used.
    pub(crate) fn discard(&self) {
        self.release_session();
        self.close();
    }

    /// Releases the note of the end and the session, once the store knows how it ended.
    pub(crate) fn ended(&self, word: Option<Pin>) {
        if let Some(word) = word {
            self.spool.release(word);
        }
        self.release_session();
    }

    fn release_session(&self) {
        let pinned = self
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(pinned) = pinned {
            self.spool.release(pinned);
        }
    }

    /// Releases the directory and removes it if everything in it is settled; the last spool also removes a root of
    /// our own.
    pub(crate) fn close(&self) {
        match self.spool.close() {
            Ok(Closed::Removed) => {
                // If that fails, the next process removes the orphaned page.
                let _ = std::fs::remove_file(&self.page_path);
                if let Some(root) = self.page_path.parent().filter(|_| self.is_beside) {
                    #[cfg(feature = "process")]
                    noted_orphans::remove_old(root);
                    let _ = std::fs::remove_dir(root);
                }
            }
            Ok(Closed::Left { frames }) => {
                tracing::warn!(frames, "left unstored records in the spool");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "could not remove the spool; the next start will remove it"
                );
            }
        }
    }
}

const fn level_of(durability: Durability) -> record_spool::Durability {
    match durability {
        Durability::Power => record_spool::Durability::Power {
            every: SYNC_EVERY_MAX,
        },
        Durability::Process => record_spool::Durability::Process,
    }
}
