//! Shows what the processes on this machine are doing, according to their spools.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use executor_core::lines::Lines;
#[cfg(feature = "process")]
use executor_core::ports::Orphan;
use executor_core::ports::{
    HistoryError, HistoryErrorClass, HistoryFuture, LiveSession, LiveState, ProgramGroup,
    RunningExecution,
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
    let mut frames = Frames::default();
    dump(dir, |_, entry| {
        if let Some(Entry::Frame {
            kind,
            settled: false,
            sequence,
            payload,
            ..
        }) = entry
        {
            frames.add(sequence, content(kind, payload));
        }
    })?;
    live.waiting = frames.ended.len() as u64;
    live.running = frames.into_running();
    Ok(())
}

/// What is in the frames of a spool, by their sequence: a frame and its copy have the same.
#[derive(Default)]
struct Frames {
    started: BTreeMap<u64, RunningExecution>,
    ended: BTreeMap<u64, ExecutionId>,
    programs: BTreeMap<u64, (ExecutionId, ProgramGroup)>,
    said: HashMap<ExecutionId, BTreeMap<u64, (Timestamp, Lines)>>,
}

impl Frames {
    fn add(&mut self, sequence: u64, content: Content) {
        match content {
            Content::Lines {
                execution_id,
                at,
                lines,
            } => {
                let pieces = self.said.entry(execution_id).or_default();
                pieces.insert(sequence, (at, lines));
            }
            Content::Program {
                execution_id,
                group,
            } => drop(self.programs.insert(sequence, (execution_id, group))),
            Content::Start(start) => drop(self.started.insert(sequence, running(*start))),
            Content::Record(record) => drop(self.ended.insert(sequence, record.execution_id)),
            Content::End(_) | Content::Session | Content::Unknown { .. } => {}
        }
    }

    /// Returns what has begun and not ended, the oldest first. A start may outlive its record for a moment.
    fn into_running(mut self) -> Vec<RunningExecution> {
        let ended: HashSet<ExecutionId> = self.ended.values().copied().collect();
        let started = std::mem::take(&mut self.started).into_values();
        let mut runs: Vec<_> = started
            .filter(|start| !ended.contains(&start.execution_id))
            .collect();
        for run in &mut runs {
            run.lines = self.lines_of(run);
            let programs = self.programs.values();
            let its = programs.filter(|(id, _)| *id == run.execution_id);
            run.programs = its.map(|(_, group)| group.clone()).collect();
        }
        runs.sort_by_key(|run| (run.started_at, run.execution_id));
        runs
    }

    fn lines_of(&self, run: &RunningExecution) -> Option<Lines> {
        let pieces = self.said.get(&run.execution_id)?.values();
        Lines::joined(pieces.map(|(at, lines)| {
            let after = at.saturating_duration_since(run.started_at);
            (after, lines)
        }))
    }
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
