//! The requests to the writer's thread, in order of urgency: records and anything else that somebody
//! waits for come first, housekeeping when there is nothing else.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// When a request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Now,
    /// When nobody waits for anything else.
    Later,
}

pub(crate) struct Inbox<R> {
    state: Mutex<State<R>>,
    bell: Condvar,
}

struct State<R> {
    now: VecDeque<R>,
    later: VecDeque<R>,
    closed: bool,
    /// No thread serves: it has ended as it should, or died.
    ended: bool,
    /// The callers that wait for the end of the thread. Dropped when it ends.
    closing: Vec<oneshot::Sender<()>>,
    /// Urgent requests since the last one that was not urgent.
    in_a_row: u32,
}

/// After this many urgent requests a `Later` one has its turn: otherwise two callers that take turns
/// would starve it.
const URGENT_IN_A_ROW: u32 = 16;

/// The reason why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<R> {
    /// The inbox is closed for good.
    Closed,
    /// The thread died, and nobody serves until it is started again.
    Dead(R),
}

impl<R> Default for Inbox<R> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                now: VecDeque::new(),
                later: VecDeque::new(),
                closed: false,
                ended: false,
                closing: Vec::new(),
                in_a_row: 0,
            }),
            bell: Condvar::new(),
        }
    }
}

impl<R> Inbox<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request in.
    pub(crate) fn put(&self, request: R, urgency: Urgency) -> Result<(), Refused<R>> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.ended {
            return Err(Refused::Dead(request));
        }
        match urgency {
            Urgency::Now => state.now.push_back(request),
            Urgency::Later => state.later.push_back(request),
        }
        drop(state);
        self.bell.notify_one();
        Ok(())
    }

    /// Waits for the next request; `None` once the inbox is closed and empty.
    pub(crate) fn next(&self) -> Option<R> {
        let mut state = self.state();
        loop {
            let is_its_turn = state.in_a_row >= URGENT_IN_A_ROW && !state.later.is_empty();
            if !is_its_turn && let Some(request) = state.now.pop_front() {
                state.in_a_row += 1;
                return Some(request);
            }
            state.in_a_row = 0;
            if let Some(request) = state.later.pop_front() {
                return Some(request);
            }
            if state.closed {
                return None;
            }
            state = self
                .bell
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses further requests. Earlier ones are served; the receiver completes when the thread ends.
    pub(crate) fn close(&self) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        let mut state = self.state();
        state.closed = true;
        if !state.ended {
            state.closing.push(done);
        }
        drop(state);
        self.bell.notify_one();
        is_done
    }

    /// Marks the thread as ended or dead: releases those who wait for that, and drops the requests that nobody
    /// will serve. Unless the inbox is closed, another thread may begin.
    pub(crate) fn has_ended(&self) {
        let mut state = self.state();
        state.ended = true;
        let left = (
            std::mem::take(&mut state.now),
            std::mem::take(&mut state.later),
            std::mem::take(&mut state.closing),
        );
        drop(state);
        drop(left);
    }

    /// Whether the thread has died and no other has begun.
    pub(crate) fn is_deserted(&self) -> bool {
        let state = self.state();
        state.ended && !state.closed
    }

    /// Marks the inbox as served again: another thread is about to replace one that died.
    pub(crate) fn begins_again(&self) {
        let mut state = self.state();
        state.ended = state.closed;
    }
}

#[cfg(test)]
mod tests;
