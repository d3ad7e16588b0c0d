//! The two things that can be executed.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;
use crate::handler::{HandlerFuture, JobHandler};
use crate::identity::{Entity, SourceTier};
use crate::outcome::Refused;
use crate::overlap::Gate;
use crate::record::{Subject, SubjectRef, Trigger, TriggerMode, TriggerRef};
use crate::registration::{Details, Registration};
use crate::runnable::{Hooks, Job, Listener};
use crate::time::Timestamp;

/// A unit of work that runs once, as one execution.
///
/// ```
/// # use std::sync::Arc;
/// # use executor_core::registration::{Details, Registration};
/// # use executor_core::{Entity, Job, SourceTier};
/// # let registration = Registration::new(Entity::job("lights", 0, "dim"), Details::new(SourceTier::App));
/// # let job = Arc::new(Job::new(registration, Arc::new(|| async { Ok(()) }), Default::default()));
/// use executor_core::{Command, ExecuteJob, TriggerMode};
///
/// let command = Command::from(ExecuteJob {
///     job: Arc::clone(&job),
///     trigger_mode: TriggerMode::Manual,
///     due_at: None,
///     source_tier: SourceTier::App,
///     effective_timeout: None,
/// });
/// assert_eq!(command.app_key(), "lights");
/// ```
#[derive(Clone, Debug)]
#[must_use = "a command does nothing until it is executed or submitted"]
pub enum Command {
    /// Invokes a listener's handler for an event.
    InvokeHandler(InvokeHandler),
    /// Runs a job.
    ExecuteJob(ExecuteJob),
}

/// Invokes a listener's handler for an event.
///
/// There is no default: code that builds one by hand must state tier and deadline. The registration
/// builders fill in both.
///
/// ```compile_fail
/// # use std::sync::Arc;
/// # use executor_core::{Event, InvokeHandler, Listener};
/// fn command(listener: Arc<Listener>, event: Arc<Event>) -> InvokeHandler {
///     InvokeHandler { listener, event } // neither tier nor deadline: does not compile
/// }
/// ```
///
/// ```
/// # use std::sync::Arc;
/// # use executor_core::registration::{Details, Registration};
/// # use executor_core::{Entity, Event, Listener, SourceTier, runnable::Hooks};
/// # let hall = Entity::listener("lights", 0, "hall", "motion.hall");
/// # let registration = Registration::new(hall, Details::new(SourceTier::App));
/// # let handler = |_: Arc<Event>| async { Ok(()) };
/// # let listener = Arc::new(Listener::new(registration, Arc::new(handler), Hooks::default()));
/// use std::time::Duration;
/// use executor_core::{Command, InvokeHandler};
///
/// let command = Command::from(InvokeHandler {
///     listener: Arc::clone(&listener),
///     event: Arc::new(Event::new("motion.hall")),
///     source_tier: SourceTier::App,
///     effective_timeout: Some(Duration::from_secs(600)),
/// });
/// assert_eq!(command.trigger().origin(), Some("LOCAL"));
/// ```
#[derive(Clone, Debug)]
pub struct InvokeHandler {
    /// The listener to invoke.
    pub listener: Arc<Listener>,
    /// The event to pass to its handler.
    pub event: Arc<Event>,
    /// The author of the handler.
    pub source_tier: SourceTier,
    /// The deadline of this execution; `None` means that it has none.
    pub effective_timeout: Option<Duration>,
}

/// Runs a job.
///
/// There is no default here either.
///
/// ```compile_fail
/// # use std::sync::Arc;
/// # use executor_core::{ExecuteJob, Job, TriggerMode};
/// fn command(job: Arc<Job>) -> ExecuteJob {
///     ExecuteJob { job, trigger_mode: TriggerMode::Manual } // does not compile
/// }
/// ```
///
/// ```
/// # use std::sync::Arc;
/// # use executor_core::registration::{Details, Registration};
/// # use executor_core::{Entity, Job, SourceTier};
/// # let registration = Registration::new(Entity::job("lights", 0, "dim"), Details::new(SourceTier::App));
/// # let job = Arc::new(Job::new(registration, Arc::new(|| async { Ok(()) }), Default::default()));
/// use executor_core::{Command, ExecuteJob, Timestamp, TriggerMode};
///
/// let command = Command::from(ExecuteJob {
///     job,
///     trigger_mode: TriggerMode::Schedule,
///     due_at: Some(Timestamp::from_micros(1_767_225_600_000_000)),
///     source_tier: SourceTier::App,
///     effective_timeout: None,
/// });
/// assert_eq!(command.trigger().mode(), Some(TriggerMode::Schedule));
/// ```
#[derive(Clone, Debug)]
pub struct ExecuteJob {
    /// The job to run.
    pub job: Arc<Job>,
    /// The trigger of this run.
    pub trigger_mode: TriggerMode,
    /// The time at which this run was due, before jitter, if a schedule begins it.
    pub due_at: Option<Timestamp>,
    /// The author of the handler.
    pub source_tier: SourceTier,
    /// The deadline of this execution; `None` means that it has none.
    pub effective_timeout: Option<Duration>,
}

impl Command {
    /// Returns the author of the code that this command runs.
    pub const fn source_tier(&self) -> SourceTier {
        match self {
            Self::InvokeHandler(command) => command.source_tier,
            Self::ExecuteJob(command) => command.source_tier,
        }
    }

    /// Returns the listener or job, as the record will name it.
    pub fn subject(&self) -> Subject {
        self.subject_ref().to_subject()
    }

    /// Returns the same, borrowed.
    pub(crate) fn subject_ref(&self) -> SubjectRef<'_> {
        match self {
            Self::InvokeHandler(command) => command.listener.subject(),
            Self::ExecuteJob(command) => command.job.subject(),
        }
    }

    /// Returns the registration of its listener or job.
    pub fn registration(&self) -> &Registration {
        match self {
            Self::InvokeHandler(command) => &command.listener.registration,
            Self::ExecuteJob(command) => &command.job.registration,
        }
    }

    /// Returns the listener or job that it runs.
    pub fn entity(&self) -> &Arc<Entity> {
        &self.registration().entity
    }

    /// Returns the event for which a listener is invoked.
    pub const fn event(&self) -> Option<&Arc<Event>> {
        match self {
            Self::InvokeHandler(command) => Some(&command.event),
            Self::ExecuteJob(_) => None,
        }
    }

    /// Returns the trigger, as the record will name it.
    pub fn trigger(&self) -> Trigger {
        self.trigger_ref().to_trigger()
    }

    /// Returns the same, borrowed.
    pub(crate) fn trigger_ref(&self) -> TriggerRef<'_> {
        match self {
            Self::InvokeHandler(InvokeHandler { event, .. }) if event.synthetic => {
                TriggerRef::Synthetic
            }
            Self::InvokeHandler(InvokeHandler { event, .. }) => TriggerRef::Event {
                id: event.id.as_ref(),
                origin: &event.origin,
            },
            Self::ExecuteJob(command) => TriggerRef::Job(command.trigger_mode),
        }
    }

    /// Returns the topic of the event, if it differs from the listener's own.
    pub(crate) fn own_topic(&self) -> Option<&Arc<str>> {
        let topic = &self.event()?.topic;
        (**topic != *self.entity().topic).then_some(topic)
    }

    /// Returns the time at which a scheduled run was due, or at which the event happened.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::InvokeHandler(command) => command.event.happened_at,
            Self::ExecuteJob(command) => command.due_at,
        }
    }

    /// Returns the number of completion events between it and an event from outside.
    pub fn generation(&self) -> u8 {
        match self {
            Self::InvokeHandler(command) => command.event.generation,
            Self::ExecuteJob(_) => 0,
        }
    }

    /// Returns its guard and its error handler.
    pub fn hooks(&self) -> &Hooks {
        match self {
            Self::InvokeHandler(command) => &command.listener.hooks,
            Self::ExecuteJob(command) => &command.job.hooks,
        }
    }

    /// Returns the details of its registration.
    pub fn details(&self) -> &Details {
        &self.registration().details
    }

    /// Returns the app to which its registration belongs.
    pub fn app_key(&self) -> &str {
        &self.entity().app_key
    }

    /// Returns the reason to refuse it, if its listener or job is paused or removed.
    pub fn refusal(&self) -> Option<Refused> {
        match self {
            Self::InvokeHandler(command) => command.listener.slot.refusal(),
            Self::ExecuteJob(command) => command.job.slot.refusal(),
        }
    }

    pub(crate) fn gate(&self) -> &Gate {
        match self {
            Self::InvokeHandler(command) => &command.listener.gate,
            Self::ExecuteJob(command) => &command.job.gate,
        }
    }

    /// Calls the handler; its work begins when the future is polled.
    pub(crate) fn start(&self) -> HandlerFuture {
        match self {
            Self::InvokeHandler(InvokeHandler {
                listener, event, ..
            }) => listener
                .slot
                .with(|handler| handler.call(Arc::clone(event))),
            Self::ExecuteJob(ExecuteJob { job, .. }) => job.slot.with(JobHandler::call),
        }
    }

    /// Returns the deadline of this execution.
    pub const fn effective_timeout(&self) -> Option<Duration> {
        match self {
            Self::InvokeHandler(command) => command.effective_timeout,
            Self::ExecuteJob(command) => command.effective_timeout,
        }
    }
}

impl From<InvokeHandler> for Command {
    fn from(command: InvokeHandler) -> Self {
        Self::InvokeHandler(command)
    }
}

impl From<ExecuteJob> for Command {
    fn from(command: ExecuteJob) -> Self {
        Self::ExecuteJob(command)
    }
}
