//! The spool of this process: records and starts as frames, and the counts of its ledger on a page
//! beside them. What the frames mean is in [`crate::spool::codec`]; that they survive is `record-spool`'s.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use executor_core::ports::{ExecutionStart, Session, SessionEnd, Ticket};
use executor_core::time::HeldTime;
use executor_core::{Durability, Ledger, SessionId, Timestamp};
use record_spool::{
    Closed, Counters, FrameBatch, NotSynced, Pin, Position, SYNC_EVERY_MAX, Spool, SpoolError,
    SpoolOptions, Usage,
};
use tokio::sync::oneshot;

use crate::recovery::reckoning::Counts;
use crate::spool::codec;
use crate::spool::counters::{DURABILITY, HEARTBEAT_MS, OFFERED, note_on};
use crate::spool::encoder::Encoder;

/// What a frame is.
pub(crate) mod kind {
    /// An execution has ended.
    pub(crate) const RECORD: u8 = 1;
    /// An execution has begun; pinned until it has ended.
    pub(crate) const START: u8 = 2;
    /// The session has ended; pinned until the store knows.
    pub(crate) const END: u8 = 3;
    /// The session has begun; pinned until it has ended in order. It keeps the directory there, and with
    /// it the page, for whoever ends the session otherwise.
    pub(crate) const SESSION: u8 = 4;
}

/// So many bytes of payloads are read at once.
const READ_BYTES: usize = 4 << 20;

thread_local! {
    /// So that no execution allocates for its payloads.
    static ENCODER: RefCell<Encoder> = const { RefCell::new(Encoder::new()) };
}

/// Does something with this thread's encoder. A thread that is being torn down has none left, nor one whose
/// encoder is in use.
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
    /// The root is this program's own, beside the store.
    is_beside: bool,
    /// The session goes on.
    session: Mutex<Option<Pin>>,
    /// The sequence of the record that was appended last; the first one is 1.
    last: AtomicU64,
    durability: Durability,
}

impl SessionSpool {
    /// A spool below `root` for this session.
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
        // Another process that ends may take the directory of all away at this moment.
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

    /// What records survive in it.
    pub(crate) const fn durability(&self) -> Durability {
        self.durability
    }

    /// Keeps a start. What finds no room is worth nothing: the record is what counts.
    pub(crate) fn begin(&self, start: &ExecutionStart<'_>) -> Ticket {
        let pinned = with_encoder(|encoder| self.spool.pin(kind::START, encoder.start(start)));
        pinned.map_or(Ticket::NONE, |pin| Ticket(pin.into_words()))
    }

    /// The execution has ended, and its record is accounted for.
    pub(crate) fn release(&self, ticket: Ticket) {
        if ticket != Ticket::NONE {
            self.spool.release(Pin::from_words(ticket.0));
        }
    }

    /// Appends a record in place of its start, if that was kept. Where there is no room the ticket comes
    /// back: the start is to be let go when the loss is counted, not before.
    pub(crate) fn append(&self, record: &[u8], ticket: Ticket) -> Result<(), Ticket> {
        let appended = if ticket == Ticket::NONE {
            let appended = self.spool.append(kind::RECORD, record);
            appended.map_err(|_| Ticket::NONE)
        } else {
            let start = Pin::from_words(ticket.0);
            let appended = self.spool.replace(start, kind::RECORD, record);
            appended.map_err(|(_, start)| Ticket(start.into_words()))
        };
        let position = appended?;
        self.last.store(position.sequence(), Ordering::Release);
        Ok(())
    }

    /// The next records as bytes.
    pub(crate) fn read(&self, max: usize) -> FrameBatch {
        self.spool.read(max, READ_BYTES)
    }

    pub(crate) fn settle(&self, positions: &[Position]) {
        self.spool.settle(positions);
    }

    /// Gives space back that somebody else needs more.
    pub(crate) fn release_spares(&self) {
        self.spool.release_spares();
    }

    /// Keeps spare space again.
    pub(crate) fn keep_spares(&self) {
        self.spool.keep_spares();
    }

    /// How many of its frames are in files that somebody has deleted.
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
            // Whoever asked may have gone.
            let _ = tell.send(synced);
        });
        let _held = HeldTime::new();
        told.await.unwrap_or(Err(NotSynced::Closed))
    }

    /// Puts the counts where they outlive the process.
    pub(crate) fn note(&self, ledger: &Ledger, told: Counts) {
        note_on(&self.page, ledger, told);
    }

    /// The same where nothing has changed but that one more was offered: it is done for each record.
    pub(crate) fn note_offered(&self, ledger: &Ledger) {
        self.page.set(OFFERED, ledger.offered);
    }

    /// Puts a sign of life there.
    pub(crate) fn beat(&self, at: Timestamp) {
        let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or(0);
        self.page.set(HEARTBEAT_MS, millis);
    }

    /// Leaves word of the session's end, for as long as the store does not know of it.
    pub(crate) fn end(&self, end: &SessionEnd) -> Option<Pin> {
        self.spool.pin(kind::END, &codec::write_end(end)).ok()
    }

    /// Lets go of the directory before anything was in it.
    pub(crate) fn discard(&self) {
        self.release_session();
        self.close();
    }

    /// The store knows how the session ended.
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

    /// Lets go of the directory; it is gone if everything in it is settled, and with the last of them
    /// the directory of all.
    pub(crate) fn close(&self) {
        match self.spool.close() {
            Ok(Closed::Removed) => {
                // A page without a directory is nobody's; the next process removes it.
                let _ = std::fs::remove_file(&self.page_path);
                if let Some(root) = self.page_path.parent().filter(|_| self.is_beside) {
                    let _ = std::fs::remove_dir(root);
                }
            }
            Ok(Closed::Left { frames }) => {
                tracing::warn!(frames, "the spool keeps records that were not stored");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "the spool could not be removed; the next start does it"
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
