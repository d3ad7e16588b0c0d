//! Looking at spools from outside, for the command line: what is in them, and handing it to a store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use executor_core::ports::{Session, SessionEnd, Store};
use executor_core::{DropReason, ExecutionRecord, Ledger, StoreError, SystemClock, Timestamp};
use record_spool::{Counters, SpoolError};

use crate::recovery::directories::{deleted_spools, directories, is_ours, restore_missing};
use crate::recovery::reckoning::{Noted, Segments, reckon};
use crate::recovery::{Account, Takeover, Unfinished};
use crate::spool::codec;
use crate::spool::counters::noted_of;
use crate::spool::session_spool::{kind, page_of};

pub use crate::recovery::machine::MachineSpools;
pub use record_spool::{Entry, SegmentReport, dump, fsck};

/// What a frame of a spool tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// An execution has ended.
    Record(Box<ExecutionRecord>),
    /// An execution has begun: what its record would be, had the process died now.
    Start(Box<ExecutionRecord>),
    /// The session has ended, while the store was away.
    End(SessionEnd),
    /// The session has begun; there until it has ended in order.
    Session,
    /// Nothing that this program knows.
    Unknown {
        /// What is strange about it.
        why: String,
    },
}

/// Reads a frame.
///
/// ```
/// use executor_service::inspect::{Content, content};
/// assert!(matches!(content(9, b"?"), Content::Unknown { .. }));
/// ```
pub fn content(kind_of_frame: u8, payload: &[u8]) -> Content {
    let read = match kind_of_frame {
        kind::RECORD => codec::read_record(payload).map(|record| Content::Record(record.into())),
        kind::START => {
            codec::read_start(payload).map(|start| Content::Start(start.interrupted().into()))
        }
        kind::END => codec::read_end(payload).map(Content::End),
        kind::SESSION => Ok(Content::Session),
        _ => Err(codec::Malformed::Value("kind")),
    };
    read.unwrap_or_else(|error| Content::Unknown {
        why: error.to_string(),
    })
}

/// Whose spool this is, and how its ledger stood; `None` if its page is gone or damaged.
///
/// # Errors
///
/// The page is there and cannot be read.
pub fn owner(dir: &Path) -> Result<Option<(Session, Ledger)>, SpoolError> {
    let page = Counters::read(&page_of(dir))?;
    Ok(page.and_then(|(note, counters)| {
        let session = codec::read_session(&note).ok()?;
        Some((session, noted_of(&counters).ledger()))
    }))
}

/// The spools below a directory, the oldest first; the directory itself, if it is one.
///
/// # Errors
///
/// The directory cannot be read.
pub fn spools(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let found = directories(dir)?;
    if found.is_empty() && is_ours(dir) {
        return Ok(vec![dir.to_owned()]);
    }
    Ok(found)
}

/// Spools below a directory that somebody has deleted with records in them, as far as the pages tell that lay beside
/// them; `missing` says how many.
pub fn deleted(root: &Path) -> Vec<PathBuf> {
    deleted_spools(root).collect()
}

/// How many records were put into a spool that are neither in it nor known to have come to an end; `None` where its
/// counters do not tell. Of a living process it may be told of fewer than there are, never of more.
///
/// # Errors
///
/// The spool cannot be read.
pub fn missing(dir: &Path) -> Result<Option<u64>, SpoolError> {
    let Some(before) = noted(dir)? else {
        return Ok(None);
    };
    let (mut appended, mut unsettled) = (0, HashSet::new());
    let mut in_segment = 0;
    let look = |segment: &SegmentReport, entry: Option<Entry<'_>>| match entry {
        None => {
            in_segment = segment.records_before.unwrap_or(0);
        }
        Some(Entry::Frame {
            sequence,
            kind,
            pinned,
            copied,
            settled,
            ..
        }) => {
            in_segment += u64::from(!pinned && !copied && segment.records_before.is_some());
            appended = appended.max(in_segment);
            if kind == kind::RECORD && !settled {
                unsettled.insert(sequence);
            }
        }
        Some(Entry::Damage { .. }) => {}
    };
    if dir.exists() {
        dump(dir, look)?;
    }
    // What has come to its end meanwhile is counted by now.
    let Some(after) = noted(dir)? else {
        return Ok(None);
    };
    let mut counted = after.ledger();
    counted.stored += unsettled.len() as u64;
    let is_whole = before.is_whole() && after.is_whole();
    let segments = Segments {
        appended,
        damaged: 0,
    };
    Ok(is_whole.then(|| reckon(&before, segments, counted).damaged))
}

fn noted(dir: &Path) -> Result<Option<Noted>, SpoolError> {
    let page = Counters::read(&page_of(dir))?;
    Ok(page.map(|(_, counters)| noted_of(&counters)))
}

/// What a replay did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Replayed {
    /// Spools that were taken over.
    pub spools: usize,
    /// Spools of living processes, left alone.
    pub alive: usize,
    /// Sessions whose counters were damaged: their ledgers were put together from what can be counted.
    pub rebuilt: usize,
    /// Files that were damaged and moved aside.
    pub damaged_files: usize,
    /// Spools that could not be read, or not be removed, and why: what was not stored is still there.
    pub unfinished: Vec<(PathBuf, SpoolError)>,
    /// Records that came to an end: `recovered`, and what became of them.
    pub ledger: Ledger,
}

/// Hands what dead processes left below `dir` to a store, as the next start would. A store that is away is waited
/// for, `patience` at each step. Idempotent.
///
/// # Errors
///
/// The directory cannot be read, or the store does not answer; what was not stored is still there.
///
/// # Cancel safety
///
/// Dropping the future leaves the rest for another time.
pub async fn replay(
    store: impl Store,
    dir: &Path,
    patience: Duration,
) -> Result<Replayed, ReplayError> {
    let store: Arc<dyn Store> = Arc::new(store);
    let sum = Arc::<Sum>::default();
    let takeover = Takeover {
        store: Arc::clone(&store),
        clock: Arc::new(SystemClock),
        account: Arc::clone(&sum) as _,
        batch_max: 1_000,
        patience: Some(patience),
    };
    let mut replayed = Replayed::default();
    restore_missing(dir);
    for dir in spools(dir)? {
        match takeover.take_over(dir.clone()).await {
            Ok(Some(taken)) => {
                replayed.spools += 1;
                replayed.rebuilt += usize::from(taken.is_rebuilt);
                replayed.damaged_files += taken.damaged_files;
            }
            Ok(None) => replayed.alive += 1,
            Err(Unfinished::Closed) => break,
            // The others are no worse for it.
            Err(Unfinished::Spool(error)) => {
                replayed.unfinished.push((dir, error));
            }
            Err(Unfinished::Away(error)) => return Err(ReplayError::Away(error)),
            Err(Unfinished::Refused(error)) => return Err(ReplayError::Refused(error)),
        }
    }
    replayed.ledger = sum.ledger();
    // What was committed is safe, however the closing goes.
    let _ = store.close().await;
    Ok(replayed)
}

/// What a replay has come to.
#[derive(Default)]
struct Sum(Mutex<Ledger>);

impl Sum {
    fn ledger(&self) -> Ledger {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account for Sum {
    fn recovered(&self, stored: u64, dropped: &[(DropReason, u64)]) {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.add_recovered(stored, dropped);
    }

    fn store_failed(&self, _at: Timestamp, _error: &StoreError) {}

    fn store_answered(&self) {}
}

/// A replay could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The directory cannot be read.
    #[error("the directory cannot be read")]
    Directory(#[from] std::io::Error),
    /// The store was away for as long as it was waited for. What was not stored is still there.
    #[error("the store takes nothing; what is left waits in the spool")]
    Away(#[source] StoreError),
    /// The store refuses to know of a session's end, or of what was lost of it.
    #[error("the store refuses the end of an earlier session")]
    Refused(#[source] StoreError),
}
