//! The current execution. It is set around every poll and every drop of user code, so overlapping
//! executions each see their own, whichever thread polls them.

use std::cell::RefCell;
use std::future::Future;
use std::num::NonZeroI64;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use uuid::NonNilUuid;

use crate::identity::ExecutionId;
use crate::lines::buffer::LineBuffer;
use crate::lines::running::{RunnerNumber, SharedLines};
use crate::lines::{LineKind, LinePolicy};
use crate::time::Timestamp;

pub(crate) mod sinks;

thread_local! {
    static CURRENT: RefCell<Scope> = const { RefCell::new(Scope::NONE) };
}

/// The state that an execution shares with the code inside it. It is in the thread's slot while that
/// code runs, and with the execution otherwise.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// Of a type for which `None` takes no room, for the same reason as below.
    id: Option<NonNilUuid>,
    /// Created on request: most handlers never ask for it.
    pub(crate) cancel: Option<CancellationToken>,
    /// Boxed, because it is almost always empty and each poll moves the scope in and out.
    left: Option<Box<LeftBehind>>,
    /// What it said. Created on request, and shared with what it spawns.
    lines: Option<Arc<SharedLines>>,
    pub(crate) traits: Traits,
}

/// Properties of an execution that everything it starts inherits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// The number of error handlers between it and an execution that no error handler started.
    pub(crate) generation: u8,
    /// Whether errors that are created in it capture a backtrace.
    pub(crate) records_backtraces: bool,
    /// Whether what it says is kept; `None` leaves that to its end.
    pub(crate) lines: Option<LinePolicy>,
    /// The runner that runs it.
    pub(crate) runner: RunnerNumber,
    /// When it was due, if a schedule began it.
    pub(crate) due_at: Option<DueTime>,
}

/// A time for which `None` takes no room: each poll moves it in and out with the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueTime(NonZeroI64);

impl DueTime {
    /// Returns `None` for the very first of all times, at which nothing is due.
    pub(crate) fn of(time: Timestamp) -> Option<Self> {
        NonZeroI64::new(time.as_micros() ^ i64::MIN).map(Self)
    }

    const fn time(self) -> Timestamp {
        Timestamp::from_micros(self.0.get() ^ i64::MIN)
    }
}

/// Things that an execution leaves behind: work that continues, or a wait for a thread that never became free.
#[derive(Debug, Default)]
pub(crate) struct LeftBehind {
    /// The name of the blocking thread that it left behind.
    pub(crate) thread: Option<Arc<str>>,
    /// It ended while it was waiting for a blocking thread.
    pub(crate) got_no_thread: bool,
    /// Programs that are being ended.
    pub(crate) programs: Vec<EndingProgram>,
    /// The exit status of the program that it ran.
    pub(crate) exit_code: Option<i32>,
}

/// A program that is being ended with its group.
#[derive(Debug)]
pub(crate) struct EndingProgram {
    /// Cancelling it kills the program without further grace.
    pub(crate) kill: CancellationToken,
    /// Closes when the group has ended or was given up; nothing is ever sent.
    pub(crate) is_over: oneshot::Receiver<()>,
}

impl Scope {
    const NONE: Self = Self {
        id: None,
        cancel: None,
        left: None,
        lines: None,
        traits: Traits {
            generation: 0,
            records_backtraces: false,
            lines: None,
            runner: RunnerNumber(0),
            due_at: None,
        },
    };

    pub(crate) const fn of(id: ExecutionId, traits: Traits) -> Self {
        Self {
            id: NonNilUuid::new(*id.as_uuid()),
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

    /// Forgets earlier waits: the execution gave those up by itself.
    pub(crate) fn forget_waits(&mut self) {
        if let Some(left) = &mut self.left {
            left.got_no_thread = false;
        }
    }

    pub(crate) fn exit_code(&self) -> Option<i32> {
        self.left.as_ref()?.exit_code
    }

    /// Takes what it has said so far; what is said later is lost.
    pub(crate) fn take_lines(&mut self) -> Option<LineBuffer> {
        let lines = self.lines.take()?;
        Some(lines.buffer().take())
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

    /// Makes this the current one until the returned value is dropped, even by a panic.
    pub(crate) fn enter(&mut self) -> Entered<'_> {
        swap(self);
        Entered { scope: self }
    }
}

/// Swaps `scope` with the thread's slot. A thread that is being torn down has no slot, so nothing is current there.
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

/// Returns the id of the execution in which this code runs; `None` outside of an execution, and in tasks that were
/// spawned without [`inherit`].
///
/// ```
/// assert_eq!(executor_core::current_execution_id(), None);
/// ```
pub fn current_execution_id() -> Option<ExecutionId> {
    let id = CURRENT.try_with(|current| current.borrow().id).ok()??;
    Some(ExecutionId::from_uuid(id.get()))
}

/// Returns the time at which the current run was due, before jitter, so that a job that makes up for a missed run can
/// do its work for that time; or the time at which its event happened. `None` unless a schedule began the run or the
/// event's sender has told its time.
///
/// ```
/// assert_eq!(executor_core::context::due_at(), None);
/// ```
pub fn due_at() -> Option<Timestamp> {
    traits().due_at.map(DueTime::time)
}

/// Returns a token that is cancelled when the caller, the service or a later run ends the execution in
/// which this code runs. The handler then has `cancel_grace` to return. The token is also cancelled when
/// the deadline passes or the execution is dropped: the handler's future is then gone, but a thread that
/// it left behind and tasks that it spawned may listen.
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

/// Records something that the current execution leaves behind.
pub(crate) fn leave_behind(what: impl FnOnce(&mut LeftBehind)) {
    let _ = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        // Outside an execution nobody would read it.
        if current.id.is_some() {
            what(current.left.get_or_insert_default());
        }
    });
}

/// The lines of the current execution; `None` outside of one, and if none of them will be kept.
fn lines() -> Option<Arc<SharedLines>> {
    let lines = CURRENT.try_with(|current| {
        let mut current = current.borrow_mut();
        let (id, traits) = (current.id?, current.traits);
        if traits.lines == Some(LinePolicy::None) {
            return None;
        }
        let new = || SharedLines::new(ExecutionId::from_uuid(id.get()), traits.runner);
        Some(Arc::clone(current.lines.get_or_insert_with(new)))
    });
    lines.ok().flatten()
}

fn say(add: impl FnOnce(&mut LineBuffer)) {
    if let Some(lines) = lines() {
        lines.say(add);
    }
}

/// Returns whether a line that is said here may be kept: this code runs in an execution whose [`LinePolicy`] is not
/// `none`. Layers that capture a log need not format other lines.
///
/// ```
/// assert!(!executor_core::context::keeps_lines());
/// ```
pub fn keeps_lines() -> bool {
    let keeps = CURRENT.try_with(|current| {
        let current = current.borrow();
        current.id.is_some() && current.traits.lines != Some(LinePolicy::None)
    });
    keeps.unwrap_or(false)
}

/// Adds a line to what the current execution says; it is kept with its record, as its
/// [`LinePolicy`] says. Does nothing outside of an execution.
///
/// ```
/// use executor_core::{HandlerError, context};
///
/// async fn water_the_plants() -> Result<(), HandlerError> {
///     context::line("the tank is half empty");
///     Err(HandlerError::known("the valve is stuck"))
/// }
/// # drop(water_the_plants());
/// ```
pub fn line(text: impl AsRef<str>) {
    log(LineKind::Info, "", text.as_ref());
}

/// Does the same with a level and the module that says it, for layers that capture a program's log.
pub fn log(kind: LineKind, target: &str, text: &str) {
    say(|lines| lines.log(kind, target, text));
}

/// Adds bytes that a program has printed for the current execution, to its [`Stdout`](LineKind::Stdout) or
/// [`Stderr`](LineKind::Stderr); any other kind counts as the former. `CommandLine` does this by itself; this function
/// is for a program that a handler runs in its own way, one at a time.
pub fn print(kind: LineKind, bytes: &[u8]) {
    say(|lines| lines.print(kind, bytes));
}

/// The current execution, to be entered elsewhere.
pub(crate) fn shared_scope() -> Scope {
    let Some(id) = current_execution_id() else {
        return Scope::NONE;
    };
    Scope {
        cancel: Some(cancellation()),
        lines: lines(),
        ..Scope::of(id, traits())
    }
}

/// Carries the id, the [`cancellation`] and the tracing span of the current execution into a future that will be
/// polled elsewhere: `tokio::spawn(inherit(work()))`.
///
/// Cancelling the returned future cancels the wrapped one.
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
    let span = Span::current();
    async move {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| -> Poll<F::Output> {
            let _entered = scope.enter();
            let _span = span.enter();
            future.as_mut().poll(cx)
        })
        .await
    }
}
