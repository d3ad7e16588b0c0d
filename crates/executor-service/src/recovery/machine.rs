//! Shows what the processes on this machine are doing, according to their spools.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use executor_core::lines::Lines;
#[cfg(feature = "process")]
use executor_core::ports::Orphan;
use executor_core::ports::{
    HistoryError, HistoryErrorClass, HistoryFuture, LiveSession, LiveState, RunningExecution,
};
use executor_core::{ExecutionId, ExecutionRecord, Timestamp};
use record_spool::{Entry, SpoolError, dump, is_held};

use crate::recovery::abandoned::unknown_session;
use crate::recovery::inspect::{Content, content, owner, spools};
#[cfg(feature = "process")]
use crate::recovery::left_running::left_running;

/// The spools below a directory, of live and of dead processes.
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
    /// Selects the spools below this directory. If it does not exist, there are none.
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
                let seen = dirs.iter().map(|dir| (dir, seen(dir)));
                // A session that ended meanwhile has nothing to show.
                let there = seen.filter(|(dir, live)| live.unreadable.is_none() || dir.exists());
                Ok(there.map(|(_, live)| live).collect())
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

    #[cfg(feature = "process")]
    fn orphans(&self) -> HistoryFuture<'_, Vec<Orphan>> {
        let root = self.root.clone();
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || left_running(&root));
            found.await.map_err(|error| {
                let class = HistoryErrorClass::Unavailable;
                HistoryError::new(class, "looking for programs that are still running", error)
            })
        })
    }
}

/// Reads the state that one spool shows.
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
    live
}

fn look_into(dir: &Path, live: &mut LiveSession) -> Result<(), SpoolError> {
    // A frame and its copy have the same sequence, and a start may outlive its record for a moment.
    let (mut started, mut ended) = (HashMap::new(), HashMap::new());
    let mut programs = BTreeMap::new();
    let mut said: HashMap<ExecutionId, BTreeMap<u64, (Timestamp, Lines)>> = HashMap::new();
    dump(dir, |_, entry| {
        let Some(Entry::Frame {
            kind,
            settled: false,
            sequence,
            payload,
            ..
        }) = entry
        else {
            return;
        };
        match content(kind, payload) {
            Content::Lines {
                execution_id,
                at,
                lines,
            } => {
                let pieces = said.entry(execution_id).or_default();
                pieces.insert(sequence, (at, lines));
            }
            Content::Program {
                execution_id,
                group,
            } => drop(programs.insert(sequence, (execution_id, group))),
            Content::Start(start) => drop(started.insert(sequence, running(*start))),
            Content::Record(record) => drop(ended.insert(sequence, record.execution_id)),
            Content::End(_) | Content::Session | Content::Unknown { .. } => {}
        }
    })?;
    let has_ended: HashSet<ExecutionId> = ended.values().copied().collect();
    let started = started.into_values();
    let runs = started.filter(|start| !has_ended.contains(&start.execution_id));
    live.running = runs.collect();
    for running in &mut live.running {
        let pieces = said.get(&running.execution_id).into_iter().flatten();
        let pieces = pieces.map(|(_, (at, lines))| {
            let after = at.saturating_duration_since(running.started_at);
            (after, lines)
        });
        running.lines = Lines::joined(pieces);
        let its = programs
            .values()
            .filter(|(id, _)| *id == running.execution_id);
        running.programs = its.map(|(_, group)| group.clone()).collect();
    }
    live.running
        .sort_by_key(|running| (running.started_at, running.execution_id));
    live.waiting = ended.len() as u64;
    Ok(())
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
