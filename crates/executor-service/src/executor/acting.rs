//! Does what people ask of this executor through a dashboard, and records who asked.

use std::sync::{Arc, Weak};
use std::time::Duration;

use executor_core::ports::{Acted, Action, ActionFuture, Actions, Asker, NotActed, RecordedAction};
use executor_core::{Entity, ExecutionId, Job, SessionId, StoreError, Timestamp};
use tokio::time::timeout;

use super::CommandExecutor;
use crate::drain::guarded::guarded;
use crate::registration::handle::JobHandle;
use crate::registration::registrar::Target;

/// How long an execution has to hear that it is to end.
const HEARS_WITHIN: Duration = Duration::from_secs(2);

/// How long the store has to record an action, with all tries.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// The time between two tries.
const RETRY: Duration = Duration::from_millis(500);

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
        let heard = timeout(HEARS_WITHIN, self.service.runner.cancel(id)).await;
        heard.is_ok()
    }

    fn registered(&self, entity: &Entity) -> Result<Arc<dyn Target>, NotActed> {
        let target = self.service.registrar.live(entity);
        target.ok_or(NotActed::NotRegistered)
    }

    /// Returns the execution that was begun or cancelled.
    async fn do_it(&self, action: &Action) -> Result<Option<ExecutionId>, NotActed> {
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
                false => Err(NotActed::NotHeard),
            },
            // Those of later versions.
            _ => Err(NotActed::NotRegistered),
        }
    }

    fn run_job(&self, entity: &Entity) -> Result<ExecutionId, NotActed> {
        let job = self.registered(entity)?.any().downcast::<Job>();
        let service = Arc::downgrade(&self.service);
        let handle = JobHandle {
            job: job.map_err(|_| NotActed::NoJob)?,
            registrar: Arc::clone(&self.service.registrar),
            service: service as Weak<_>,
        };
        let submitted = self.submit(handle.run_now()).map_err(NotActed::Refused)?;
        Ok(submitted.execution_id())
    }

    async fn record_action(&self, action: RecordedAction) -> Result<(), StoreError> {
        let mut last = None;
        let trying = async {
            loop {
                let record = || self.service.store.record_action(action.clone());
                match guarded("recording an action", record).await {
                    Ok(()) => return,
                    Err(error) => last = Some(error),
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let done = timeout(RECORDED_WITHIN, trying).await;
        match (done, last) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(error)) => Err(error),
            (Err(_), None) => Err(StoreError::unreachable(
                "recording an action",
                "the store does not answer",
            )),
        }
    }

    async fn act_and_record(self, action: Action, asker: Asker) -> Acted {
        let at = self.service.clock.now().wall;
        let done = self.do_it(&action).await;
        let recorded = self.recorded(&action, asker, at, done);
        tracing::info!(
            action = recorded.action, target = %recorded.target, who = %recorded.who,
            origin = %recorded.origin, outcome = %recorded.outcome, "somebody asked for something"
        );
        let not_recorded = self.record_action(recorded).await.err();
        if let Some(error) = &not_recorded {
            tracing::error!(%error, "what somebody asked for is only in this log");
        }
        Acted::new(done, not_recorded)
    }

    fn recorded(
        &self,
        action: &Action,
        asker: Asker,
        at: Timestamp,
        done: Result<Option<ExecutionId>, NotActed>,
    ) -> RecordedAction {
        let target = match action {
            Action::Cancel(id) => id.to_string(),
            Action::Run(entity) | Action::Pause(entity) | Action::Resume(entity) => name_of(entity),
            _ => String::new(),
        };
        let outcome = match (done, action) {
            (Err(why), _) => format!("not done: {why}"),
            (Ok(Some(id)), Action::Run(_)) => format!("began {id}"),
            (Ok(_), Action::Pause(_)) => "paused".to_owned(),
            (Ok(_), Action::Resume(_)) => "resumed".to_owned(),
            (Ok(_), _) => "cancelled".to_owned(),
        };
        RecordedAction {
            session: Some(self.session_id()),
            at,
            who: asker.who,
            origin: asker.origin,
            action: action.as_str().to_owned(),
            target,
            outcome,
        }
    }
}

/// `app/name`, with the instance if it is not the first.
fn name_of(entity: &Entity) -> String {
    match entity.instance {
        0 => format!("{}/{}", entity.app_key, entity.name),
        instance => format!("{}#{instance}/{}", entity.app_key, entity.name),
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

    fn act(&self, action: Action, asker: Asker) -> ActionFuture<'_> {
        // In a task of its own: whoever asked may be gone before it is recorded.
        let acting = tokio::spawn(self.clone().act_and_record(action, asker));
        Box::pin(async move {
            match acting.await {
                Ok(acted) => acted,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        })
    }
}
