//! `executor run`: registers what the configuration names, feeds it events, runs its jobs, and
//! stops in order.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use command_executor::process::{self, CommandLine};
use command_executor::registration::{Details, Overlap};
use command_executor::{
    CommandExecutor, Event, ListenerHandle, Schedule, ShutdownReport, SqliteReader, SqliteStore,
    Window,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use crate::args::{DEFAULT_DB, RunArgs};
use crate::config::{Config, JobConfig, ListenerConfig, Run, Settings};
use crate::duration::Timeout;
use crate::events::Shape;
use crate::exit::{CUT_OFF, Failure, LOST, describe};
use crate::lines::{self, Line};
use crate::progress::{Counts, Progress};
use crate::report;
use crate::signals::Signals;
use crate::topic::TopicPattern;

/// How many records may wait in memory.
const QUEUE_MAX: usize = 100_000;
/// From so many waiting records on the stream is read no further until they are written: where
/// the choice is between a late event and a lost record, a stream can wait.
const READ_NO_FURTHER_AT: u64 = QUEUE_MAX as u64 / 2;
/// How many bad lines are named; the rest is only counted.
const BAD_LINES_NAMED: u64 = 10;

type Events = mpsc::Receiver<io::Result<Line>>;

/// Runs to the end and prints the table.
pub(crate) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let config = Config::read(&args.config).map_err(Failure::Config)?;
    let events = args.events.as_deref().map(open_events).transpose()?;
    let progress = Progress::new();
    progress.log(args.verbose);
    let mut signals = Signals::listen().map_err(Failure::Signals)?;
    let url = args
        .db
        .clone()
        .or_else(|| config.store.url.clone().map(|url| url.0));
    let url = url.unwrap_or_else(|| DEFAULT_DB.to_owned());
    let running = tokio::select! {
        started = Running::start(&config, &url) => started?,
        () = signals.next() => return Ok(cut_off("stopped by a signal before it had started")),
    };

    let ended = tokio::select! {
        () = running.work(&config, events, &args) => Ended::Done,
        () = running.progress(&progress) => Ended::Done,
        () = signals.next() => Ended::Signal,
    };
    let stopped = tokio::select! {
        report = running.stop(ended, &config) => Some(report),
        () = signals.next() => None,
    };
    progress.clear();
    match stopped {
        Some(shutdown) => tokio::select! {
            code = running.conclude(&url, &shutdown, args.json) => code,
            () = signals.next() => Ok(cut_off("the summary was cut off by a signal")),
        },
        None => Ok(cut_off("ended at once by a second signal")),
    }
}

fn cut_off(why: &str) -> ExitCode {
    eprintln!("executor: {why}");
    ExitCode::from(CUT_OFF)
}

fn open_events(path: &Path) -> Result<(PathBuf, Events), Failure> {
    let path = path.to_owned();
    match lines::read(&path) {
        Ok(events) => Ok((path, events)),
        Err(source) => Err(Failure::Events { path, source }),
    }
}

/// Why the work ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Signal,
}

/// A service with the configuration's listeners and jobs on it.
struct Running {
    executor: CommandExecutor,
    listeners: Vec<(TopicPattern, ListenerHandle)>,
    room: Arc<Semaphore>,
    /// What events have started.
    tasks: TaskTracker,
    counts: Arc<Counts>,
    /// Why the events could not be read to their end.
    unread: OnceLock<Failure>,
}

impl Running {
    async fn start(config: &Config, url: &str) -> Result<Self, Failure> {
        let store = SqliteStore::open(url).await?;
        let settings = settings(config, url)?;
        let executor = CommandExecutor::builder(store)
            .config(settings)
            .start()
            .await?;
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            let handle = register_listener(&executor, listener).await?;
            listeners.push((listener.topic.clone(), handle));
        }
        for (job, schedule) in config.jobs.iter().zip(&config.schedules) {
            register_job(&executor, job, schedule.clone()).await?;
        }
        Ok(Self {
            executor,
            listeners,
            room: Arc::new(Semaphore::new(config.run.max_concurrent.0.into())),
            tasks: TaskTracker::new(),
            counts: Arc::default(),
            unread: OnceLock::new(),
        })
    }

    /// Feeds events, until the time is up or, without a time, the events end.
    async fn work(&self, config: &Config, events: Option<(PathBuf, Events)>, args: &RunArgs) {
        let ends_with_events = events.is_some() && args.duration.is_none();
        let feeding = async {
            if let Some((path, events)) = events {
                self.feed(&config.events, &path, events).await;
            }
            if !ends_with_events {
                pending::<()>().await;
            }
        };
        let time_is_up = async {
            match args.duration {
                Some(duration) => tokio::time::sleep(duration.0).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = feeding => {}
            () = time_is_up => {}
        }
        if ends_with_events {
            // Executions that the events have started run to their own ends, and jobs go on until
            // then; a job that still runs is the shutdown's to end.
            self.tasks.close();
            self.tasks.wait().await;
            // A stream cannot be had again: its records are waited for, however long the store
            // takes. A signal cuts this short.
            let _ = self.executor.flush().await;
        }
    }

    async fn progress(&self, progress: &Progress) {
        progress.keep_showing(&self.executor, &self.counts).await;
    }

    /// Reads the stream to its end.
    async fn feed(&self, shape: &Shape, path: &Path, mut events: Events) {
        let mut number = 0_u64;
        while let Some(line) = events.recv().await {
            number += 1;
            let event = match line {
                Ok(Line::Text(line)) if line.trim_ascii().is_empty() => continue,
                Ok(Line::Text(line)) => shape.event(line),
                Ok(Line::TooLong) => Err("longer than 16 MiB".to_owned()),
                Err(source) => {
                    let path = path.to_owned();
                    let _ = self.unread.set(Failure::Events { path, source });
                    return;
                }
            };
            match event {
                Ok(event) => self.dispatch(Arc::new(event)).await,
                Err(why) => self.bad_line(path, number, &why),
            }
        }
    }

    fn bad_line(&self, path: &Path, number: u64, why: &str) {
        let bad = Counts::add(&self.counts.bad_lines);
        if bad <= BAD_LINES_NAMED {
            tracing::warn!("{}:{number}: {why}; the line was left out", path.display());
        }
        if bad == BAD_LINES_NAMED {
            tracing::warn!("further bad lines are only counted");
        }
    }

    async fn dispatch(&self, event: Arc<Event>) {
        Counts::add(&self.counts.events);
        if self.executor.ledger().waiting >= READ_NO_FURTHER_AT {
            let _ = self.executor.flush().await;
        }
        for (pattern, listener) in &self.listeners {
            if !pattern.matches(&event.topic) {
                continue;
            }
            let room = Arc::clone(&self.room).acquire_owned().await;
            let room = room.expect("nobody closes the semaphore");
            let executor = self.executor.clone();
            let command = listener.invoke(Arc::clone(&event));
            self.tasks.spawn(async move {
                // Refused only when the service stops, and then nothing is owed.
                let _ = executor.execute(command).await;
                drop(room);
            });
        }
    }

    async fn stop(&self, ended: Ended, config: &Config) -> ShutdownReport {
        if ended == Ended::Signal {
            tracing::warn!("stopping; a second signal ends at once");
        }
        let report = self.executor.shutdown(config.run.shutdown_timeout.0).await;
        // Programs that were cut off have a grace of their own.
        process::all_ended().await;
        report
    }

    async fn conclude(
        &self,
        url: &str,
        stop: &ShutdownReport,
        json: bool,
    ) -> Result<ExitCode, Failure> {
        let session = Window::of_session(self.executor.session_id());
        let reader = SqliteReader::new(url)?;
        if reader.is_in_memory() {
            eprintln!("executor: the history was in memory and is gone");
        } else {
            report::print(&reader.summaries(session).await?, json)?;
        }
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        eprintln!(
            "{} events, {} bad lines; records: {}; database {url}",
            count(&self.counts.events),
            count(&self.counts.bad_lines),
            stop.ledger,
        );
        if !stop.session_closed {
            eprintln!("executor: the session could not be closed; it will be found `crashed`");
        }
        if let Some(unread) = self.unread.get() {
            return Ok(describe(unread));
        }
        let lost = stop.ledger.total_dropped() > 0 || stop.still_running > 0;
        Ok(if lost {
            ExitCode::from(LOST)
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// The configuration's settings, with what its other tables say.
fn settings(config: &Config, url: &str) -> Result<Settings, Failure> {
    let service = config.service.as_ref();
    let mut settings = service.map_or_else(Settings::default, |service| service.get_ref().clone());
    config.store.keep(&mut settings.retention);
    if SqliteReader::new(url)?.is_in_memory() {
        // Without a file there is no spool. Whoever reads a stream to its end wants its records,
        // however long that takes.
        settings.queue_max = settings.queue_max.max(QUEUE_MAX);
        settings.retry_max_records = settings.retry_max_records.max(QUEUE_MAX);
        settings.retry_max_attempts = u32::MAX;
    }
    Ok(settings)
}

async fn register_listener(
    executor: &CommandExecutor,
    config: &ListenerConfig,
) -> Result<ListenerHandle, Failure> {
    let name = config.name.get_ref().0.clone();
    // Every event of the stream is to be handled, unless the configuration says otherwise.
    let overlap = config.overlap.map_or(Overlap::Parallel, |rule| rule.0);
    let listener = executor
        .listener(config.app.0.clone(), name)
        .topic(config.topic.as_str())
        .details(|details| {
            describe_in(details, config.timeout, config.description.as_ref());
            details.overlap = Some(overlap);
            details.overlap_limit = config.overlap_limit.map(|limit| limit.0.into());
        });
    let listener = match &config.run {
        Run::Noop => listener.handler_fn(|| async {}),
        Run::Panic => listener.handler(|_: Arc<Event>| async { panic!("asked to by @panic") }),
        Run::Program(argv) => listener.handler(program(argv)),
    };
    Ok(listener.register().await?)
}

async fn register_job(
    executor: &CommandExecutor,
    config: &JobConfig,
    schedule: Schedule,
) -> Result<(), Failure> {
    let name = config.name.get_ref().0.clone();
    let job = executor
        .job(config.app.0.clone(), name)
        .schedule(schedule)
        .details(|details| {
            describe_in(details, config.timeout, config.description.as_ref());
            details.overlap = config.overlap.map(|rule| rule.0);
            details.overlap_limit = config.overlap_limit.map(|limit| limit.0.into());
        });
    let job = match &config.run {
        Run::Noop => job.handler_fn(|| async {}),
        Run::Panic => job.handler(|| async { panic!("asked to by @panic") }),
        Run::Program(argv) => job.handler(program(argv)),
    };
    let job = job.register().await?;
    let next_run = executor.schedule_of(&job).and_then(|state| state.next_run);
    if next_run.is_none() {
        let key = &job.job().registration.key;
        tracing::warn!("the time of job {key} has passed; it will not run");
    }
    Ok(())
}

fn describe_in(details: &mut Details, timeout: Option<Timeout>, description: Option<&String>) {
    if let Some(Timeout(timeout)) = timeout {
        details.timeout = timeout;
    }
    details.description = description.cloned();
    details.registration_source = Some("configuration".into());
}

fn program(argv: &[String]) -> CommandLine {
    CommandLine::new(&argv[0]).args(&argv[1..])
}
