//! Counts what runs, and refuses what comes after it was closed. Every execution passes here twice, so
//! it is one atomic addition each way: a task tracker's token costs twice that.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The lowest bit says that it is closed; the others count.
const CLOSED: usize = 1;
const ONE: usize = 2;

#[derive(Default)]
pub(crate) struct Running {
    state: AtomicUsize,
    all_ended: Notify,
}

/// One that runs, until this is dropped.
pub(crate) struct Inside<'r>(&'r Running);

impl Running {
    /// Counts one in; `None` once it is closed.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        // Counted first: whoever closes it later waits for this one.
        let inside = Inside(self);
        let before = self.state.fetch_add(ONE, Ordering::AcqRel);
        (before & CLOSED == 0).then_some(inside)
    }

    pub(crate) fn len(&self) -> usize {
        self.state.load(Ordering::Acquire) / ONE
    }

    /// From now on nothing enters.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        self.all_ended.notify_waiters();
    }

    /// Waits until it is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting, nothing else.
    pub(crate) async fn wait(&self) {
        loop {
            // Listening first: the last one may leave between looking and listening.
            let left = self.all_ended.notified();
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(ONE, Ordering::AcqRel);
        if before == ONE | CLOSED {
            self.0.all_ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_closes_it_waits_for_all_that_entered_and_for_nobody_else() {
        for _ in 0..200 {
            let running = Arc::new(Running::default());
            let mut tasks = Vec::new();
            for _ in 0..8 {
                let running = Arc::clone(&running);
                tasks.push(tokio::spawn(async move {
                    let mut entered = 0;
                    while let Some(_inside) = running.enter() {
                        entered += 1;
                        tokio::task::yield_now().await;
                    }
                    entered
                }));
            }
            tokio::task::yield_now().await;
            running.close();
            running.wait().await;
            assert!(running.enter().is_none());
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(running.len(), 0);
        }
    }
}
