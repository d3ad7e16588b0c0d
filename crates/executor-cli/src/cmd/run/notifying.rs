//! Tells somebody of failures: by the commands of a listener or job, and by those of `[notify]`.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_executor::process::CommandLine;
use command_executor::redact::{Redactor, TextKind};
use command_executor::{
    CommandExecutor, Completion, CompletionEvent, Entity, Event, ExecutionId, Handler,
    HandlerFailure, Health, Status,
};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::config::Run;
use crate::config::notify::{HeartbeatConfig, NotifyConfig};
use crate::config::surroundings::NOT_FOR_PROGRAMS;
use crate::exit::with_causes;

/// The longest that a command of `[notify]` may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was last known of each listener and job that fails: the execution that failed.
type Failing = Mutex<HashMap<Arc<Entity>, ExecutionId>>;

/// Tells of failures and recoveries.
#[derive(Default)]
pub(super) struct Notifier {
    failure: Option<Run>,
    recovery: Option<Run>,
    pub(super) redactor: Redactor,
    failing: Failing,
}

impl Notifier {
    pub(super) fn of(config: &NotifyConfig, redactor: Redactor) -> Arc<Self> {
        Arc::new(Self {
            failure: config.failure.clone(),
            recovery: config.recovery.clone(),
            redactor,
            failing: Failing::default(),
        })
    }

    /// Returns whether anybody is to be told of failures in general.
    pub(super) const fn is_wanted(&self) -> bool {
        self.failure.is_some() || self.recovery.is_some()
    }

    /// Runs a listener's or job's own command, and that of `[notify]` if it did not fail the last time.
    pub(super) async fn failed(&self, own: Option<&Run>, failure: HandlerFailure) {
        let told = Message::of_failure(&failure);
        // First: a command of its own may take all the time that there is.
        let entity = Arc::clone(&failure.subject.entity);
        let before = self.failing().insert(entity, failure.execution_id);
        let general = self.failure.as_ref().filter(|_| before.is_none());
        tokio::join!(
            told.to(own, "on_error", &self.redactor),
            told.to(general, "failure", &self.redactor),
        );
    }

    /// Tells of recoveries until the executor is gone.
    pub(super) async fn keep_watching(&self, executor: &CommandExecutor) {
        if !self.is_wanted() {
            return pending().await;
        }
        let mut completions = executor.completions();
        while let Some(event) = completions.next().await {
            match event {
                CompletionEvent::Completed(completion) => self.completed(&completion).await,
                CompletionEvent::Lagged(count) => {
                    tracing::warn!(
                        "{count} executions passed too quickly to be watched for recoveries"
                    );
                }
            }
        }
        pending::<()>().await;
    }

    async fn completed(&self, completion: &Completion) {
        if completion.status != Status::Success {
            return;
        }
        let entity = &completion.subject.entity;
        // What is stored now may have begun before the failure. Ids are in the order of the beginnings.
        let is_later = |failed: &ExecutionId| *failed < completion.execution_id;
        let has_recovered = {
            let mut failing = self.failing();
            failing.get(entity).is_some_and(is_later) && failing.remove(entity).is_some()
        };
        if has_recovered {
            let told = Message::of_recovery(completion);
            let command = self.recovery.as_ref();
            told.to(command, "recovery", &self.redactor).await;
        }
    }

    fn failing(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<Entity>, ExecutionId>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the heartbeat's command while records move. Never completes.
pub(super) async fn keep_beating(
    executor: &CommandExecutor,
    config: Option<&HeartbeatConfig>,
    redactor: &Redactor,
) {
    let Some(config) = config else {
        return pending().await;
    };
    let mut ticks = interval(config.every.0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answers = timeout(PATIENCE, executor.ping()).await == Ok(true);
        if answers && !matches!(executor.health(), Health::Failed { .. }) {
            let told = Message::heartbeat();
            told.to(Some(&config.run), "heartbeat", redactor).await;
        }
    }
}

/// What a command is told: on standard input as JSON, and the most important of it in its environment.
struct Message {
    json: Value,
    variables: Vec<(&'static str, String)>,
}

impl Message {
    fn of_failure(failure: &HandlerFailure) -> Self {
        let entity = &failure.subject.entity;
        let described = &failure.failure;
        let mut told = Self::of(entity, failure.execution_id, failure.status);
        told.json["error_type"] = described.error_type.to_string().into();
        told.json["message"] = described.message.clone().into();
        told.json["report"] = described.report.clone().into();
        told.json["topic"] = failure.topic().into();
        told.variables
            .push(("EXECUTOR_ERROR", described.message.clone()));
        told
    }

    fn of_recovery(completion: &Completion) -> Self {
        let entity = &completion.subject.entity;
        Self::of(entity, completion.execution_id, completion.status)
    }

    fn of(entity: &Entity, id: ExecutionId, status: Status) -> Self {
        Self {
            json: json!({
                "kind": entity.kind.as_str(),
                "app": entity.app_key,
                "name": entity.name,
                "execution_id": id.to_string(),
                "status": status.as_str(),
            }),
            variables: vec![
                ("EXECUTOR_APP", entity.app_key.clone()),
                ("EXECUTOR_NAME", entity.name.clone()),
                ("EXECUTOR_EXECUTION_ID", id.to_string()),
                ("EXECUTOR_STATUS", status.as_str().to_owned()),
            ],
        }
    }

    fn heartbeat() -> Self {
        Self {
            json: json!({}),
            variables: Vec::new(),
        }
    }

    fn command(&self, argv: &[String], occasion: &str) -> CommandLine {
        let mut line = CommandLine::new(&argv[0])
            .args(&argv[1..])
            .env("EXECUTOR_OCCASION", occasion);
        for name in NOT_FOR_PROGRAMS {
            line = line.env_remove(name);
        }
        for (name, value) in &self.variables {
            // A variable cannot hold NUL.
            line = line.env(*name, value.replace('\0', "\u{fffd}"));
        }
        line
    }

    /// Runs a command to its end, thirty seconds at most. That it failed is logged: nobody else can be told.
    async fn to(&self, command: Option<&Run>, occasion: &'static str, redactor: &Redactor) {
        let Some(Run::Program(argv)) = command else {
            return;
        };
        let (program, line) = (&argv[0], self.command(argv, occasion));
        let event = Event::synthetic(occasion).with_payload(self.json.to_string());
        let run = Handler::call(&line, Arc::new(event));
        match timeout(PATIENCE, run).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let why = with_causes(error.source());
                let why = redactor.apply(TextKind::Message, &why);
                tracing::error!("`{program}` could not tell of this {occasion}: {why}");
            }
            Err(_) => {
                tracing::error!(
                    "`{program}` took longer than {PATIENCE:?} to tell of this {occasion}; ended it"
                );
            }
        }
    }
}
