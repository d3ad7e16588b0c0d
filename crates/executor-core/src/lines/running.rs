//! The lines of all running executions: the largest give way to others when memory is short, and a flusher hands what
//! is new to the sink.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::buffer::LineBuffer;
use super::kept;
use crate::identity::ExecutionId;

/// The lines of one running execution, which it shares with what it spawns.
#[derive(Debug)]
pub(crate) struct SharedLines {
    id: ExecutionId,
    runner: RunnerNumber,
    is_listed: AtomicBool,
    buffer: Mutex<LineBuffer>,
}

/// Tells the runners of a process apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunnerNumber(pub(crate) u32);

static LIVE: Mutex<Vec<Weak<SharedLines>>> = Mutex::new(Vec::new());

/// Tells flushers that something was said, or that they are to stop.
static CHANGED: Condvar = Condvar::new();

/// The number of executions above which those that have ended are looked for.
const SWEEP_FROM: usize = 64;

impl SharedLines {
    pub(crate) fn new(id: ExecutionId, runner: RunnerNumber) -> Arc<Self> {
        Arc::new(Self {
            id,
            runner,
            is_listed: AtomicBool::new(false),
            buffer: Mutex::default(),
        })
    }

    pub(crate) const fn id(&self) -> ExecutionId {
        self.id
    }

    pub(crate) fn buffer(&self) -> MutexGuard<'_, LineBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something that is said.
    pub(crate) fn say(self: &Arc<Self>, add: impl FnOnce(&mut LineBuffer)) {
        if kept::is_full() {
            make_room();
        }
        add(&mut self.buffer());
        if !self.is_listed.swap(true, Ordering::Relaxed) {
            list(self);
        }
    }
}

fn live() -> MutexGuard<'static, Vec<Weak<SharedLines>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn list(lines: &Arc<SharedLines>) {
    let mut live = live();
    // Doubles before it is swept again, so that each entry costs a constant.
    if live.len() >= SWEEP_FROM && live.len() == live.capacity() {
        live.retain(|lines| lines.strong_count() > 0);
    }
    live.push(Arc::downgrade(lines));
    CHANGED.notify_all();
}

fn all() -> Vec<Arc<SharedLines>> {
    let mut live = live();
    let all: Vec<_> = live.iter().filter_map(Weak::upgrade).collect();
    live.retain(|lines| lines.strong_count() > 0);
    drop(live);
    all
}

/// Makes the execution that has said most give way.
fn make_room() {
    let all = all();
    let largest = all.iter().max_by_key(|lines| lines.buffer().memory());
    if let Some(largest) = largest {
        largest.buffer().give_way();
    }
}

/// Returns the executions of this runner that have said something.
pub(crate) fn of_runner(runner: RunnerNumber) -> Vec<Arc<SharedLines>> {
    let mut all = all();
    all.retain(|lines| lines.runner == runner);
    all
}

/// Waits until an execution has said something, but no longer than `patience`. Returns at once if one has.
pub(crate) fn wait_for_some(patience: Duration, is_stopped: &AtomicBool) {
    let live = live();
    let waits = |live: &mut Vec<Weak<SharedLines>>| {
        live.retain(|lines| lines.strong_count() > 0);
        live.is_empty() && !is_stopped.load(Ordering::Relaxed)
    };
    // A poisoned list is still a list.
    let _ = CHANGED.wait_timeout_while(live, patience, waits);
}

/// Makes those that wait check whether they are to stop.
pub(crate) fn wake() {
    // Under the lock, or one that is about to wait would miss it.
    let _live = live();
    CHANGED.notify_all();
}

#[cfg(test)]
mod tests;
