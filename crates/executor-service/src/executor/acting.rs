//! Does what people ask of this executor through a dashboard, and records who asked.

use std::error::Error;
use std::sync::{Arc, Weak};
use std::time::Duration;

use executor_core::ports::{
    Action, ActionError, ActionFuture, ActionOutcome, Actions, RecordedAction, Requester,
};
use executor_core::{Entity, ErrorClass, ExecutionId, Job, SessionId, StoreError, Timestamp};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, timeout_at};

use super::CommandExecutor;
use crate::drain::guarded::guarded;
use crate::lifecycle::shared::Service;
use crate::registration::handle::JobHandle;
use crate::registration::registrar::Target;

/// How long an execution has to hear that it is to end.
const HEARS_WITHIN: Duration = Duration::from_secs(2);

/// How long the store has to record an action, with all tries.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// The time between two tries, while somebody waits and later.
const RETRY: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(1);

impl CommandExecutor {
    /// Cancels an execution as the token of [`execute_until`](Self::execute_until) does, however it was begun. Returns
    /// whether it has heard of that within two seconds: not if it has ended, runs elsewhere, or waits for nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let executor = executor_service::CommandExecutor::builder(executor_testkit::MemoryStore::new())
    /// #     .start()
    /// #     .await?;
    /// let job = executor.job("lights", "wait").handler_fn(std::future::pending::<()>);
    /// let running = executor.submit(job.register().await?.run_now())?;
    /// assert!(executor.cancel_execution(running.execution_id()).await);
    /// assert_eq!(running.await.status(), executor_core::Status::Cancelled);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws the request, unless the execution has heard of it.
    pub async fn cancel_execution(&self, id: ExecutionId) -> bool {
        self.service.runner.cancel(id, HEARS_WITHIN).await
    }

    fn registered(&self, entity: &Entity) -> Result<Arc<dyn Target>, ActionError> {
        let target = self.service.registrar.live(entity);
        target.ok_or(ActionError::NotRegistered)
    }

    /// Returns the execution that was begun or cancelled.
    async fn carry_out(&self, action: &Action) -> Result<Option<ExecutionId>, ActionError> {
        match action {
            Action::Run(entity) => self.run_job(entity).map(Some),
            Action::Pause(entity) => {
                self.registered(entity)?.pause();
                self.service.registrar.paused(entity);
                Ok(None)
            }
            Action::Resume(entity) => {
                self.registered(entity)?.resume();
                self.service.registrar.resumed(entity);
                Ok(None)
            }
            Action::Cancel(id) => match self.cancel_execution(*id).await {
                true => Ok(Some(*id)),
                false => Err(ActionError::NotHeard),
            },
            // Those of later versions.
            _ => Err(ActionError::NotRegistered),
        }
    }

    fn run_job(&self, entity: &Entity) -> Result<ExecutionId, ActionError> {
        let job = self.registered(entity)?.any().downcast::<Job>();
        let service = Arc::downgrade(&self.service);
        let handle = JobHandle {
            job: job.map_err(|_| ActionError::NotAJob)?,
            registrar: Arc::clone(&self.service.registrar),
            service: service as Weak<_>,
        };
        let submitted = self.submit(handle.run_now());
        let submitted = submitted.map_err(ActionError::Refused)?;
        let id = submitted.execution_id();
        match submitted.ended_as() {
            None => Ok(id),
            Some(status) => Err(ActionError::EndedAtOnce(id, status)),
        }
    }

    /// Returns why the store did not take it, in all tries.
    async fn record_action(&self, action: RecordedAction) -> Option<StoreError> {
        let until = Instant::now() + RECORDED_WITHIN;
        loop {
            match timeout_at(until, try_to_record(&self.service, &action)).await {
                Ok(Ok(())) => return None,
                Ok(Err(error)) if error.class != ErrorClass::Transient => return Some(error),
                Ok(Err(error)) if Instant::now() + RETRY >= until => return Some(error),
                Ok(Err(_)) => sleep(RETRY).await,
                Err(_) => {
                    let why = "the store does not answer";
                    return Some(StoreError::unreachable(RECORDING, why));
                }
            }
        }
    }

    async fn act_and_record(self, action: Action, requester: Requester) -> ActionOutcome {
        let at = self.service.clock.now().wall;
        let done = self.carry_out(&action).await;
        let recorded = self.recorded(&action, requester, at, done);
        let not_recorded = self.record_action(recorded.clone()).await;
        log(&recorded, not_recorded.as_ref());
        let may_pass = |it: &StoreError| it.class == ErrorClass::Transient;
        if not_recorded.as_ref().is_some_and(may_pass) {
            let trying = keep_trying(Arc::downgrade(&self.service), recorded);
            self.service.acting.spawn_on(trying, &self.service.runtime);
        }
        ActionOutcome::new(done, not_recorded)
    }

    fn recorded(
        &self,
        action: &Action,
        requester: Requester,
        at: Timestamp,
        done: Result<Option<ExecutionId>, ActionError>,
    ) -> RecordedAction {
        let outcome = match (done, action) {
            (Err(why), _) => format!("not done: {why}"),
            // It may still wait in line.
            (Ok(Some(id)), Action::Run(_)) => format!("submitted {id}"),
            (Ok(_), Action::Pause(_)) => "paused".to_owned(),
            (Ok(_), Action::Resume(_)) => "resumed".to_owned(),
            // What it does with that is for its own record to say.
            (Ok(_), _) => "told to end".to_owned(),
        };
        RecordedAction {
            session: Some(self.session_id()),
            at,
            who: requester.who,
            origin: requester.origin,
            action: action.as_str().to_owned(),
            target: action.target(),
            outcome,
        }
    }
}

const RECORDING: &str = "recording an action";

async fn try_to_record(service: &Service, action: &RecordedAction) -> Result<(), StoreError> {
    guarded(RECORDING, || service.store.record_action(action.clone())).await
}

/// Tries until the store takes an action, once more when the service stops.
async fn keep_trying(service: Weak<Service>, action: RecordedAction) {
    loop {
        sleep(LATER).await;
        let Some(service) = service.upgrade() else {
            return;
        };
        let is_last = service.acting.is_closed();
        match try_to_record(&service, &action).await {
            Err(error) if error.class == ErrorClass::Transient && !is_last => {}
            Err(_) => return,
            Ok(()) => {
                let (action, target) = (&action.action, &action.target);
                return tracing::info!(action, target, "action recorded after all");
            }
        }
    }
}

/// Logs an action. If the history does not have it, nothing else does.
fn log(action: &RecordedAction, not_recorded: Option<&StoreError>) {
    let RecordedAction {
        who,
        origin,
        action,
        target,
        outcome,
        ..
    } = action;
    match not_recorded {
        None => tracing::info!(action, target, outcome, who, origin, "action"),
        Some(error) => {
            let error: &dyn Error = error;
            tracing::error!(
                action,
                target,
                outcome,
                who,
                origin,
                error,
                "action not recorded"
            );
        }
    }
}

impl Actions for CommandExecutor {
    fn session(&self) -> SessionId {
        self.session_id()
    }

    fn is_paused(&self, entity: &Entity) -> Option<bool> {
        let target = self.registered(entity).ok()?;
        Some(target.is_paused())
    }

    fn act(&self, action: Action, requester: Requester) -> ActionFuture<'_> {
        // In a task of its own, which a shutdown waits for: whoever asked may be gone before it is recorded.
        let acting = self.clone().act_and_record(action, requester);
        let acting = self.service.acting.spawn_on(acting, &self.service.runtime);
        Box::pin(async move {
            match acting.await.map_err(JoinError::try_into_panic) {
                Ok(outcome) => outcome,
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                // The runtime has ended, and this answer with it.
                Err(Err(_)) => std::future::pending().await,
            }
        })
    }
}
