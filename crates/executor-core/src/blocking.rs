//! A pool of threads for handlers that block: named, bounded, and replaced when one does not return. User
//! code that blocks never runs on the runtime's threads or on a store's.
//!
//! Dropping a run's future while its thread is busy leaves that thread behind. It stays counted and named
//! until it returns. Up to [`LEAKED_MAX`] of them are replaced; past that the pool shrinks.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tracing::Span;

use crate::context::{self, Scope};
use crate::failure::HandlerError;
use crate::handler::{HandlerResult, Ran};
use crate::limiter::RateLimiter;
use crate::panics::{self, catch};
use crate::time::HeldTime;

/// The maximum number of threads left behind that are replaced.
pub const LEAKED_MAX: usize = 64;
/// The time after which a thread without work ends.
const IDLE: Duration = Duration::from_secs(10);
/// The interval between warnings of a busy pool.
const SATURATION_PERIOD: Duration = Duration::from_secs(30);

/// The default size of a pool: `min(32, cores + 4)`.
pub fn default_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores + 4).min(32)
}

/// The threads on which blocking handlers run. Clones share one pool; dropping the last one ends idle
/// threads.
///
/// ```
/// # use executor_core::blocking::BlockingPool;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pool = BlockingPool::new(4);
/// let read = pool.run("read the meter", || Ok(()));
/// assert!(read.await.is_ok());
/// assert!(pool.leaked().is_empty());
/// # }
/// ```
#[derive(Clone)]
pub struct BlockingPool {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// A thread that is still running after its execution has ended.
///
/// ```
/// let pool = executor_core::BlockingPool::new(4);
/// pool.leaked().iter().for_each(|leaked| println!("{leaked} still runs"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeakedThread {
    /// The thread's name, as debuggers and `/proc` show it.
    pub thread: String,
    /// The name of its work.
    pub what: String,
}

impl fmt::Display for LeakedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.thread, self.what)
    }
}

struct Shared {
    threads_max: usize,
    state: Mutex<State>,
    /// Wakes idle threads.
    work_is_there: Condvar,
    /// Notified whenever a thread has ended.
    all_ended: Notify,
    saturated: RateLimiter<()>,
}

#[derive(Default)]
struct State {
    last_run: u64,
    last_thread: u64,
    /// By number of the run, which is the order of arrival.
    queue: BTreeMap<u64, Task>,
    /// By number of the run.
    running: HashMap<u64, Running>,
    /// The number of threads, busy or idle, without those left behind.
    active: usize,
    idle: usize,
    leaked: usize,
    closed: bool,
    handles: HashMap<u64, JoinHandle<()>>,
}

struct Running {
    thread: Arc<str>,
    what: Arc<str>,
    is_leaked: bool,
}

/// One run, not begun.
struct Task {
    what: Arc<str>,
    work: Box<dyn FnOnce() -> HandlerResult + Send>,
    scope: Scope,
    span: Span,
    runtime: Option<Handle>,
    reply: oneshot::Sender<Ran>,
}

impl BlockingPool {
    /// Creates a pool of at most `threads_max` threads, and at least one. A thread starts only when there is
    /// work.
    pub fn new(threads_max: usize) -> Self {
        let shared = Arc::new(Shared {
            threads_max: threads_max.max(1),
            state: Mutex::default(),
            work_is_there: Condvar::new(),
            all_ended: Notify::new(),
            saturated: RateLimiter::new(SATURATION_PERIOD, 1),
        });
        Self {
            owner: Arc::new(Owner { shared }),
        }
    }

    /// Runs `work` on a thread of the pool, inside the current execution; `what` names it while it
    /// runs. It is queued now, and begins when a thread is free. Its panic resumes in the code that
    /// awaits the run.
    pub fn run(
        &self,
        what: impl Into<Arc<str>>,
        work: impl FnOnce() -> HandlerResult + Send + 'static,
    ) -> BlockingRun {
        let (reply, answer) = oneshot::channel();
        let task = Task {
            what: what.into(),
            work: Box::new(work),
            scope: context::shared_scope(),
            span: Span::current(),
            runtime: Handle::try_current().ok(),
            reply,
        };
        let shared = Arc::clone(&self.owner.shared);
        let run = Shared::submit(&shared, task);
        BlockingRun {
            shared,
            run,
            answer,
            _held: HeldTime::new(),
        }
    }

    /// Returns the threads that are still running for executions that have ended, by name.
    pub fn leaked(&self) -> Vec<LeakedThread> {
        let state = self.owner.shared.state();
        let leaked = state.running.values().filter(|running| running.is_leaked);
        let mut leaked: Vec<_> = leaked
            .map(|running| LeakedThread {
                thread: running.thread.to_string(),
                what: running.what.to_string(),
            })
            .collect();
        leaked.sort_by(|one, other| one.thread.cmp(&other.thread));
        leaked
    }

    /// Returns the number of those threads.
    pub fn leaked_count(&self) -> usize {
        self.owner.shared.state().leaked
    }

    /// Stops taking work, and waits until every thread, including those left behind, has ended and is
    /// joined.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops the wait; threads still end when they have done their work.
    pub async fn close(&self) {
        let shared = &self.owner.shared;
        shared.close();
        loop {
            let ended = shared.all_ended.notified();
            if shared.state().has_ended() {
                break;
            }
            ended.await;
        }
        let handles = std::mem::take(&mut shared.state().handles);
        for (_, handle) in handles {
            // The thread has already released everything, and panics of its work were caught.
            let _ = handle.join();
        }
    }
}

impl State {
    fn has_ended(&self) -> bool {
        self.active == 0 && self.leaked == 0
    }

    /// Returns how many threads there may be now, besides those left behind.
    fn active_max(&self, threads_max: usize) -> usize {
        let not_replaced = self.leaked.saturating_sub(LEAKED_MAX);
        threads_max.saturating_sub(not_replaced)
    }

    fn needs_thread(&self, threads_max: usize) -> bool {
        self.queue.len() > self.idle && self.active < self.active_max(threads_max)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No user code runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let queued = std::mem::take(&mut state.queue);
        drop(state);
        self.work_is_there.notify_all();
        // The dropped reply tells the code that awaits one of these.
        panics::drop_quietly(queued);
    }

    fn submit(shared: &Arc<Self>, task: Task) -> u64 {
        let mut state = shared.state();
        state.last_run += 1;
        let run = state.last_run;
        if state.closed {
            drop(state);
            panics::drop_quietly(task);
            return run;
        }
        state.queue.insert(run, task);
        // Count work, not threads: a thread that has just started has no work yet.
        let busy = state.running.len() - state.leaked + state.queue.len();
        let started = Self::start_if_needed(shared, &mut state);
        let nobody_comes = state.active == 0;
        let refused = match &started {
            Err(_) if nobody_comes && state.leaked == 0 => state.queue.remove(&run),
            Err(_) | Ok(()) => None,
        };
        drop(state);
        shared.work_is_there.notify_one();
        if let Err(error) = started {
            tracing::error!(%error, "failed to start a thread for a blocking handler");
        }
        panics::drop_quietly(refused);
        shared.warn_if_saturated(busy);
        run
    }

    fn warn_if_saturated(&self, busy: usize) {
        let is_saturated = busy * 4 >= self.threads_max * 3;
        if is_saturated && self.saturated.allows(&(), tokio::time::Instant::now()) {
            tracing::warn!(
                busy,
                threads = self.threads_max,
                "three quarters of the blocking threads are busy"
            );
        }
    }

    fn start_if_needed(shared: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        if !state.needs_thread(shared.threads_max) {
            return Ok(());
        }
        state.last_thread += 1;
        let number = state.last_thread;
        let name = format!("blocking-{number}");
        let theirs = Arc::clone(shared);
        let handle = thread::Builder::new().name(name.clone()).spawn(move || {
            Self::work(&theirs, number, &Arc::from(name));
            // Only now has it released everything.
            theirs.all_ended.notify_waiters();
        })?;
        state.active += 1;
        state.handles.insert(number, handle);
        Ok(())
    }

    /// Runs a thread of the pool. It ends when it gets no work for a while, when the pool is closed, or when
    /// it returns too late to be needed.
    fn work(shared: &Arc<Self>, number: u64, name: &Arc<str>) {
        while let Some((run, task)) = shared.next(number, name) {
            let (result, reply) = perform(task);
            shared.finished(run);
            // Nobody waits for a result that came too late.
            if let Err(Err(caught)) = reply.send(result) {
                panics::drop_quietly(caught.payload);
            }
        }
    }

    fn next(&self, number: u64, name: &Arc<str>) -> Option<(u64, Task)> {
        let mut state = self.state();
        loop {
            let is_surplus = state.active > state.active_max(self.threads_max);
            // A surplus thread must not take work from the queue.
            if !is_surplus && let Some((run, task)) = state.queue.pop_first() {
                let running = Running {
                    thread: Arc::clone(name),
                    what: Arc::clone(&task.what),
                    is_leaked: false,
                };
                state.running.insert(run, running);
                return Some((run, task));
            }
            let mut is_idle_for_long = false;
            if !is_surplus && !state.closed {
                state.idle += 1;
                let waited = self.work_is_there.wait_timeout(state, IDLE);
                let (again, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
                state = again;
                state.idle -= 1;
                is_idle_for_long = timed_out.timed_out() && state.queue.is_empty();
            }
            if is_surplus || is_idle_for_long || (state.closed && state.queue.is_empty()) {
                state.active -= 1;
                if !state.closed {
                    // Nobody will join this thread, which is about to end.
                    state.handles.remove(&number);
                }
                return None;
            }
        }
    }

    fn finished(&self, run: u64) {
        let mut state = self.state();
        let running = state.running.remove(&run);
        let Some(running) = running.filter(|running| running.is_leaked) else {
            return;
        };
        // It belongs to the pool again; `next` ends it if there are enough threads.
        state.leaked -= 1;
        state.active += 1;
        drop(state);
        let (thread, what) = (&*running.thread, &*running.what);
        tracing::info!(thread, what, "a leaked blocking thread returned");
    }

    /// Abandons a run that nobody is waiting for any more. Returns what it leaves behind.
    fn abandon(shared: &Arc<Self>, run: u64) -> Abandoned {
        let mut state = shared.state();
        if let Some(task) = state.queue.remove(&run) {
            drop(state);
            panics::drop_quietly(task);
            return Abandoned::InTheQueue;
        }
        let Some(running) = state.running.get_mut(&run) else {
            return Abandoned::Done;
        };
        running.is_leaked = true;
        let thread = Arc::clone(&running.thread);
        state.leaked += 1;
        state.active -= 1;
        // Queued runs get a thread in its place.
        let started = Self::start_if_needed(shared, &mut state);
        drop(state);
        if let Err(error) = started {
            tracing::error!(%error, "failed to start a thread for a blocking handler");
        }
        Abandoned::OnThread(thread)
    }
}

/// The state of a run when it was abandoned.
enum Abandoned {
    Done,
    /// It had no thread yet.
    InTheQueue,
    /// It keeps this thread busy.
    OnThread(Arc<str>),
}

/// Runs user code on this thread.
fn perform(task: Task) -> (Ran, oneshot::Sender<Ran>) {
    let Task {
        work,
        mut scope,
        span,
        runtime,
        reply,
        ..
    } = task;
    let _runtime = runtime.as_ref().map(Handle::enter);
    let _execution = scope.enter();
    let _span = span.enter();
    (catch(work), reply)
}

/// A run on a thread of the pool; its result is the handler's.
///
/// ```
/// let pool = executor_core::BlockingPool::new(1);
/// drop(pool.run("nobody waits for it", || Ok(())));
/// ```
///
/// # Cancel safety
///
/// Dropping it before a thread has begun withdraws the run. Dropping it later leaves the thread behind,
/// and the execution's record says so.
#[must_use = "dropping a run abandons it"]
pub struct BlockingRun {
    shared: Arc<Shared>,
    run: u64,
    answer: oneshot::Receiver<Ran>,
    _held: HeldTime,
}

impl Future for BlockingRun {
    type Output = HandlerResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HandlerResult> {
        match Pin::new(&mut self.answer).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Ok(returned))) => Poll::Ready(returned),
            // As if the handler had panicked here.
            Poll::Ready(Ok(Err(caught))) => panics::resume(*caught),
            Poll::Ready(Err(_)) => Poll::Ready(Err(HandlerError::named(
                "BlockingPool",
                "no thread for a blocking handler: the pool is closed, or the system cannot start another thread",
            ))),
        }
    }
}

impl Drop for BlockingRun {
    fn drop(&mut self) {
        match Shared::abandon(&self.shared, self.run) {
            Abandoned::Done => {}
            Abandoned::InTheQueue => context::leave_behind(|left| left.got_no_thread = true),
            Abandoned::OnThread(thread) => {
                context::leave_behind(|left| left.thread = Some(thread));
            }
        }
    }
}

#[cfg(test)]
mod tests;
