//! Listeners and jobs that can be run: a registration with its handler and its hooks.

use std::fmt;
use std::future::{Future, pending};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::error_handler::ErrorHandler;
use crate::guard::Guard;
use crate::handler::{Handler, JobHandler};
use crate::handler_slot::HandlerSlot;
use crate::identity::RowId;
use crate::lines::LinePolicy;
use crate::overlap::{Entry, Gate};
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
    /// Whether programs that an earlier process of it left running are ended, whatever the service does about others.
    pub ends_orphans: bool,
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

    /// Takes a place under its overlap rule for something that no execution of this process runs, such as a program of
    /// an earlier process. Sends nobody away; `None` if the rule has no place to give.
    pub fn take_place(self: &Arc<Self>) -> Option<Place<H>> {
        let Entry { cancel } = self.gate.take_if_free()?;
        let of = Arc::clone(self);
        Some(Place { of, cancel })
    }

    pub(crate) fn subject(&self) -> SubjectRef<'_> {
        SubjectRef {
            entity: &self.registration.entity,
            row: self.row.get().copied(),
        }
    }
}

/// A place under the overlap rule of a listener or job. It is given back when this is dropped.
pub struct Place<H: ?Sized> {
    of: Arc<Registered<H>>,
    cancel: Option<CancellationToken>,
}

impl<H: ?Sized> Place<H> {
    /// Holds it until `gone` completes, or, once a newer run is to replace what holds it, until what `end` returns does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place back.
    pub async fn hold<E: Future<Output = ()>>(
        self,
        gone: impl Future<Output = ()>,
        end: impl FnOnce() -> E,
    ) {
        let replaced = async {
            match &self.cancel {
                Some(cancel) => cancel.cancelled().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = gone => {}
            () = replaced => end().await,
        }
    }
}

impl<H: ?Sized> Drop for Place<H> {
    fn drop(&mut self) {
        self.of.gate.leave();
    }
}

impl<H: ?Sized> fmt::Debug for Place<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("of", &self.of)
            .finish_non_exhaustive()
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
