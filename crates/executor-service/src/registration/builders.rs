//! Registering listeners and jobs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use executor_core::guard::{Guard, GuardOutput};
use executor_core::redact::TextKind;
use executor_core::registration::{Details, JobDetails, Overlap};
use executor_core::runnable::Hooks;
use executor_core::{
    Entity, ErrorHandler, Event, Handler, HandlerError, HandlerFn, HandlerOutput, Job, JobHandler,
    Listener, Registration, SourceTier,
};
use thiserror::Error;

use crate::lifecycle::shared::Service;
use crate::registration::handle::{JobHandle, ListenerHandle};
use crate::registration::registrar::Target;
use crate::registration::wrapped::RunsFutures;
use crate::schedule::{self, Schedule};

/// Why a registration was refused: bad input, or a stop. While the store is away a
/// registration is kept and applied later.
///
/// ```
/// let error = executor_service::RegisterError::Empty { part: "topic" };
/// assert!(error.to_string().starts_with("the topic is empty"));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// A part of what identifies it is empty.
    #[error("the {part} is empty: it names the registration in the history")]
    Empty {
        /// Which part.
        part: &'static str,
    },
    /// The executor was stopped, or the runtime on which it was started has ended.
    #[error("the executor has stopped: nothing can be registered any more")]
    Stopped,
    /// What was given to be recorded as arguments is no JSON.
    #[error("the arguments of job `{job}` are no JSON: {detail}")]
    Arguments {
        /// The job's name.
        job: String,
        /// What is wrong with them.
        detail: String,
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
            self.hooks.error_handler = Some(Arc::new(handler));
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

/// A listener to be registered; made by [`CommandExecutor::listener`](crate::CommandExecutor::listener).
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let listener = executor.listener("lights", "hall").topic("motion.hall").only_if(|_| true);
/// let listener = listener.handler_fn(|| async { println!("light on") }).register().await?;
/// assert_eq!(listener.listener().registration.entity.name, "hall");
/// # Ok(()) }
/// ```
#[must_use = "nothing is registered before `register` is awaited"]
pub struct ListenerBuilder {
    service: Arc<Service>,
    app_key: String,
    instance: u32,
    name: String,
    topic: String,
    details: Details,
    hooks: Hooks,
}

impl ListenerBuilder {
    pub(crate) fn new(service: Arc<Service>, app: String, name: String, tier: SourceTier) -> Self {
        Self {
            service,
            app_key: app,
            instance: 0,
            name,
            topic: String::new(),
            details: Details::new(tier),
            hooks: Hooks::default(),
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
        self.hooks.guard = Some(Guard::for_events(question));
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

    /// Without a handler: only what [`wrap`](ListenerHandle::wrap) is given runs.
    pub fn for_wrapping(self) -> ListenerToRegister {
        self.handler(|_| async { Err(HandlerError::known(NO_HANDLER)) })
    }

    /// What runs for an event, where that blocks its thread: a function on a thread of its own
    /// pool. One that still runs when its execution ends cannot be stopped; its thread is left
    /// behind, and the record says so.
    pub fn blocking_handler<O: HandlerOutput>(
        self,
        function: impl Fn(Arc<Event>) -> O + Send + Sync + 'static,
    ) -> ListenerToRegister {
        let pool = self.service.blocking.clone();
        let what: Arc<str> = Arc::from(format!("listener {}.{}", self.app_key, self.name));
        let function = Arc::new(function);
        self.handler(move |event| {
            let function = Arc::clone(&function);
            pool.run(Arc::clone(&what), move || function(event).into_result())
        })
    }
}

/// What is recorded where something runs a registration that has no handler.
const NO_HANDLER: &str = "it has no handler: it only runs the futures that `wrap` is given";

/// A listener with its handler.
#[must_use = "nothing is registered before `register` is awaited"]
pub struct ListenerToRegister {
    builder: ListenerBuilder,
    handler: Arc<dyn Handler>,
}

impl ListenerToRegister {
    /// Writes the registration and returns the handle. The same entity registered again keeps its
    /// history.
    ///
    /// # Errors
    ///
    /// Bad input, or the executor was stopped; see [`RegisterError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the registration written, without a handle to it.
    pub async fn register(self) -> Result<ListenerHandle, RegisterError> {
        let ListenerBuilder {
            service,
            app_key,
            instance,
            name,
            topic,
            details,
            hooks,
        } = self.builder;
        refuse_empty(&[
            ("app key", &app_key),
            ("listener's name", &name),
            ("topic", &topic),
        ])?;
        let entity = Entity::listener(app_key, instance, name, topic);
        let registration = Registration::new(entity, details);
        let listener = Arc::new(Listener::new(registration, self.handler, hooks));
        register(&service, Arc::clone(&listener) as _).await?;
        let registrar = Arc::clone(&service.registrar);
        let handle = ListenerHandle {
            listener,
            registrar,
            service: weak(&service),
        };
        service.subscriptions.add(handle.clone());
        Ok(handle)
    }
}

/// A job to be registered; made by [`CommandExecutor::job`](crate::CommandExecutor::job).
///
/// ```
/// # use {executor_service::*, executor_testkit::MemoryStore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), RegisterError> {
/// # let executor = CommandExecutor::builder(MemoryStore::new()).start().await.expect("starts");
/// let dim = executor.job("lights", "dim").group("evening").timeout(std::time::Duration::from_secs(5));
/// let dim = dim.handler_fn(|| async { println!("dimmed") }).register().await?;
/// let of_job = dim.job().registration.job.as_ref().expect("it is one");
/// assert_eq!(of_job.group.as_deref(), Some("evening"));
/// # Ok(()) }
/// ```
#[must_use = "nothing is registered before `register` is awaited"]
pub struct JobBuilder {
    service: Arc<Service>,
    app_key: String,
    instance: u32,
    name: String,
    group: Option<String>,
    schedule: Option<Schedule>,
    arguments_json: Option<String>,
    details: Details,
    hooks: Hooks,
}

impl JobBuilder {
    pub(crate) fn new(service: Arc<Service>, app: String, name: String, tier: SourceTier) -> Self {
        Self {
            service,
            app_key: app,
            instance: 0,
            name,
            group: None,
            schedule: None,
            arguments_json: None,
            details: Details::new(tier),
            hooks: Hooks::default(),
        }
    }

    common_settings!();

    /// When it runs by itself, from its registration on. Default: only by hand.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
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
        self.hooks.guard = Some(Guard::for_jobs(question));
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

    /// Without a handler: only what [`wrap`](JobHandle::wrap) is given runs.
    pub fn for_wrapping(self) -> JobToRegister {
        self.handler(|| async { Err(HandlerError::known(NO_HANDLER)) })
    }

    /// What runs, where that blocks its thread; see
    /// [`ListenerBuilder::blocking_handler`].
    pub fn blocking_handler<O: HandlerOutput>(
        self,
        function: impl Fn() -> O + Send + Sync + 'static,
    ) -> JobToRegister {
        let pool = self.service.blocking.clone();
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
    /// Writes the registration and returns the handle. The same entity registered again keeps its
    /// history; its earlier schedule ends.
    ///
    /// # Errors
    ///
    /// Bad input, or the executor was stopped; see [`RegisterError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the registration written, without a handle to it or a schedule.
    pub async fn register(self) -> Result<JobHandle, RegisterError> {
        let builder = self.builder;
        refuse_empty(&[("app key", &builder.app_key), ("job's name", &builder.name)])?;
        refuse_malformed(&builder.name, builder.arguments_json.as_deref())?;
        let entity = Entity::job(builder.app_key, builder.instance, builder.name);
        let registration = Registration::new(entity, builder.details).with_job(JobDetails {
            handler_name: None,
            schedule: schedule::text_of(builder.schedule.as_ref()),
            group: builder.group,
            // The registration's row has them too.
            arguments_json: builder
                .arguments_json
                .map(|json| redact(&builder.service, &json)),
        });
        let job = Arc::new(Job::new(registration, self.handler, builder.hooks));
        register(&builder.service, Arc::clone(&job) as _).await?;
        let registrar = Arc::clone(&builder.service.registrar);
        let handle = JobHandle {
            job,
            registrar,
            service: weak(&builder.service),
        };
        builder.service.schedule(&handle, builder.schedule);
        Ok(handle)
    }
}

fn weak(service: &Arc<Service>) -> Weak<dyn RunsFutures> {
    let service: Arc<dyn RunsFutures> = Arc::clone(service) as _;
    Arc::downgrade(&service)
}

fn redact(service: &Service, json: &str) -> String {
    let redactor = &service.error_handlers.redactor;
    redactor.apply(TextKind::Arguments, json).into_owned()
}

fn refuse_empty(parts: &[(&'static str, &str)]) -> Result<(), RegisterError> {
    match parts.iter().find(|(_, text)| text.is_empty()) {
        Some((part, _)) => Err(RegisterError::Empty { part }),
        None => Ok(()),
    }
}

fn refuse_malformed(job: &str, arguments: Option<&str>) -> Result<(), RegisterError> {
    let read = arguments.map(serde_json::from_str::<serde_json::Value>);
    match read.transpose() {
        Ok(_) => Ok(()),
        Err(error) => Err(RegisterError::Arguments {
            job: job.to_owned(),
            detail: error.to_string(),
        }),
    }
}

/// Fails only for bad input and after a stop: while the store is away it is kept and applied later.
async fn register(service: &Service, target: Arc<dyn Target>) -> Result<(), RegisterError> {
    if service.is_gone() {
        return Err(RegisterError::Stopped);
    }
    let registered = service.registrar.register(target).await;
    registered.map_err(|error| RegisterError::Refused {
        detail: error.source.to_string(),
    })
}
