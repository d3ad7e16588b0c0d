//! Listeners and jobs that can be run: a registration with its handler and its hooks.

use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, OnceLock};

use crate::error_handler::ErrorHandler;
use crate::guard::Guard;
use crate::handler::{Handler, JobHandler};
use crate::handler_slot::HandlerSlot;
use crate::identity::RowId;
use crate::lines::LinePolicy;
use crate::overlap::{Admission, Entry, Gate};
use crate::record::SubjectRef;
use crate::registration::Registration;

/// The guard, the error handler and the policy for lines around a registration's handler, the same for listeners and jobs.
///
/// ```
/// use executor_core::{Guard, runnable::Hooks};
///
/// let by_day = Hooks { guard: Some(Guard::for_jobs(|| true)), ..Hooks::default() };
/// assert!(by_day.guard.is_some() && by_day.error_handler.is_none());
/// ```
#[derive(Default)]
pub struct Hooks {
    /// The guard that is asked before each run.
    pub guard: Option<Guard>,
    /// The error handler that is told when a run fails; `None` for the app's.
    pub error_handler: Option<Arc<dyn ErrorHandler>>,
    /// Which runs keep their lines; `None` for [`Tail`](LinePolicy::Tail) where a program prints them, else
    /// [`Failures`](LinePolicy::Failures).
    pub lines: Option<LinePolicy>,
}

/// A listener that can be invoked. Shared by every command that invokes it.
pub type Listener = Registered<dyn Handler>;

/// A job that can be run. Shared by every command that runs it.
pub type Job = Registered<dyn JobHandler>;

/// A registration that can be executed.
///
/// ```
/// # use std::sync::Arc;
/// use executor_core::registration::{Details, Registration};
/// use executor_core::{Entity, Job, RowId, SourceTier, runnable::Hooks};
///
/// let dim = Registration::new(Entity::job("lights", 0, "dim"), Details::new(SourceTier::App));
/// let job = Job::new(dim, Arc::new(|| async { Ok(()) }), Hooks::default());
/// assert_eq!(job.row.get(), None);
/// assert!(job.row.set(RowId::new(1)).is_ok()); // what a store's answer does
/// ```
pub struct Registered<H: ?Sized> {
    /// The registration as the store keeps it.
    pub registration: Registration,
    /// The handler, and whether it may run.
    pub slot: HandlerSlot<H>,
    /// Its guard, its error handler and its policy for lines.
    pub hooks: Hooks,
    /// Its row, once the store has assigned one; earlier records are matched by their entity.
    pub row: OnceLock<RowId>,
    pub(crate) gate: Gate,
}

impl<H: ?Sized> Registered<H> {
    /// Creates one without a row. Its overlap rule counts only the runs of this value, not those of another value for
    /// the same registration.
    pub fn new(registration: Registration, handler: Arc<H>, hooks: Hooks) -> Self {
        let details = &registration.details;
        Self {
            gate: Gate::new(details.effective_overlap(), details.overlap_limit),
            registration,
            slot: HandlerSlot::new(handler),
            hooks,
            row: OnceLock::new(),
        }
    }

    /// Holds a place under its overlap rule while something runs that no execution of this process runs, such as a
    /// program of an earlier process: until `gone` completes, or, if a newer run is to replace it, until what `end`
    /// returns does. Does nothing if the rule has no place to give.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place back.
    pub async fn hold_place<E: Future<Output = ()>>(
        &self,
        gone: impl Future<Output = ()>,
        end: impl FnOnce() -> E,
    ) {
        let Admission::Begin(Entry { cancel }) = self.gate.enter() else {
            return;
        };
        let _held = PlaceGuard(&self.gate);
        let replaced = async {
            match cancel {
                Some(cancel) => cancel.cancelled().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = gone => {}
            () = replaced => end().await,
        }
    }

    pub(crate) fn subject(&self) -> SubjectRef<'_> {
        SubjectRef {
            entity: &self.registration.entity,
            row: self.row.get().copied(),
        }
    }
}

/// A place that is given back when this is dropped.
struct PlaceGuard<'g>(&'g Gate);

impl Drop for PlaceGuard<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<H: ?Sized> fmt::Debug for Registered<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("registration", &self.registration)
            .field("row", &self.row)
            .finish_non_exhaustive()
    }
}
