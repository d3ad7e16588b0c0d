//! Counts running executions, and refuses new ones while paused or closed. Every execution passes here twice, so
//! each way costs one atomic addition: a task tracker's token costs twice that.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use executor_core::{Command, Refused};
use tokio::sync::Notify;

/// The two lowest bits mean closed and paused; the others count.
const CLOSED: usize = 1;
const PAUSED: usize = 2;
const ONE: usize = 4;

#[derive(Default)]
pub(crate) struct Running {
    state: AtomicUsize,
    one_ended: Notify,
    refused: AtomicU64,
}

/// Counts one running execution until it is dropped.
pub(crate) struct Inside<'r>(&'r Running);

impl Running {
    /// Counts an execution in, unless the executor is closed or paused.
    pub(crate) fn enter(&self) -> Result<Inside<'_>, Refused> {
        // Count first, so that a later close waits for this execution.
        let inside = Inside(self);
        let before = self.state.fetch_add(ONE, Ordering::AcqRel);
        if before & (CLOSED | PAUSED) == 0 {
            return Ok(inside);
        }
        let is_closed = before & CLOSED != 0;
        Err(self.refuse(if is_closed {
            Refused::Stopping
        } else {
            Refused::Paused
        }))
    }

    /// Counts an execution in, unless the executor or the command's target refuses it.
    #[inline]
    pub(crate) fn enter_for(&self, command: &Command) -> Result<Inside<'_>, Refused> {
        let inside = self.enter()?;
        match command.refusal() {
            None => Ok(inside),
            Some(refused) => Err(self.refuse(refused)),
        }
    }

    /// Counts an execution out; [`Inside`] does so when dropped.
    pub(crate) fn leave(&self) {
        let before = self.state.fetch_sub(ONE, Ordering::AcqRel);
        if before & CLOSED != 0 {
            self.one_ended.notify_waiters();
        }
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&self, refused: Refused) -> Refused {
        self.refused.fetch_add(1, Ordering::Relaxed);
        refused
    }

    /// Returns how many commands were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.state.load(Ordering::Acquire) / ONE
    }

    /// Refuses everything from now on.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        self.one_ended.notify_waiters();
    }

    /// Refuses everything until it is resumed.
    pub(crate) fn pause(&self) {
        self.state.fetch_or(PAUSED, Ordering::AcqRel);
    }

    pub(crate) fn resume(&self) {
        self.state.fetch_and(!PAUSED, Ordering::AcqRel);
    }

    /// Waits until it is closed and no more than `left` are inside.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait.
    pub(crate) async fn wait(&self, left: usize) {
        loop {
            // Listen before checking: the last one may leave in between.
            let one_ended = self.one_ended.notified();
            let state = self.state.load(Ordering::Acquire);
            if state & CLOSED != 0 && state / ONE <= left {
                return;
            }
            one_ended.await;
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests;
