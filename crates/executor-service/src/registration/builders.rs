//! Registering listeners and jobs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use executor_core::guard::{Guard, GuardOutput};
use executor_core::lines::LinePolicy;
use executor_core::redact::TextKind;
use executor_core::registration::{Details, JobDetails, Overlap};
use executor_core::runnable::Hooks;
use executor_core::time::Moment;
use executor_core::{
    Entity, ErrorHandler, Event, Handler, HandlerError, HandlerFn, HandlerOutput, Job, JobHandler,
    Listener, Registration, SourceTier,
};
use thiserror::Error;

use crate::lifecycle::shared::Service;
use crate::recovery::orphans::Orphans;
use crate::registration::handle::{JobHandle, ListenerHandle};
use crate::registration::registrar::{Plan, Target};
use crate::registration::wrapped::RunsFutures;
use crate::schedule::{self, Schedule};

/// The reason why a registration was refused: bad input, or a stopped executor. While the store is unavailable, a
/// registration is kept and applied later.
///
/// ```
/// let error = executor_service::RegisterError::Empty { part: "topic" };
/// assert!(error.to_string().starts_with("the topic is empty"));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// A part of its identity is empty.
    #[error("the {part} is empty: it names the registration in the history")]
    Empty {
        /// The empty part.
        part: &'static str,
    },
    /// The executor was stopped, or the runtime on which it was started has ended.
    #[error("the executor has stopped: nothing can be registered any more")]
    Stopped,
    /// The arguments to be recorded are not valid JSON.
    #[error("the arguments of job `{job}` are not JSON: {detail}")]
    Arguments {
        /// The job's name.
        job: String,
        /// The parser's message.
        detail: String,
    },
    /// The store cannot keep this registration.
    #[error("the store refuses the registration: {detail}")]
    Refused {
        /// The store's message.
        detail: String,
    },
}

macro_rules! common_settings {
    () => {
        /// Sets the instance of the app that it belongs to. Default 0.
        pub const fn instance(mut self, instance: u32) -> Self {
            self.instance = instance;
            self
        }

        /// Sets the deadline of each execution. Default 600 s.
        pub const fn timeout(mut self, timeout: Duration) -> Self {
            self.details.timeout = Some(timeout);
            self
        }

        /// Removes the deadline.
        pub const fn no_timeout(mut self) -> Self {
            self.details.timeout = None;
            self
        }

        /// Sets the description, for people who read the history.
        pub fn description(mut self, text: impl Into<String>) -> Self {
            self.details.description = Some(text.into());
            self
        }

        /// Sets the error handler, which runs after `error`, `panicked` and `timed_out`. It returns nothing or a
        /// result, and takes precedence over the app's error handler.
        pub fn on_error(mut self, handler: impl ErrorHandler) -> Self {
            self.hooks.error_handler = Some(Arc::new(handler));
            self
        }

        /// Sets which runs keep what they say (lines of [`context::line`](executor_core::context::line), or what a
        /// program prints). Default: `Tail` where a program prints, else `Failures`.
        pub const fn lines(mut self, policy: LinePolicy) -> Self {
            self.hooks.lines = Some(policy);
            self
        }

        /// Sets what becomes of its programs that an earlier process left running when it was killed. Default: what the
        /// service's configuration says. `End` there ends those of every registration, also of one that would leave them.
        pub const fn orphans(mut self, rule: Orphans) -> Self {
            self.hooks.ends_orphans = matches!(rule, Orphans::End);
            self
        }

        /// Sets the rule for a run that would overlap an earlier one. Default: `Single` in the app tier, `Parallel`
        /// in the framework tier. A skipped run is recorded as `skipped`.
        ///
        /// The rule counts only the runs of this registration, not those of an earlier one with the same key. A
        /// handler that waits for another run of its own registration may deadlock.
        pub const fn overlap(mut self, overlap: Overlap) -> Self {
            self.details.overlap = Some(overlap);
            self
        }

        /// Sets how many runs may wait under `Queued` (default 10), or run at once under `Parallel` (default: no
        /// limit).
        pub const fn overlap_limit(mut self, limit: u32) -> Self {
            self.details.overlap_limit = Some(limit);
            self
        }

        /// Changes any other detail of the registration.
        pub fn details(mut self, change: impl FnOnce(&mut Details)) -> Self {
            change(&mut self.details);
            self
        }
    };
}

/// A listener to be registered; created by [`CommandExecutor::listener`](crate::CommandExecutor::listener).
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

    /// Sets the topic, or topic pattern, that it listens to.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = topic.into();
        self
    }

    /// Sets the guard, which is checked before each run. It returns a `bool`, or a result with any error, and must
    /// not wait. If it returns `false`, the execution is `skipped`; if it fails, that is the outcome.
    pub fn only_if<O: GuardOutput>(
        mut self,
        question: impl Fn(&Event) -> O + Send + Sync + 'static,
    ) -> Self {
        self.hooks.guard = Some(Guard::for_events(question));
        self
    }

    /// Sets the handler for events.
    pub fn handler(self, handler: impl Handler) -> ListenerToRegister {
        ListenerToRegister {
            builder: self,
            handler: Arc::new(handler),
            is_published_to: true,
        }
    }

    /// Sets a function as the handler. It takes the event or nothing, and returns nothing or a result with any error.
    pub fn handler_fn<Args: 'static>(self, function: impl HandlerFn<Args>) -> ListenerToRegister {
        self.handler(move |event| function.start(event))
    }

    /// Sets no handler: only futures passed to [`wrap`](ListenerHandle::wrap) run, and
    /// [`publish`](crate::CommandExecutor::publish) skips this listener.
    pub fn for_wrapping(self) -> ListenerToRegister {
        ListenerToRegister {
            is_published_to: false,
            ..self.handler(|_| async { Err(HandlerError::known(NO_HANDLER)) })
        }
    }

    /// Sets a function that blocks its thread as the handler. It runs on a separate pool of threads. If it is still
    /// running when its execution ends, it cannot be stopped; its thread is left behind, and the record says so.
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

/// The error that is recorded when a registration without a handler is run.
const NO_HANDLER: &str = "it has no handler: it only runs the futures that `wrap` is given";

/// A listener with its handler.
#[must_use = "nothing is registered before `register` is awaited"]
pub struct ListenerToRegister {
    builder: ListenerBuilder,
    handler: Arc<dyn Handler>,
    /// True if it has a handler of its own.
    is_published_to: bool,
}

impl ListenerToRegister {
    /// Writes the registration and returns the handle. An entity that is registered again keeps its history.
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
        let at = service.clock.now();
        register(&service, Arc::clone(&listener) as _, Plan::Own(None), at).await?;
        let registrar = Arc::clone(&service.registrar);
        let handle = ListenerHandle {
            listener,
            registrar,
            service: weak(&service),
        };
        if self.is_published_to && !service.subscriptions.add(handle.clone()) {
            return Err(RegisterError::Stopped);
        }
        Ok(handle)
    }
}

/// A job to be registered; created by [`CommandExecutor::job`](crate::CommandExecutor::job).
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
    is_scheduled_elsewhere: bool,
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
            is_scheduled_elsewhere: false,
            arguments_json: None,
            details: Details::new(tier),
            hooks: Hooks::default(),
        }
    }

    common_settings!();

    /// Sets the schedule, which begins when the job is registered. Default: none; it runs only on demand.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Sets a schedule that another process follows: this registration begins no run by it, and does not change what
    /// the history knows about it. For a run on demand alongside that process.
    pub fn scheduled_elsewhere(mut self, schedule: Schedule) -> Self {
        self.is_scheduled_elsewhere = true;
        self.schedule(schedule)
    }

    /// Sets the group in which it is shown.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Sets its arguments as JSON. They pass through the redaction hook and are recorded with every run. Default:
    /// nothing is recorded.
    pub fn record_arguments(mut self, json: impl Into<String>) -> Self {
        self.arguments_json = Some(json.into());
        self
    }

    /// Sets the guard, which is checked before each run. It returns a `bool`, or a result with any error, and must
    /// not wait. If it returns `false`, the execution is `skipped`; if it fails, that is the outcome.
    pub fn only_if<O: GuardOutput>(
        mut self,
        question: impl Fn() -> O + Send + Sync + 'static,
    ) -> Self {
        self.hooks.guard = Some(Guard::for_jobs(question));
        self
    }

    /// Sets the handler.
    pub fn handler(self, handler: impl JobHandler) -> JobToRegister {
        JobToRegister {
            builder: self,
            handler: Arc::new(handler),
        }
    }

    /// Sets a function as the handler. It returns nothing or a result with any error.
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

    /// Sets no handler: only futures passed to [`wrap`](JobHandle::wrap) run.
    pub fn for_wrapping(self) -> JobToRegister {
        self.handler(|| async { Err(HandlerError::known(NO_HANDLER)) })
    }

    /// Sets a function that blocks its thread as the handler; see [`ListenerBuilder::blocking_handler`].
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
    /// Writes the registration and returns the handle. An entity that is registered again keeps its history; its
    /// earlier schedule ends.
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
            // The registration's row also has them, so redact them here.
            arguments_json: builder
                .arguments_json
                .map(|json| redact(&builder.service, &json)),
        });
        let job = Arc::new(Job::new(registration, self.handler, builder.hooks));
        let plan = match builder.is_scheduled_elsewhere {
            true => Plan::Elsewhere,
            false => Plan::Own(builder.schedule.as_ref().map(Schedule::plan)),
        };
        let at = builder.service.clock.now();
        register(&builder.service, Arc::clone(&job) as _, plan, at).await?;
        let registrar = Arc::clone(&builder.service.registrar);
        let handle = JobHandle {
            job,
            registrar,
            service: weak(&builder.service),
        };
        if !builder.is_scheduled_elsewhere {
            builder.service.schedule(&handle, builder.schedule, at);
        }
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

/// Fails only for bad input and after a stop. While the store is unavailable, the registration is kept and applied
/// later.
async fn register(
    service: &Service,
    target: Arc<dyn Target>,
    plan: Plan,
    at: Moment,
) -> Result<(), RegisterError> {
    if service.is_gone() {
        return Err(RegisterError::Stopped);
    }
    let registered = service.registrar.register(target, plan, at.wall).await;
    registered.map_err(|error| RegisterError::Refused {
        detail: error.source.to_string(),
    })
}
