//! What the writer's thread is asked to do, in order of urgency: records and whatever else somebody
//! waits for first, housekeeping when nothing else is there.

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
    ended: bool,
    /// Who waits for the end of the thread. Dropped with it.
    closing: Vec<oneshot::Sender<()>>,
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
            }),
            bell: Condvar::new(),
        }
    }
}

impl<R> Inbox<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request in; gives it back once it is closed.
    pub(crate) fn put(&self, request: R, urgency: Urgency) -> Result<(), R> {
        let mut state = self.state();
        if state.closed {
            return Err(request);
        }
        match urgency {
            Urgency::Now => state.now.push_back(request),
            Urgency::Later => state.later.push_back(request),
        }
        drop(state);
        self.bell.notify_one();
        Ok(())
    }

    /// Waits for the next request; `None` when it is closed and everything was taken that somebody
    /// waits for.
    pub(crate) fn next(&self) -> Option<R> {
        let mut state = self.state();
        loop {
            if let Some(request) = state.now.pop_front() {
                return Some(request);
            }
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

    /// Takes nothing more in. What was asked before is served; the receiver ends with the thread.
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

    /// The thread has ended: lets go of whoever waits for that, and of what nobody will serve.
    pub(crate) fn has_ended(&self) {
        let mut state = self.state();
        state.closed = true;
        state.ended = true;
        let left = (
            std::mem::take(&mut state.now),
            std::mem::take(&mut state.later),
            std::mem::take(&mut state.closing),
        );
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_goes_first_and_closing_loses_nothing() {
        let inbox = Inbox::default();
        inbox.put("prune", Urgency::Later).unwrap();
        inbox.put("one", Urgency::Now).unwrap();
        inbox.put("two", Urgency::Now).unwrap();
        assert_eq!(inbox.next(), Some("one"));
        let mut ended = inbox.close();
        assert_eq!(inbox.put("late", Urgency::Now), Err("late"));
        assert_eq!(inbox.next(), Some("two"));
        assert_eq!(inbox.next(), Some("prune"));
        assert_eq!(inbox.next(), None);
        assert!(ended.try_recv().is_err());
        inbox.has_ended();
        assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        let again = inbox.close().try_recv();
        assert_eq!(again, Err(oneshot::error::TryRecvError::Closed));
    }
}
