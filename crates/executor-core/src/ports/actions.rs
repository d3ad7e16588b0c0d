//! The ports for what people ask a running executor to do, and for keeping who asked.

use std::pin::Pin;
use std::sync::Arc;

use crate::identity::{Entity, EntityKind, ExecutionId, SessionId};
use crate::outcome::{Refused, Status};
use crate::ports::error::{StoreError, StoreFuture};
use crate::time::Timestamp;

/// Something that a person may ask a running executor to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Run a job once, now.
    Run(Arc<Entity>),
    /// Refuse the commands of a listener or job from now on: a schedule then begins no runs.
    Pause(Arc<Entity>),
    /// End a pause.
    Resume(Arc<Entity>),
    /// Cancel an execution that is running.
    Cancel(ExecutionId),
}

impl Action {
    /// Returns its name in tables.
    ///
    /// ```
    /// # use executor_core::{ExecutionId, Timestamp, ports::Action};
    /// let id = ExecutionId::new(Timestamp::from_micros(0));
    /// assert_eq!(Action::Cancel(id).as_str(), "cancel");
    /// ```
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Cancel(_) => "cancel",
        }
    }

    /// Returns what it is about, as the history keeps it: kind, [`Entity::path`] and topic of a listener or job, or the id
    /// of an execution.
    ///
    /// ```
    /// # use {executor_core::{Entity, ports::Action}, std::sync::Arc};
    /// let hall = Arc::new(Entity::listener("lights", 0, "hall", "motion.hall"));
    /// assert_eq!(Action::Pause(hall).target(), "listener lights/hall on motion.hall");
    /// ```
    pub fn target(&self) -> String {
        match self {
            Self::Cancel(id) => id.to_string(),
            Self::Run(entity) | Self::Pause(entity) | Self::Resume(entity) => match entity.kind {
                EntityKind::Job => format!("job {}", entity.path()),
                EntityKind::Listener => format!("listener {} on {}", entity.path(), entity.topic),
            },
        }
    }
}

/// The person or program that asks, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    /// The name, or the way in which somebody was let in.
    pub who: String,
    /// The address.
    pub origin: String,
}

/// An action as the history keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAction {
    /// The session of the executor that was asked; `None` once that is gone from the history.
    pub session: Option<SessionId>,
    /// The time.
    pub at: Timestamp,
    /// Who asked.
    pub who: String,
    /// From which address.
    pub origin: String,
    /// The name of the action, as [`Action::as_str`] has it.
    pub action: String,
    /// What it was about, as [`Action::target`] has it.
    pub target: String,
    /// What became of it, in a few words.
    pub outcome: String,
}

/// Keeps actions. A store that keeps none need not implement the method; then they are only logged.
pub trait ActionStore: Send + Sync + 'static {
    /// Records an action. One with the session, time, action and target of a recorded one is the same. Idempotent; the
    /// caller retries.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    fn record_action(&self, _action: RecordedAction) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Why an action was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// No such listener or job is registered here.
    #[error("it is not registered in this process")]
    NotRegistered,
    /// Only jobs are run on demand.
    #[error("a listener runs by its events")]
    NotAJob,
    /// The executor refuses the command.
    #[error("{0}")]
    Refused(Refused),
    /// The execution ended at once, as its guard or its overlap rule sent it away.
    #[error("execution {0} ended at once as {status}: its overlap rule or its guard sent it away", status = .1.as_str())]
    EndedAtOnce(ExecutionId, Status),
    /// The execution did not hear of it: it is not running here, or waits for nothing.
    #[error("it is not running here, or does not listen")]
    NotHeard,
}

/// The outcome of an action.
#[derive(Debug)]
#[non_exhaustive]
pub struct ActionOutcome {
    /// The execution that was begun or cancelled, if any; or why nothing was done.
    pub done: Result<Option<ExecutionId>, ActionError>,
    /// Why it is only in the log, if the store did not take it.
    pub not_recorded: Option<StoreError>,
}

impl ActionOutcome {
    /// Creates one.
    pub const fn new(
        done: Result<Option<ExecutionId>, ActionError>,
        not_recorded: Option<StoreError>,
    ) -> Self {
        Self { done, not_recorded }
    }
}

/// The future of an action.
pub type ActionFuture<'a> = Pin<Box<dyn Future<Output = ActionOutcome> + Send + 'a>>;

/// A running executor that does what people ask of it.
pub trait Actions: Send + Sync + 'static {
    /// Returns the session of this executor.
    fn session(&self) -> SessionId;

    /// Returns whether a listener or job is paused; `None` if this executor has none of that name.
    fn is_paused(&self, entity: &Entity) -> Option<bool>;

    /// Carries an action out, and records who asked for it, also if it was refused.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped; what was begun goes on, and is recorded.
    fn act(&self, action: Action, requester: Requester) -> ActionFuture<'_>;
}
