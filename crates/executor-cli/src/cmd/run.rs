//! `executor run`: registers the configured listeners and jobs, feeds events to the listeners, runs the jobs, and
//! stops gracefully.

mod now;

mod reaping;

mod register;

mod signals;

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use command_executor::{
    CommandExecutor, Degradation, Event, Health, Refused, ShutdownReport, StoreFault, Submitted,
    Window,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::args::{DEFAULT_DB, RunArgs};
use crate::cmd::report;
use crate::cmd::run::register::{Listening, QUEUE_MAX};
use crate::cmd::run::signals::Signals;
use crate::config::Config;
use crate::exit::{CUT_OFF, Failure, LOST};
use crate::input::events::Shape;
use crate::input::source::{self, Line};
use crate::output::console::{describe, say};
use crate::output::plain::plain;
use crate::output::progress::{self, Counts};
use crate::wire;

/// The interval between checks of the store's health.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// The number of waiting records at which reading pauses until they are written, unless the spool has room: a late
/// event is better than a lost record.
const READ_NO_FURTHER_AT: u64 = QUEUE_MAX as u64 / 2;
/// The number of bad lines that are logged; further ones are only counted.
const BAD_LINES_NAMED: u64 = 10;

type Events = mpsc::Receiver<io::Result<Line>>;

/// Runs to the end and prints the table.
pub(crate) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let config = Config::read(&args.config).map_err(Failure::Config)?;
    let events = args.events.as_deref().map(open_events).transpose()?;
    progress::log(args.verbose);
    let mut signals = Signals::listen().map_err(Failure::Signals)?;
    let url = args
        .db
        .clone()
        .or_else(|| config.store.url.clone().map(|url| url.0));
    let url = url.unwrap_or_else(|| DEFAULT_DB.to_owned());
    if let Some(what) = &args.now {
        reaping::start();
        return now::now(&config, &url, what, args.json, signals).await;
    }
    let running = tokio::select! {
        started = Running::start(&config, &url) => started?,
        () = signals.next() => return Ok(cut_off("stopped by a signal during startup")),
    };

    reaping::start();
    let ended = tokio::select! {
        () = running.work(&config, events, &args) => Ended::Done,
        () = progress::keep_showing(&running.executor, &running.counts) => Ended::Done,
        damage = running.damaged() => Ended::Damaged(damage),
        () = signals.next() => Ended::Signal,
    };
    let stopped = tokio::select! {
        report = running.stop(&ended, &config) => Some(report),
        () = signals.next() => None,
    };
    match stopped {
        Some(shutdown) => tokio::select! {
            code = running.conclude(&url, ended, &shutdown, args.json) => code,
            () = signals.next() => Ok(cut_off("the summary was cut off by a signal")),
        },
        None => Ok(cut_off("ended at once by a second signal")),
    }
}

fn cut_off(why: &str) -> ExitCode {
    say(&format!("executor: {why}"));
    ExitCode::from(CUT_OFF)
}

fn open_events(path: &Path) -> Result<(PathBuf, Events), Failure> {
    let path = path.to_owned();
    match source::read(&path) {
        Ok(events) => Ok((path, events)),
        Err(source) => Err(Failure::Events { path, source }),
    }
}

/// Why the work ended.
#[derive(PartialEq, Eq)]
enum Ended {
    Done,
    Signal,
    /// The database reported damage; this is its error.
    Damaged(String),
}

/// A service with the configuration's listeners and jobs on it.
struct Running {
    executor: CommandExecutor,
    listeners: Vec<Listening>,
    room: Arc<Semaphore>,
    /// The time after which a damaged database ends the run.
    patience: Duration,
    /// Executions that events have started.
    tasks: TaskTracker,
    counts: Arc<Counts>,
    /// Why the events could not be read to their end.
    unread: OnceLock<Failure>,
}

impl Running {
    async fn start(config: &Config, url: &str) -> Result<Self, Failure> {
        let settings = register::settings(config, url)?;
        let store = wire::store(url, settings.file_mode).await?;
        let patience = settings.startup_timeout;
        let executor = CommandExecutor::builder(store)
            .config(settings)
            .start()
            .await?;
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            listeners.push(register::listener(&executor, listener).await?);
        }
        for (job, schedule) in config.jobs.iter().zip(&config.schedules) {
            register::job(&executor, job, schedule.clone()).await?;
        }
        Ok(Self {
            executor,
            listeners,
            room: Arc::new(Semaphore::new(config.run.max_concurrent.0.into())),
            patience,
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
            self.flush().await;
        }
    }

    /// Waits until everything is stored. With a spool it waits only while the store takes records; without one it
    /// waits as long as it takes, because those records would die with this process. A signal cuts this short.
    async fn flush(&self) {
        let is_kept = self.executor.ledger().durability.is_some();
        loop {
            let before = self.executor.ledger().stored;
            let flushed = timeout(self.patience, self.executor.flush()).await;
            if flushed.is_ok() || is_kept && self.executor.ledger().stored == before {
                return;
            }
        }
    }

    /// Waits until the database has reported damage without a break for `patience`, and returns its error. Other
    /// troubles pass.
    async fn damaged(&self) -> String {
        let mut lasted = Duration::ZERO;
        loop {
            sleep(ASK_AGAIN).await;
            match damage(&self.executor.health()) {
                Some(error) if lasted >= self.patience => return error,
                Some(_) => lasted += ASK_AGAIN,
                None => lasted = Duration::ZERO,
            }
        }
    }

    /// Reads the stream to its end.
    async fn feed(&self, shape: &Shape, path: &Path, mut events: Events) {
        let mut number = 0_u64;
        while let Some(line) = events.recv().await {
            number += 1;
            let event = match line {
                Ok(Line::Text(line)) if line.bytes().trim_ascii().is_empty() => continue,
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
            tracing::warn!("{}:{number}: {why}; skipped the line", path.display());
        }
        if bad == BAD_LINES_NAMED {
            tracing::warn!("further bad lines are only counted");
        }
    }

    async fn dispatch(&self, event: Arc<Event>) {
        Counts::add(&self.counts.events);
        if self.is_crowded() {
            let _ = self.executor.flush().await;
        }
        for listener in &self.listeners {
            if listener.topic.matches(&event.topic) {
                self.handle(listener, &event).await;
            }
        }
    }

    /// Returns whether the records of further events may be lost: memory has room for few more, or the spool is
    /// filling.
    fn is_crowded(&self) -> bool {
        let ledger = self.executor.ledger();
        if ledger.waiting < READ_NO_FURTHER_AT || ledger.durability.is_none() {
            return ledger.waiting >= READ_NO_FURTHER_AT;
        }
        let is_filling = |reason: &Degradation| matches!(reason, Degradation::SpoolFilling { .. });
        match self.executor.health() {
            Health::Degraded(reasons) => reasons.iter().any(is_filling),
            Health::Healthy | Health::Failed { .. } => false,
        }
    }

    /// Submits the event before the next one is read, so that it keeps its place in line.
    async fn handle(&self, listener: &Listening, event: &Arc<Event>) {
        let room = if listener.waits_for_room {
            Arc::clone(&self.room).acquire_owned().await.ok()
        } else {
            None
        };
        if let Some(submitted) = self.submit(listener, event).await {
            self.tasks.spawn(async move {
                submitted.await;
                drop(room);
            });
        }
    }

    /// `None` when the service stops, and then nothing is owed.
    async fn submit(&self, listener: &Listening, event: &Arc<Event>) -> Option<Submitted> {
        loop {
            match self
                .executor
                .submit(listener.handle.invoke(Arc::clone(event)))
            {
                Ok(submitted) => return Some(submitted),
                Err(Refused::Busy) => self.executor.room().await,
                Err(_) => return None,
            }
        }
    }

    async fn stop(&self, ended: &Ended, config: &Config) -> ShutdownReport {
        if *ended == Ended::Signal {
            tracing::warn!("stopping; a second signal ends at once");
        }
        self.executor.shutdown(config.run.shutdown_timeout.0).await
    }

    async fn conclude(
        &self,
        url: &str,
        ended: Ended,
        stop: &ShutdownReport,
        json: bool,
    ) -> Result<ExitCode, Failure> {
        if let Ended::Damaged(error) = ended {
            return Err(Failure::DamagedStore {
                url: url.to_owned(),
                error,
            });
        }
        let session = Window::of_session(self.executor.session_id());
        if wire::is_in_memory(url)? {
            say("executor: the history was in memory and is gone");
        } else {
            let summaries = wire::history(url)?.summaries(session).await?;
            report::print(&summaries, json).await?;
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (events, bad_lines) = (count(&self.counts.events), count(&self.counts.bad_lines));
        let ledger = &stop.ledger;
        say(&format!(
            "{events} events, {bad_lines} bad lines; records: {ledger}; database {}",
            plain(url)
        ));
        if !stop.session_closed {
            say("executor: the session could not be closed; it will be marked `crashed`");
        }
        if let Some(unread) = self.unread.get() {
            return Ok(describe(unread));
        }
        if events == 0 && bad_lines > 0 {
            return Ok(describe(&Failure::NoEvents { bad_lines }));
        }
        let given_up = match self.executor.health() {
            Health::Failed { service, fault } => {
                let fault = plain(&fault);
                say(&format!(
                    "executor: the service `{service}` was given up: {fault}"
                ));
                true
            }
            _ => false,
        };
        let lost = stop.ledger.total_dropped() > 0 || stop.still_running > 0;
        Ok(if lost || given_up {
            ExitCode::from(LOST)
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Returns the store's error if the store reports damage.
fn damage(health: &Health) -> Option<String> {
    let Health::Degraded(reasons) = health else {
        return None;
    };
    reasons.iter().find_map(|reason| match reason {
        Degradation::StoreUnavailable {
            fault: StoreFault::Damaged,
            error,
            ..
        } => Some(error.clone()),
        _ => None,
    })
}
