//! Finds programs that dead processes left running, before anything else is started.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use executor_core::ports::{Orphan, ProgramGroup};
use executor_core::{Entity, ExecutionId};
use record_spool::{Entry, SpoolError, dump, is_held};

use crate::recovery::directories::directories;
use crate::recovery::noted_orphans::noted;
use crate::recovery::orphans::is_alive;
use crate::spool::codec;
use crate::spool::session_spool::kind;

/// Returns those of all dead processes below `root`, each once: the noted ones, and those that only a spool knows of.
/// What cannot be read is left to recovery, which says so.
pub(crate) fn left_running(root: &Path) -> Vec<Orphan> {
    let dirs = directories(root).unwrap_or_default();
    let dead = dirs.iter().filter(|dir| !is_held(dir).unwrap_or(true));
    let spooled = dead.flat_map(|dir| of_one(dir).unwrap_or_default());
    // The notes last: what another process takes over meanwhile is noted before it leaves the spool.
    let spooled: Vec<Orphan> = spooled.collect();
    let mut orphans = noted(root);
    for orphan in spooled {
        if orphans.iter().all(|it| it.group != orphan.group) {
            orphans.push(orphan);
        }
    }
    orphans
}

fn of_one(dir: &Path) -> Result<Vec<Orphan>, SpoolError> {
    let mut groups: HashMap<ExecutionId, Vec<ProgramGroup>> = HashMap::new();
    each_unsettled(dir, |kind, payload| {
        // Only these are decoded: a spool may hold millions of records.
        if kind == kind::PROGRAM
            && let Ok((id, group)) = codec::read_program(payload)
            && is_alive(&group)
        {
            let its = groups.entry(id).or_default();
            if !its.contains(&group) {
                its.push(group);
            }
        }
    })?;
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let mut entities: HashMap<ExecutionId, Arc<Entity>> = HashMap::new();
    each_unsettled(dir, |kind, payload| {
        let started = match kind {
            kind::START => codec::read_start(payload).map(|it| (it.execution_id, it.subject)),
            // It had ended, and its program was being ended.
            kind::RECORD => codec::read_record(payload).map(|it| (it.execution_id, it.subject)),
            _ => return,
        };
        if let Ok((id, subject)) = started {
            entities.insert(id, subject.entity);
        }
    })?;
    let found = groups.into_iter().filter_map(|(execution_id, groups)| {
        let entity = entities.get(&execution_id)?;
        let orphan = move |group| Orphan::new(execution_id, Arc::clone(entity), group);
        Some(groups.into_iter().map(orphan))
    });
    Ok(found.flatten().collect())
}

fn each_unsettled(dir: &Path, mut visit: impl FnMut(u8, &[u8])) -> Result<(), SpoolError> {
    dump(dir, |_, entry| {
        if let Some(Entry::Frame {
            kind,
            settled: false,
            payload,
            ..
        }) = entry
        {
            visit(kind, payload);
        }
    })
}
