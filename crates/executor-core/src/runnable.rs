//! Listeners and jobs that can be run: a registration with its handler and all that surrounds it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::error_handler::ErrorHandler;
use crate::gate::Gate;
use crate::guard::Guard;
use crate::handler::{Handler, JobHandler};
use crate::handler_slot::HandlerSlot;
use crate::identity::{JobId, ListenerId};
use crate::registration::{Details, JobRegistration, ListenerRegistration};

/// What surrounds the handler of a registration, the same for listeners and jobs.
///
/// ```
/// use executor_core::{Guard, runnable::Hooks};
///
/// let by_day = Hooks { guard: Some(Guard::for_jobs(|| true)), ..Hooks::default() };
/// assert!(by_day.guard.is_some() && by_day.error_handler.is_none());
/// ```
#[derive(Default)]
pub struct Hooks {
    /// What is asked before each run.
    pub guard: Option<Guard>,
    /// What is told when a run fails; without one, the app's.
    pub error_handler: Option<Arc<dyn ErrorHandler>>,
}

/// A listener that can be invoked. Shared by every command that invokes it.
///
/// ```
/// # use std::sync::Arc;
/// # use executor_core::{Event, Listener, ListenerKey, ListenerRegistration, SourceTier};
/// # use executor_core::{registration::Details, runnable::Hooks};
/// # let (app_key, name, topic) = ("lights".into(), "hall".into(), "motion.hall".into());
/// # let registration = ListenerRegistration {
/// #     key: Arc::new(ListenerKey { app_key, instance: 0, name, topic }),
/// #     details: Details::new(SourceTier::App),
/// # };
/// # let handler = |_: Arc<Event>| async { Ok(()) };
/// # let listener = Arc::new(Listener::new(registration, Arc::new(handler), Hooks::default()));
/// println!("{} has the row {:?}", listener.registration.key, listener.row_id.get());
/// ```
pub struct Listener {
    /// What the store knows of it.
    pub registration: ListenerRegistration,
    /// What runs, and whether it may.
    pub slot: HandlerSlot<dyn Handler>,
    /// What surrounds that.
    pub hooks: Hooks,
    /// Its row, once the store has said; a record made earlier is matched by its key.
    pub row_id: OnceLock<ListenerId>,
    pub(crate) gate: Gate,
}

impl Listener {
    /// A listener whose row is not known yet. Its overlap rule counts the runs of this value: a
    /// second one of the same registration knows nothing of the first.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use executor_core::{registration::Details, runnable::Hooks};
    /// use executor_core::{Event, Listener, ListenerKey, ListenerRegistration, SourceTier};
    ///
    /// let registration = ListenerRegistration {
    ///     key: Arc::new(ListenerKey {
    ///         app_key: "lights".into(),
    ///         instance: 0,
    ///         name: "hall".into(),
    ///         topic: "motion.hall".into(),
    ///     }),
    ///     details: Details::new(SourceTier::App),
    /// };
    /// let handler = |_: Arc<Event>| async { Ok(()) };
    /// let listener = Listener::new(registration, Arc::new(handler), Hooks::default());
    /// assert_eq!(listener.row_id.get(), None);
    /// ```
    pub fn new(
        registration: ListenerRegistration,
        handler: Arc<dyn Handler>,
        hooks: Hooks,
    ) -> Self {
        Self {
            gate: gate_of(&registration.details),
            registration,
            slot: HandlerSlot::new(handler),
            hooks,
            row_id: OnceLock::new(),
        }
    }
}

/// A job that can be run. Shared by every command that runs it.
///
/// ```
/// # use std::sync::Arc;
/// # use executor_core::{Job, JobKey, JobRegistration, SourceTier, registration};
/// # let registration = JobRegistration {
/// #     key: Arc::new(JobKey { app_key: "lights".into(), instance: 0, name: "dim".into() }),
/// #     details: registration::Details::new(SourceTier::App),
/// #     handler_name: None,
/// #     schedule: registration::ScheduleText::manual(),
/// #     group: None,
/// #     arguments_json: None,
/// # };
/// # let job = Arc::new(Job::new(registration, Arc::new(|| async { Ok(()) }), Default::default()));
/// assert_eq!(job.registration.key.to_string(), "lights[0].dim");
/// assert!(job.row_id.set(executor_core::JobId(1)).is_ok()); // what a store's answer does
/// ```
pub struct Job {
    /// What the store knows of it.
    pub registration: JobRegistration,
    /// What runs, and whether it may.
    pub slot: HandlerSlot<dyn JobHandler>,
    /// What surrounds that.
    pub hooks: Hooks,
    /// Its row, once the store has said; a record made earlier is matched by its key.
    pub row_id: OnceLock<JobId>,
    pub(crate) gate: Gate,
}

impl Job {
    /// A job whose row is not known yet; see [`Listener::new`].
    pub fn new(registration: JobRegistration, handler: Arc<dyn JobHandler>, hooks: Hooks) -> Self {
        Self {
            gate: gate_of(&registration.details),
            registration,
            slot: HandlerSlot::new(handler),
            hooks,
            row_id: OnceLock::new(),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("registration", &self.registration)
            .field("row_id", &self.row_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("registration", &self.registration)
            .field("row_id", &self.row_id)
            .finish_non_exhaustive()
    }
}

fn gate_of(details: &Details) -> Gate {
    Gate::new(details.effective_overlap(), details.overlap_limit)
}
