//! Inspects spools from outside, for the command line, and hands their records to a store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use executor_core::lines::Lines;
use executor_core::ports::{Orphan, ProgramGroup, Session, SessionEnd, Store};
use executor_core::{
    DropReason, ExecutionId, ExecutionRecord, Ledger, StoreError, SystemClock, Timestamp,
};
use record_spool::{Counters, SpoolError};

use crate::recovery::directories::{deleted_spools, directories, is_ours, restore_missing};
use crate::recovery::reckoning::{Noted, Segments, reckon};
use crate::recovery::{Account, Takeover, Unfinished};
use crate::spool::codec;
use crate::spool::counters::noted_of;
use crate::spool::session_spool::{kind, page_of};

pub use crate::recovery::machine::MachineSpools;
pub use record_spool::{Entry, SegmentReport, dump, fsck};

/// The content of a spool's frame.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// An execution has ended.
    Record(Box<ExecutionRecord>),
    /// An execution has begun. This is the record that it would get if its process died now.
    Start(Box<ExecutionRecord>),
    /// The session ended while the store was unavailable.
    End(SessionEnd),
    /// An execution has said something, the first line at this time.
    Lines {
        /// The execution.
        execution_id: ExecutionId,
        /// The time of the first line, from which the times of all count.
        at: Timestamp,
        /// What it said.
        lines: Lines,
    },
    /// An execution has started a program, which has not ended since, as far as its process knew.
    Program {
        /// The execution.
        execution_id: ExecutionId,
        /// The program's process group.
        group: ProgramGroup,
    },
    /// The session has begun. The frame stays until the session has ended properly.
    Session,
    /// A frame that this program does not understand.
    Unknown {
        /// The reason.
        why: String,
    },
}

/// Decodes a frame.
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
        kind::LINES => codec::read_lines(payload).map(|(execution_id, at, lines)| Content::Lines {
            execution_id,
            at,
            lines,
        }),
        kind::PROGRAM => {
            codec::read_program(payload).map(|(execution_id, group)| Content::Program {
                execution_id,
                group,
            })
        }
        kind::END => codec::read_end(payload).map(Content::End),
        kind::SESSION => Ok(Content::Session),
        _ => Err(codec::Malformed::Value("kind")),
    };
    read.unwrap_or_else(|error| Content::Unknown {
        why: error.to_string(),
    })
}

/// Returns the session that a spool belongs to, and its latest ledger; `None` if the spool's page is missing or
/// damaged.
///
/// # Errors
///
/// The page exists but cannot be read.
pub fn owner(dir: &Path) -> Result<Option<(Session, Ledger)>, SpoolError> {
    let page = Counters::read(&page_of(dir))?;
    Ok(page.and_then(|(note, counters)| {
        let session = codec::read_session(&note).ok()?;
        Some((session, noted_of(&counters).ledger()))
    }))
}

/// Returns the spools below a directory, the oldest first, or the directory itself if it is a spool.
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

/// Returns the spools below a directory that somebody deleted with records in them, as far as the pages beside them
/// show; [`missing`] returns how many records.
pub fn deleted(root: &Path) -> Vec<PathBuf> {
    deleted_spools(root).collect()
}

/// Returns how many records were written to a spool and are neither in it nor known to have been stored or dropped;
/// `None` if its counters are missing or damaged. For a live process, the number may be too small, but never too
/// large.
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
    // By now the counters include records that were settled meanwhile.
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

/// The result of a replay.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Replayed {
    /// The number of spools that were taken over.
    pub spools: usize,
    /// The number of spools of live processes, which were left alone.
    pub alive: usize,
    /// The number of sessions with damaged counters; their ledgers were rebuilt from what can be counted.
    pub rebuilt: usize,
    /// The number of damaged files that were moved aside.
    pub damaged_files: usize,
    /// The spools that could not be read or removed, each with the reason. Records that were not stored are still
    /// there.
    pub unfinished: Vec<(PathBuf, SpoolError)>,
    /// The ledger of the recovered records.
    pub ledger: Ledger,
}

/// Stores the records that dead processes left below `dir`, as the next start would. If the store is unavailable,
/// waits for it, up to `patience` at each step. Idempotent.
///
/// # Errors
///
/// The directory cannot be read, or the store does not answer; records that were not stored are still there.
///
/// # Cancel safety
///
/// Dropping the future leaves the rest for a later replay.
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
            // Go on with the other spools.
            Err(Unfinished::Spool(error)) => {
                replayed.unfinished.push((dir, error));
            }
            Err(Unfinished::Away(error)) => return Err(ReplayError::Away(error)),
            Err(Unfinished::Refused(error)) => return Err(ReplayError::Refused(error)),
        }
    }
    replayed.ledger = sum.ledger();
    // Committed records are safe, even if closing fails.
    let _ = store.close().await;
    Ok(replayed)
}

/// The ledger of a replay.
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

    /// Their executions name them.
    fn found_programs(&self, _: Vec<Orphan>) {}
}

/// The reason why a replay could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The directory cannot be read.
    #[error("the directory cannot be read")]
    Directory(#[from] std::io::Error),
    /// The store stayed unavailable for the whole wait. Records that were not stored are still there.
    #[error("the store takes nothing; what is left waits in the spool")]
    Away(#[source] StoreError),
    /// The store refuses to record the end of a session, or its losses.
    #[error("the store refuses the end of an earlier session")]
    Refused(#[source] StoreError),
}
