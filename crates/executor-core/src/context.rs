//! Which execution is the current one. Set around every poll and every drop of user code, so
//! that overlapping executions each see their own, whichever thread polls them.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::NonNilUuid;

use crate::identity::ExecutionId;

thread_local! {
    static CURRENT: RefCell<Scope> = const { RefCell::new(Scope::NONE) };
}

/// What code inside an execution can see of it, and tell it. It lies in the thread's slot while
/// that code runs, and with the execution otherwise.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// In a form whose absence takes no room, for the same reason as below.
    id: Option<NonNilUuid>,
    /// Made when somebody asks for it: most handlers never do.
    pub(crate) cancel: Option<CancellationToken>,
    /// Boxed: there hardly ever is anything, and a scope is moved in and out with each poll.
    left: Option<Box<LeftBehind>>,
    pub(crate) traits: Traits,
}

/// What is the same for all that an execution does, and for what that starts in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// How many error handlers lie between it and what no error handler has started.
    pub(crate) generation: u8,
    /// Errors that are made in it remember where.
    pub(crate) records_backtraces: bool,
}

/// What goes on though the execution has ended, or never came about.
#[derive(Debug, Default)]
pub(crate) struct LeftBehind {
    /// The name of the blocking thread that it left behind.
    pub(crate) thread: Option<Arc<str>>,
    /// It ended while it was waiting for a blocking thread.
    pub(crate) got_no_thread: bool,
    /// Programs that are being ended.
    pub(crate) programs: Vec<EndingProgram>,
}

/// A program that is being ended with its group.
#[derive(Debug)]
pub(crate) struct EndingProgram {
    /// Has it killed without any more grace.
    pub(crate) kill: CancellationToken,
    /// An error, which is all that ever comes, says that the group has ended or was given up.
    pub(crate) is_over: oneshot::Receiver<()>,
}

impl Scope {
    const NONE: Self = Self {
        id: None,
        cancel: None,
        left: None,
        traits: Traits {
            generation: 0,
            records_backtraces: false,
        },
    };

    pub(crate) const fn of(id: ExecutionId, traits: Traits) -> Self {
        Self {
            id: NonNilUuid::new(id.0),
            traits,
            ..Self::NONE
        }
    }

    /// The thread that a blocking handler left behind.
    pub(crate) fn leaked(&self) -> Option<&Arc<str>> {
        self.left.as_ref()?.thread.as_ref()
    }

    pub(crate) fn got_no_thread(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.got_no_thread)
    }

    /// Whatever it waited for until now it has given up by itself.
    pub(crate) fn forget_waits(&mut self) {
        if let Some(left) = &mut self.left {
            left.got_no_thread = false;
        }
    }

    pub(crate) fn has_programs(&self) -> bool {
        self.left
            .as_ref()
            .is_some_and(|left| !left.programs.is_empty())
    }

    pub(crate) fn take_programs(&mut self) -> Vec<EndingProgram> {
        let left = self.left.as_mut();
        left.map(|left| std::mem::take(&mut left.programs))
            .unwrap_or_default()
    }

    /// Makes this the current one until the returned value is dropped, also by a panic.
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        swap(self);
        Entered { scope: self }
    }
}

/// A thread that is being torn down has no slot any more, and then nothing is current.
fn swap(scope: &mut Scope) {
    let _ = CURRENT.try_with(|current| std::mem::swap(&mut *current.borrow_mut(), scope));
}

pub(crate) struct Entered<'s> {
    scope: &'s mut Scope,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        swap(self.scope);
    }
}

/// The execution in which this code runs; `None` outside of one, and in tasks that were spawned
/// without [`inherit`].
///
/// ```
/// assert_eq!(executor_core::current_execution_id(), None);
/// ```
pub fn current_execution_id() -> Option<ExecutionId> {
    let id = CURRENT.try_with(|current| current.borrow().id).ok()??;
    Some(ExecutionId(id.get()))
}

/// Is cancelled when the execution in which this code runs is to end: when its caller or the
/// service says so, or when a later run takes its place. The handler then has `cancel_grace` to
/// return. It is cancelled also when the deadline passes or the execution is dropped: then the
/// handler's future is gone, but a thread that it left behind and tasks that it spawned may listen.
///
/// Outside of an execution the token is never cancelled.
///
/// ```
/// use executor_core::{HandlerError, context};
///
/// async fn watch_the_door() -> Result<(), HandlerError> {
///     tokio::select! {
///         () = context::cancellation().cancelled_owned() => Ok(()), // hang up in order
///         () = std::future::pending() => Ok(()),                    // the work itself
///     }
/// }
/// # drop(watch_the_door());
/// ```
pub fn cancellation() -> CancellationToken {
    let token = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        if current.id.is_none() {
            return CancellationToken::new();
        }
        current.cancel.get_or_insert_default().clone()
    });
    token.unwrap_or_default()
}

/// The traits of the current execution.
pub(crate) fn traits() -> Traits {
    let traits = CURRENT.try_with(|current| current.borrow().traits);
    traits.unwrap_or_default()
}

/// Says what the current execution leaves behind.
pub(crate) fn leave_behind(what: impl FnOnce(&mut LeftBehind)) {
    let _ = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        // Outside of any execution nobody would ask for it.
        if current.id.is_some() {
            what(current.left.get_or_insert_default());
        }
    });
}

/// The current execution, to be entered elsewhere.
pub(crate) fn shared_scope() -> Scope {
    let Some(id) = current_execution_id() else {
        return Scope::NONE;
    };
    Scope {
        cancel: Some(cancellation()),
        ..Scope::of(id, traits())
    }
}

/// Carries the current execution into a future that will be polled elsewhere, its id and its
/// [`cancellation`]: `tokio::spawn(inherit(work()))`.
///
/// Cancelling the future that this returns cancels the one it wraps.
///
/// ```
/// use executor_core::{HandlerError, context, current_execution_id};
///
/// async fn handle() -> Result<(), HandlerError> {
///     let mine = current_execution_id();
///     let theirs = tokio::spawn(context::inherit(async { current_execution_id() })).await?;
///     assert_eq!(mine, theirs);
///     Ok(())
/// }
/// # drop(handle());
/// ```
pub fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let mut scope = shared_scope();
    async move {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| -> Poll<F::Output> {
            let _entered = scope.enter();
            future.as_mut().poll(cx)
        })
        .await
    }
}
