//! Starts a service as a configuration says, and registers the configuration's listeners and jobs with it.

use std::sync::Arc;

use command_executor::process::CommandLine;
use command_executor::registration::{Details, Overlap};
use command_executor::{
    CommandExecutor, ErrorHandler, Event, HandlerFailure, JobBuilder, JobHandle, ListenerBuilder,
    ListenerHandle, Schedule, TopicPattern,
};

use crate::cmd::run::notifying::Notifier;
use crate::config::duration::Timeout;
use crate::config::surroundings::{Directory, Environment, LineRule, NOT_FOR_PROGRAMS, OrphanRule};
use crate::config::{Config, JobConfig, ListenerConfig, Mode, Run, Settings, Word};
use crate::exit::Failure;
use crate::input::source::lines::Text;
use crate::wire;

/// The least queue size for a database in memory, in records.
pub(crate) const QUEUE_MAX: usize = 100_000;

/// A listener of the configuration, on the service.
pub(crate) struct Listening {
    pub(crate) topic: TopicPattern,
    pub(crate) handle: ListenerHandle,
    /// Whether an event waits until fewer than `max_concurrent` run. Under the other rules it must not wait, because
    /// it skips or ends the run that is there.
    pub(crate) waits_for_room: bool,
}

impl Listening {
    /// Returns whether another one, registered earlier or later, has the same name.
    pub(crate) fn is_named_as(&self, other: &Self) -> bool {
        let entity = |it: &Self| Arc::clone(&it.handle.listener().registration.entity);
        let (ours, theirs) = (entity(self), entity(other));
        (&ours.app_key, &ours.name) == (&theirs.app_key, &theirs.name)
    }
}

/// Returns the library's settings, with the values from the configuration's other tables.
pub(crate) fn settings(config: &Config, url: &str) -> Result<Settings, Failure> {
    let service = config.service.as_ref();
    let mut settings = service.map_or_else(Settings::default, |service| service.get_ref().clone());
    config.store.keep(&mut settings.retention);
    if let Some(Mode(mode)) = config.store.file_mode {
        settings.file_mode = mode;
    }
    if wire::is_on_a_server(url) && config.service.is_none() {
        // It may be away when this machine starts; the spool has what is recorded until it is there.
        settings.wait_for_store = false;
    }
    if wire::is_in_memory(url)? {
        // Without a file there is no spool. A user who reads a stream to its end wants all its records, however long
        // that takes.
        settings.queue_max = settings.queue_max.max(QUEUE_MAX);
        settings.retry_max_records = settings.retry_max_records.max(QUEUE_MAX);
        settings.retry_max_attempts = u32::MAX;
    }
    Ok(settings)
}

pub(super) async fn service(
    config: &Config,
    settings: Settings,
    url: &str,
) -> Result<CommandExecutor, Failure> {
    let store = wire::store(url, settings.file_mode).await?;
    let builder = CommandExecutor::builder(store).config(settings);
    let builder = match config.redact.secrets() {
        Some(secrets) => builder.redact(secrets),
        None => builder,
    };
    Ok(builder.start().await?)
}

pub(crate) async fn listener(
    executor: &CommandExecutor,
    config: &ListenerConfig,
    notifier: &Arc<Notifier>,
) -> Result<Listening, Failure> {
    // Every event of the stream is to be handled, unless the configuration says otherwise.
    let overlap = config.overlap.map_or(Overlap::Parallel, |rule| rule.0);
    let listener = described_listener(executor, config, overlap);
    let listener = match told(notifier, config.on_error.as_ref()) {
        Some(told) => listener.on_error(told),
        None => listener,
    };
    let listener = match &config.run {
        Run::Noop => listener.handler_fn(|| async {}),
        Run::Panic => listener.handler(|_: Arc<Event>| async { panic!("asked to by @panic") }),
        Run::Program(argv) => {
            let names = (&config.app, config.name.get_ref());
            listener.handler(program(argv, names, &config.env, config.cwd.as_ref()))
        }
    };
    Ok(Listening {
        topic: config.topic.clone(),
        handle: listener.register().await?,
        waits_for_room: matches!(overlap, Overlap::Parallel | Overlap::Queued),
    })
}

fn described_listener(
    executor: &CommandExecutor,
    config: &ListenerConfig,
    overlap: Overlap,
) -> ListenerBuilder {
    let name = config.name.get_ref().0.clone();
    let listener = executor
        .listener(config.app.0.clone(), name)
        .topic(config.topic.as_str())
        .details(|details| {
            describe_in(details, config.timeout, config.description.as_ref());
            details.program = program_of(&config.run);
            details.overlap = Some(overlap);
            details.overlap_limit = config.overlap_limit.map(|limit| limit.0.into());
        });
    let listener = match config.orphans {
        Some(OrphanRule(rule)) => listener.orphans(rule),
        None => listener,
    };
    match config.lines {
        Some(LineRule(policy)) => listener.lines(policy),
        None => listener,
    }
}

pub(crate) async fn job(
    executor: &CommandExecutor,
    config: &JobConfig,
    schedule: Schedule,
    notifier: &Arc<Notifier>,
) -> Result<JobHandle, Failure> {
    let job = described(executor, config).schedule(schedule);
    let job = match told(notifier, config.on_error.as_ref()) {
        Some(told) => job.on_error(told),
        None => job,
    };
    let job = register(config, job).await?;
    let next_run = executor.schedule_of(&job).and_then(|state| state.next_run);
    if next_run.is_none() {
        let key = &job.job().registration.entity;
        tracing::warn!(
            "the time of job {key} has passed; it will run only if it is persistent and was missed"
        );
    }
    Ok(job)
}

/// Registers a job for a run on demand, beside the process that follows its schedule.
pub(crate) async fn job_on_demand(
    executor: &CommandExecutor,
    config: &JobConfig,
    schedule: Schedule,
) -> Result<JobHandle, Failure> {
    register(
        config,
        described(executor, config).scheduled_elsewhere(schedule),
    )
    .await
}

/// Returns an error handler that tells of each failure, if anybody is to be told.
fn told(notifier: &Arc<Notifier>, own: Option<&Run>) -> Option<impl ErrorHandler> {
    let is_wanted = own.is_some() || notifier.is_wanted();
    let (notifier, own) = (Arc::clone(notifier), own.cloned());
    is_wanted.then_some(move |failure: HandlerFailure| {
        let (notifier, own) = (Arc::clone(&notifier), own.clone());
        async move { notifier.failed(own.as_ref(), failure).await }
    })
}

fn described(executor: &CommandExecutor, config: &JobConfig) -> JobBuilder {
    let name = config.name.get_ref().0.clone();
    executor.job(config.app.0.clone(), name).details(|details| {
        describe_in(details, config.timeout, config.description.as_ref());
        details.program = program_of(&config.run);
        details.overlap = config.overlap.map(|rule| rule.0);
        details.overlap_limit = config.overlap_limit.map(|limit| limit.0.into());
    })
}

async fn register(config: &JobConfig, job: JobBuilder) -> Result<JobHandle, Failure> {
    let job = match config.lines {
        Some(LineRule(policy)) => job.lines(policy),
        None => job,
    };
    let job = match config.orphans {
        Some(OrphanRule(rule)) => job.orphans(rule),
        None => job,
    };
    let job = match &config.run {
        Run::Noop => job.handler_fn(|| async {}),
        Run::Panic => job.handler(|| async { panic!("asked to by @panic") }),
        Run::Program(argv) => {
            let names = (&config.app, config.name.get_ref());
            job.handler(program(argv, names, &config.env, config.cwd.as_ref()))
        }
    };
    Ok(job.register().await?)
}

fn describe_in(details: &mut Details, timeout: Option<Timeout>, description: Option<&String>) {
    if let Some(Timeout(timeout)) = timeout {
        details.timeout = timeout;
    }
    details.description = description.cloned();
    details.registration_source = Some("configuration".into());
}

/// Returns the program alone: arguments may hold secrets.
fn program_of(run: &Run) -> Option<String> {
    match run {
        Run::Noop | Run::Panic => None,
        Run::Program(argv) => argv.first().cloned(),
    }
}

fn program(
    argv: &[String],
    (app, name): (&Word, &Word),
    environment: &Environment,
    directory: Option<&Directory>,
) -> CommandLine {
    let mut line = CommandLine::new(&argv[0])
        .args(&argv[1..])
        .env("EXECUTOR_APP", &app.0)
        .env("EXECUTOR_NAME", &name.0);
    for name in NOT_FOR_PROGRAMS {
        line = line.env_remove(name);
    }
    for (name, value) in &environment.0 {
        line = line.env(name, value);
    }
    if let Some(Directory(directory)) = directory {
        line = line.current_dir(directory);
    }
    line.input(|event| {
        event
            .payload::<Text>()
            .map_or_else(Vec::new, |line| line.bytes().to_vec())
    })
}
