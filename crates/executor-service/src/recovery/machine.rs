//! What the processes of this machine do, as their spools show it.

use std::path::{Path, PathBuf};

use executor_core::ExecutionRecord;
use executor_core::ports::{
    HistoryError, HistoryErrorClass, HistoryFuture, LiveSession, LiveState, RunningExecution,
};
use record_spool::{Entry, SpoolError, dump, is_held};

use crate::recovery::abandoned::unknown_session;
use crate::recovery::inspect::{Content, content, owner, spools};
use crate::spool::session_spool::kind;

/// The spools below a directory, of living processes and of dead ones.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use executor_core::ports::LiveState;
/// use executor_service::inspect::MachineSpools;
///
/// for live in MachineSpools::new("telemetry.db.spool").sessions().await? {
///     println!("{}: {} running, {} waiting", live.session.host, live.running.len(), live.waiting);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MachineSpools {
    root: PathBuf,
}

impl MachineSpools {
    /// Those below this directory. It need not exist: then there are none.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl LiveState for MachineSpools {
    fn sessions(&self) -> HistoryFuture<'_, Vec<LiveSession>> {
        let root = self.root.clone();
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || {
                let dirs = spools(&root)?;
                Ok(dirs.iter().map(|dir| seen(dir)).collect())
            });
            let found = found
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)));
            found.map_err(|error| {
                let class = HistoryErrorClass::Unavailable;
                HistoryError::new(class, "reading this machine's spools", error)
            })
        })
    }
}

/// What one spool shows.
pub(crate) fn seen(dir: &Path) -> LiveSession {
    let owner = owner(dir);
    let is_alive = is_held(dir).unwrap_or(false);
    let (session, ledger) = match &owner {
        Ok(Some((session, ledger))) => (session.clone(), Some(*ledger)),
        Ok(None) | Err(_) => (unknown_session(dir), None),
    };
    let mut live = LiveSession::new(session, is_alive);
    live.ledger = ledger;
    let looked = owner.map(drop).and_then(|()| look_into(dir, &mut live));
    live.unreadable = looked.err().map(|error: SpoolError| error.to_string());
    live.running.sort_by_key(|running| running.started_at);
    live
}

fn look_into(dir: &Path, live: &mut LiveSession) -> Result<(), SpoolError> {
    dump(dir, |_, entry| {
        let Some(Entry::Frame {
            kind: sort,
            settled: false,
            payload,
            ..
        }) = entry
        else {
            return;
        };
        match content(sort, payload) {
            Content::Start(start) => live.running.push(running(*start)),
            _ if sort == kind::RECORD => live.waiting += 1,
            _ => {}
        }
    })
    .map(drop)
}

fn running(start: ExecutionRecord) -> RunningExecution {
    RunningExecution::new(
        start.execution_id,
        start.subject.entity,
        start.source_tier,
        start.started_at,
        start.trigger,
    )
}
