//! Tells error handlers of failures, with bounds on number, time, and failures per entity.
//!
//! At most 64 handlers run at once. For each listener or job one runs and one waits; failures in the meantime are
//! counted but not reported.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use executor_core::error_handler::{HandlerEnd, tell};
use executor_core::{Entity, ErrorHandler, HandlerFailure, Redactor};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// The maximum number of error handlers that run at once.
const RUNNING_MAX: usize = 64;

/// The generation from which failures are not reported: otherwise error handlers that start failing executions
/// could trigger each other for ever.
const GENERATIONS_MAX: u8 = 2;

/// The error handlers of apps, as they stood when an execution was dispatched.
pub(crate) type AppErrorHandlers = Arc<HashMap<String, Arc<dyn ErrorHandler>>>;

pub(crate) struct ErrorHandlers {
    within: Duration,
    pub(crate) redactor: Redactor,
    /// Unset until an app has a handler, so programs without any pay nothing for it.
    of_apps: OnceLock<RwLock<AppErrorHandlers>>,
    queue: Mutex<HandlerQueue>,
    /// The tasks in which error handlers run.
    pub(crate) tasks: TaskTracker,
    failures: AtomicU64,
    suppressed: AtomicU64,
}

/// A failure and the handler to tell.
struct Work {
    entity: Arc<Entity>,
    handler: Arc<dyn ErrorHandler>,
    failure: HandlerFailure,
}

/// The handlers that run and those that wait.
#[derive(Default)]
struct HandlerQueue {
    running: usize,
    entities: HashMap<Arc<Entity>, Turn>,
    /// Entities with a waiting failure that can be reported once there is room.
    ready: VecDeque<Arc<Entity>>,
}

#[derive(Default)]
struct Turn {
    is_running: bool,
    waiting: Option<Work>,
}

impl HandlerQueue {
    /// Accepts a failure. `Ok(Some)` runs now, `Ok(None)` waits, `Err` is rejected: it has destructors of the user's
    /// and is the caller's to drop, outside of the lock.
    fn admit(&mut self, work: Work) -> Result<Option<Work>, Box<Work>> {
        let entity = self.entities.entry(work.entity.clone()).or_default();
        if !entity.is_running && entity.waiting.is_none() && self.running < RUNNING_MAX {
            entity.is_running = true;
            self.running += 1;
            return Ok(Some(work));
        }
        if entity.waiting.is_some() {
            return Err(Box::new(work));
        }
        if !entity.is_running {
            self.ready.push_back(work.entity.clone());
        }
        entity.waiting = Some(work);
        Ok(None)
    }

    /// Ends the turn of `entity` and returns the work to run in its place.
    fn next_after(&mut self, entity: &Arc<Entity>) -> Option<Work> {
        self.running -= 1;
        if let Some(state) = self.entities.get_mut(entity) {
            state.is_running = false;
            if state.waiting.is_some() {
                self.ready.push_back(entity.clone());
            } else {
                self.entities.remove(entity);
            }
        }
        let next = self.ready.pop_front()?;
        let state = self.entities.get_mut(&next)?;
        state.is_running = true;
        self.running += 1;
        state.waiting.take()
    }
}

impl ErrorHandlers {
    pub(crate) fn new(within: Duration, redactor: Redactor) -> Self {
        Self {
            within,
            redactor,
            of_apps: OnceLock::new(),
            queue: Mutex::default(),
            tasks: TaskTracker::new(),
            failures: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Sets an app's error handler for executions that are dispatched from now on.
    pub(crate) fn set(&self, app_key: String, handler: Arc<dyn ErrorHandler>) {
        let of_apps = self.of_apps.get_or_init(RwLock::default);
        let mut current = of_apps.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = current.as_ref().clone();
        changed.insert(app_key, handler);
        let replaced = std::mem::replace(&mut *current, Arc::new(changed));
        // A handler's destructor is user code and may set another one.
        drop(current);
        drop(replaced);
    }

    /// Returns the apps' current error handlers; `None` if no app has one.
    pub(crate) fn as_of_now(&self) -> Option<AppErrorHandlers> {
        let of_apps = self.of_apps.get()?;
        let of_apps = of_apps.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&of_apps))
    }

    /// Returns how many error handlers failed, panicked or ran out of time.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns how many failures no handler was told of, because too many came at once.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// Reports the failure to the registration's own error handler, else to the app's. Returns at once.
    pub(crate) fn start(
        self: &Arc<Self>,
        failure: HandlerFailure,
        of_apps: Option<&AppErrorHandlers>,
        runtime: &Handle,
    ) {
        let Some(handler) = handler_for(&failure, of_apps) else {
            return;
        };
        if failure.generation >= GENERATIONS_MAX {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let entity = Arc::clone(&failure.subject.entity);
        let work = Work {
            entity,
            handler,
            failure,
        };
        let admitted = self.queue().admit(work);
        match admitted {
            Ok(None) => {}
            Ok(Some(work)) => {
                let handlers = Arc::clone(self);
                let working = async move { handlers.work_from(work).await };
                self.tasks.spawn_on(working, runtime);
            }
            Err(_rejected) => {
                self.suppressed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Reports this failure and then those that wait.
    async fn work_from(&self, first: Work) {
        let mut next = Some(first);
        while let Some(Work {
            entity,
            handler,
            failure,
        }) = next
        {
            let (id, name) = (failure.execution_id, failure.name().to_owned());
            match tell(handler, failure, self.within, &self.redactor).await {
                HandlerEnd::Done => {}
                HandlerEnd::TimedOut => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(execution.id = %id, name, within = ?self.within, "an error handler timed out");
                }
                HandlerEnd::Failed(failed) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    let (kind, error) = (failed.error_type, failed.message);
                    tracing::error!(execution.id = %id, name, kind, error, "an error handler failed");
                }
            }
            next = self.queue().next_after(&entity);
        }
    }

    fn queue(&self) -> MutexGuard<'_, HandlerQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn handler_for(
    failure: &HandlerFailure,
    of_apps: Option<&AppErrorHandlers>,
) -> Option<Arc<dyn ErrorHandler>> {
    let own = failure.error_handler.clone();
    own.or_else(|| of_apps?.get(&failure.subject.entity.app_key).cloned())
}
