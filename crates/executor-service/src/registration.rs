//! Registering listeners and jobs, and the handles with which they are run.

use std::sync::Arc;
use std::time::Duration;

use executor_core::guard::{Guard, GuardOutput};
use executor_core::redact::TextKind;
use executor_core::registration::{Conduct, Details, Overlap, ScheduleText};
use executor_core::{
    Command, ErrorClass, ErrorHandler, Event, ExecuteJob, Handler, HandlerFn, HandlerOutput,
    InvokeHandler, Job, JobHandler, JobKey, JobRegistration, Listener, ListenerKey,
    ListenerRegistration, SourceTier, TriggerMode,
};
use thiserror::Error;

use crate::registrar::Entry;
use crate::service::CommandExecutor;

/// Why a registration was refused: bad input, nothing else. While the store is away a
/// registration is kept and applied later.
///
/// ```
/// let error = executor_service::RegisterError::Empty { part: "topic" };
/// assert!(error.to_string().starts_with("the topic is empty"));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// A part of the key is empty.
    #[error("the {part} is empty: it names the registration in the history")]
    Empty {
        /// Which part.
        part: &'static str,
    },
    /// The store cannot keep this registration.
    #[error("the store refuses the registration: {detail}")]
    Refused {
        /// What the store said.
        detail: String,
    },
}

macro_rules! common_settings {
    () => {
        /// Which instance of the app it belongs to. Default 0.
        pub const fn instance(mut self, instance: u32) -> Self {
            self.instance = instance;
            self
        }

        /// The deadline of each execution. Default 600 s.
        pub const fn timeout(mut self, timeout: Duration) -> Self {
            self.details.timeout = Some(timeout);
            self
        }

        /// No deadline.
        pub const fn no_timeout(mut self) -> Self {
            self.details.timeout = None;
            self
        }

        /// What it does, for people who read the history.
        pub fn description(mut self, text: impl Into<String>) -> Self {
            self.details.description = Some(text.into());
            self
        }

        /// What is told when an execution fails: after `error`, `panicked` and `timed_out`. It
        /// returns nothing or a result, and goes before the app's error handler.
        pub fn on_error(mut self, handler: impl ErrorHandler) -> Self {
            self.conduct.error_handler = Some(Arc::new(handler));
            self
        }

        /// What happens when a run would overlap an earlier one. Default: `Single` in the app tier,
        /// `Parallel` in the framework tier. What is skipped is recorded as `skipped`.
        ///
        /// The runs of this registration are counted, not those of an earlier one with the same
        /// key. A handler that waits for a run of its own registration waits for itself.
        pub const fn overlap(mut self, overlap: Overlap) -> Self {
            self.details.overlap = Some(overlap);
            self
        }

        /// How many runs wait under `Queued` (default 10), or go on at once under `Parallel`
        /// (default: no limit).
        pub const fn overlap_limit(mut self, limit: u32) -> Self {
            self.details.overlap_limit = Some(limit);
            self
        }

        /// Everything else that the history may know.
        pub fn details(mut self, change: impl FnOnce(&mut Details)) -> Self {
            change(&mut self.details);
            self
        }
    };
}

/// A listener to be registered; made by [`CommandExecutor::listener`].
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let listener = executor.listener("lights", "hall").topic("motion.hall").only_if(|_| true);
/// let listener = listener.handler_fn(|| async { println!("light on") }).register().await?;
/// assert_eq!(listener.listener().registration.key.name, "hall");
/// # Ok(()) }
/// ```
#[must_use = "nothing is registered before `register` is awaited"]
pub struct ListenerBuilder {
    executor: CommandExecutor,
    app_key: String,
    instance: u32,
    name: String,
    topic: String,
    details: Details,
    conduct: Conduct,
}

impl ListenerBuilder {
    pub(crate) fn new(
        executor: CommandExecutor,
        app: String,
        name: String,
        tier: SourceTier,
    ) -> Self {
        Self {
            executor,
            app_key: app,
            instance: 0,
            name,
            topic: String::new(),
            details: Details::new(tier),
            conduct: Conduct::default(),
        }
    }

    common_settings!();

    /// The topic, or topic pattern, that it listens to.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = topic.into();
        self
    }

    /// What is asked before each run: yes or no, or a result with any error. It must not wait.
    /// Where it says no the execution is `skipped`; where it fails, that is the outcome.
    pub fn only_if<O: GuardOutput>(
        mut self,
        question: impl Fn(&Event) -> O + Send + Sync + 'static,
    ) -> Self {
        self.conduct.guard = Some(Guard::for_events(question));
        self
    }

    /// What runs for an event.
    pub fn handler(self, handler: impl Handler) -> ListenerToRegister {
        ListenerToRegister {
            builder: self,
            handler: Arc::new(handler),
        }
    }

    /// What runs for an event: a function with the event or without, that returns nothing or a
    /// result with any error.
    pub fn handler_fn<Args: 'static>(self, function: impl HandlerFn<Args>) -> ListenerToRegister {
        self.handler(move |event| function.start(event))
    }

    /// What runs for an event, where that blocks its thread: a function on a thread of its own
    /// pool. One that still runs when its execution ends cannot be stopped; its thread is left
    /// behind, and the record says so.
    pub fn blocking_handler<O: HandlerOutput>(
        self,
        function: impl Fn(Arc<Event>) -> O + Send + Sync + 'static,
    ) -> ListenerToRegister {
        let pool = self.executor.blocking().clone();
        let what: Arc<str> = Arc::from(format!("listener {}.{}", self.app_key, self.name));
        let function = Arc::new(function);
        self.handler(move |event| {
            let function = Arc::clone(&function);
            pool.run(Arc::clone(&what), move || function(event).into_result())
        })
    }
}

/// A listener with its handler.
#[must_use = "nothing is registered before `register` is awaited"]
pub struct ListenerToRegister {
    builder: ListenerBuilder,
    handler: Arc<dyn Handler>,
}

impl ListenerToRegister {
    /// Writes the registration and returns the handle. The same key registered again keeps its
    /// history.
    ///
    /// # Errors
    ///
    /// Bad input only; see [`RegisterError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the registration written, without a handle to it.
    pub async fn register(self) -> Result<ListenerHandle, RegisterError> {
        let ListenerBuilder {
            executor,
            app_key,
            instance,
            name,
            topic,
            details,
            conduct,
        } = self.builder;
        refuse_empty(&[
            ("app key", &app_key),
            ("listener's name", &name),
            ("topic", &topic),
        ])?;
        let key = Arc::new(ListenerKey {
            app_key,
            instance,
            name,
            topic,
        });
        let registration = ListenerRegistration { key, details };
        let listener = Arc::new(Listener::new(registration, self.handler, conduct));
        register(&executor, Entry::Listener(Arc::clone(&listener))).await?;
        Ok(ListenerHandle { listener })
    }
}

/// A registered listener.
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let hall = executor.listener("lights", "hall").topic("motion.hall");
/// let hall = hall.handler_fn(|| async {}).register().await?;
/// let command = hall.invoke(executor_core::Event::new("motion.hall"));
/// assert!(executor.execute(command).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ListenerHandle {
    listener: Arc<Listener>,
}

impl ListenerHandle {
    /// The command that invokes its handler for an event, with its tier and its deadline.
    pub fn invoke(&self, event: impl Into<Arc<Event>>) -> Command {
        let details = &self.listener.registration.details;
        Command::InvokeHandler(InvokeHandler {
            listener: Arc::clone(&self.listener),
            event: event.into(),
            source_tier: details.source_tier,
            effective_timeout: details.timeout,
        })
    }

    /// What it invokes.
    pub const fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }
}

/// A job to be registered; made by [`CommandExecutor::job`].
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let dim = executor.job("lights", "dim").group("evening").timeout(std::time::Duration::from_secs(5));
/// let dim = dim.handler_fn(|| async { println!("dimmed") }).register().await?;
/// assert_eq!(dim.job().registration.group.as_deref(), Some("evening"));
/// # Ok(()) }
/// ```
#[must_use = "nothing is registered before `register` is awaited"]
pub struct JobBuilder {
    executor: CommandExecutor,
    app_key: String,
    instance: u32,
    name: String,
    group: Option<String>,
    schedule: ScheduleText,
    arguments_json: Option<String>,
    details: Details,
    conduct: Conduct,
}

impl JobBuilder {
    pub(crate) fn new(
        executor: CommandExecutor,
        app: String,
        name: String,
        tier: SourceTier,
    ) -> Self {
        Self {
            executor,
            app_key: app,
            instance: 0,
            name,
            group: None,
            schedule: ScheduleText::manual(),
            arguments_json: None,
            details: Details::new(tier),
            conduct: Conduct::default(),
        }
    }

    common_settings!();

    /// What starts it, described for people. Default: only by hand.
    pub fn schedule(mut self, schedule: ScheduleText) -> Self {
        self.schedule = schedule;
        self
    }

    /// The group in which it is shown.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Its arguments as JSON, to be recorded with every run, as the redaction hook leaves them.
    /// Default: nothing is recorded.
    pub fn record_arguments(mut self, json: impl Into<String>) -> Self {
        self.arguments_json = Some(json.into());
        self
    }

    /// What is asked before each run: yes or no, or a result with any error. It must not wait.
    /// Where it says no the execution is `skipped`; where it fails, that is the outcome.
    pub fn only_if<O: GuardOutput>(
        mut self,
        question: impl Fn() -> O + Send + Sync + 'static,
    ) -> Self {
        self.conduct.guard = Some(Guard::for_jobs(question));
        self
    }

    /// What runs.
    pub fn handler(self, handler: impl JobHandler) -> JobToRegister {
        JobToRegister {
            builder: self,
            handler: Arc::new(handler),
        }
    }

    /// What runs: a function that returns nothing or a result with any error.
    pub fn handler_fn<F, Fut>(self, function: F) -> JobToRegister
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        self.handler(move || {
            let work = function();
            async move { work.await.into_result() }
        })
    }

    /// What runs, where that blocks its thread; see
    /// [`ListenerBuilder::blocking_handler`].
    pub fn blocking_handler<O: HandlerOutput>(
        self,
        function: impl Fn() -> O + Send + Sync + 'static,
    ) -> JobToRegister {
        let pool = self.executor.blocking().clone();
        let what: Arc<str> = Arc::from(format!("job {}.{}", self.app_key, self.name));
        let function = Arc::new(function);
        self.handler(move || {
            let function = Arc::clone(&function);
            pool.run(Arc::clone(&what), move || function().into_result())
        })
    }
}

/// A job with its handler.
#[must_use = "nothing is registered before `register` is awaited"]
pub struct JobToRegister {
    builder: JobBuilder,
    handler: Arc<dyn JobHandler>,
}

impl JobToRegister {
    /// Writes the registration and returns the handle. The same key registered again keeps its
    /// history.
    ///
    /// # Errors
    ///
    /// Bad input only; see [`RegisterError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the registration written, without a handle to it.
    pub async fn register(self) -> Result<JobHandle, RegisterError> {
        let builder = self.builder;
        refuse_empty(&[("app key", &builder.app_key), ("job's name", &builder.name)])?;
        let registration = JobRegistration {
            key: Arc::new(JobKey {
                app_key: builder.app_key,
                instance: builder.instance,
                name: builder.name,
            }),
            details: builder.details,
            handler_name: None,
            schedule: builder.schedule,
            group: builder.group,
            // The registration's row has them too.
            arguments_json: builder
                .arguments_json
                .map(|json| redact(&builder.executor, &json)),
        };
        let job = Arc::new(Job::new(registration, self.handler, builder.conduct));
        register(&builder.executor, Entry::Job(Arc::clone(&job))).await?;
        Ok(JobHandle { job })
    }
}

/// A registered job.
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let dim = executor.job("lights", "dim").handler_fn(|| async {}).register().await?;
/// assert!(executor.execute(dim.run_now()).await.is_ok());
/// assert!(executor.execute(dim.run_scheduled()).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct JobHandle {
    job: Arc<Job>,
}

impl JobHandle {
    /// The command that runs it because somebody wants it now.
    pub fn run_now(&self) -> Command {
        self.command(TriggerMode::Manual)
    }

    /// The command that runs it because its schedule says so.
    pub fn run_scheduled(&self) -> Command {
        self.command(TriggerMode::Schedule)
    }

    /// What it runs.
    pub const fn job(&self) -> &Arc<Job> {
        &self.job
    }

    fn command(&self, trigger_mode: TriggerMode) -> Command {
        let details = &self.job.registration.details;
        Command::ExecuteJob(ExecuteJob {
            job: Arc::clone(&self.job),
            trigger_mode,
            source_tier: details.source_tier,
            effective_timeout: details.timeout,
        })
    }
}

fn redact(executor: &CommandExecutor, json: &str) -> String {
    let redactor = executor.redactor();
    redactor.apply(TextKind::Arguments, json).into_owned()
}

fn refuse_empty(parts: &[(&'static str, &str)]) -> Result<(), RegisterError> {
    match parts.iter().find(|(_, text)| text.is_empty()) {
        Some((part, _)) => Err(RegisterError::Empty { part }),
        None => Ok(()),
    }
}

/// Tries at once; what the store cannot take now is kept for later. One that was cut off by the
/// store's shutdown is kept too: its records say what they belong to without a row.
async fn register(executor: &CommandExecutor, entry: Entry) -> Result<(), RegisterError> {
    if executor.has_pending() {
        executor.register_later(entry);
        return Ok(());
    }
    match entry.apply(executor.store()).await {
        Ok(()) => Ok(()),
        Err(error) => match error.class {
            ErrorClass::Transient | ErrorClass::Closed => {
                executor.register_later(entry);
                Ok(())
            }
            ErrorClass::Dangling | ErrorClass::Constraint | ErrorClass::Unstorable => {
                let detail = error.source.to_string();
                Err(RegisterError::Refused { detail })
            }
        },
    }
}
