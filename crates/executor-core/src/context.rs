//! Which execution is the current one. Set around every poll and every drop of user code, so
//! that overlapping executions each see their own, whichever thread polls them.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use crate::identity::ExecutionId;

thread_local! {
    static CURRENT: Cell<Option<ExecutionId>> = const { Cell::new(None) };
}

/// The execution in which this code runs; `None` outside of one, and in tasks that were spawned
/// without [`inherit`].
pub fn current_execution_id() -> Option<ExecutionId> {
    CURRENT.get()
}

/// Carries the current execution id into a future that will be polled elsewhere:
/// `tokio::spawn(inherit(work()))`.
///
/// Cancelling the future that this returns cancels the one it wraps.
pub fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let id = current_execution_id();
    async move {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| -> Poll<F::Output> {
            let _entered = enter(id);
            future.as_mut().poll(cx)
        })
        .await
    }
}

/// Sets the current execution until the returned value is dropped, also by a panic.
pub(crate) fn enter(id: Option<ExecutionId>) -> Entered {
    Entered {
        outer: CURRENT.replace(id),
    }
}

pub(crate) struct Entered {
    outer: Option<ExecutionId>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}
