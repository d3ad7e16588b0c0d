//! `executor run`: registers the configured listeners and jobs, feeds events to the listeners, runs the jobs, and
//! stops gracefully.

mod feeding;

mod metrics;

mod notifying;

mod now;

mod reaping;

mod register;

mod service_manager;

mod signals;

use std::future::pending;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_executor::{CommandExecutor, Degradation, Health, ShutdownReport, StoreFault, Window};
use tokio::time::{sleep, timeout};

use crate::args::{DEFAULT_DB, RunArgs};
use crate::cmd::report;
use crate::cmd::run::feeding::{Feed, Feeding};
use crate::cmd::run::metrics::Metrics;
use crate::cmd::run::notifying::Notifier;
use crate::cmd::run::signals::Signals;
use crate::config::Config;
use crate::config::sources::Source;
use crate::exit::{CUT_OFF, Failure, LOST};
use crate::input::source::Input;
use crate::input::source::ending::Endings;
use crate::output::console::{describe, say};
use crate::output::plain::plain;
use crate::output::progress;
use crate::wire;

/// The interval between checks of the store's health.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Runs to the end and prints the table.
pub(crate) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let mut config = Config::read(&args.config).map_err(Failure::Config)?;
    let sources = sources(&mut config, args.events.as_deref())?;
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
    // Before the service begins to count.
    let metrics = match args.metrics {
        Some(address) => Some(Metrics::open(address).await?),
        None => None,
    };
    let running = tokio::select! {
        started = Running::start(&config, &url) => started?,
        () = signals.next() => return Ok(cut_off("stopped by a signal during startup")),
    };

    let mut endings = Endings::default();
    let feeds = match feeding::open(sources, &mut endings) {
        Ok(feeds) => feeds,
        Err(failure) => {
            running
                .stop(&Ended::Done, &config, &Arc::new(endings))
                .await;
            return Err(failure);
        }
    };
    let endings = Arc::new(endings);
    reaping::start();
    service_manager::ready(config.listeners.len(), config.jobs.len());
    let ended = tokio::select! {
        () = running.work(feeds, &args) => Ended::Done,
        () = running.notifier.keep_watching(&running.executor) => Ended::Done,
        () = notifying::keep_beating(&running.executor, config.notify.heartbeat.as_ref(), &running.notifier.redactor) => Ended::Done,
        () = Metrics::serve(metrics.as_ref()) => Ended::Done,
        () = service_manager::keep_telling(&running.executor, &running.feeding.counts) => Ended::Done,
        () = progress::keep_showing(&running.executor, &running.feeding.counts) => Ended::Done,
        damage = running.damaged() => Ended::Damaged(damage),
        () = signals.next() => Ended::Signal,
    };
    let stopped = tokio::select! {
        report = running.stop(&ended, &config, &endings) => Some(report),
        () = signals.next() => None,
    };
    match stopped {
        Some(shutdown) => tokio::select! {
            code = running.conclude(&url, ended, &shutdown, args.json) => code,
            () = signals.next() => Ok(cut_off("the summary was cut off by a signal")),
        },
        None => {
            endings.force();
            Ok(cut_off("ended at once by a second signal"))
        }
    }
}

fn cut_off(why: &str) -> ExitCode {
    say(&format!("executor: {why}"));
    ExitCode::from(CUT_OFF)
}

/// The sources of the configuration, and the file of `--events`.
fn sources(config: &mut Config, events: Option<&Path>) -> Result<Vec<Source>, Failure> {
    let mut sources = std::mem::take(&mut config.sources);
    if let Some(path) = events
        && matches!(Input::to_the_end(path), Input::Standard)
        && sources.iter().any(|it| matches!(it.input, Input::Standard))
    {
        let source = io::Error::other("a source of the configuration reads standard input, too");
        let path = path.to_owned();
        return Err(Failure::Events { path, source });
    }
    sources.extend(events.map(|path| Source {
        name: path.display().to_string(),
        input: Input::to_the_end(path),
        shape: config.events.clone(),
    }));
    Ok(sources)
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
    notifier: Arc<Notifier>,
    feeding: Arc<Feeding>,
    /// The time after which a damaged database ends the run.
    patience: Duration,
}

impl Running {
    async fn start(config: &Config, url: &str) -> Result<Self, Failure> {
        let settings = register::settings(config, url)?;
        let store = wire::store(url, settings.file_mode).await?;
        let patience = settings.startup_timeout;
        let builder = CommandExecutor::builder(store).config(settings);
        let builder = match config.redact.secrets() {
            Some(secrets) => builder.redact(secrets),
            None => builder,
        };
        let executor = builder.start().await?;
        let notifier = Notifier::of(&config.notify, config.redact.redactor());
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            listeners.push(register::listener(&executor, listener, &notifier).await?);
        }
        for (job, schedule) in config.jobs.iter().zip(&config.schedules) {
            register::job(&executor, job, schedule.clone(), &notifier).await?;
        }
        let room = config.run.max_concurrent.0.into();
        let feeding = Arc::new(Feeding::new(executor.clone(), listeners, room));
        Ok(Self {
            executor,
            notifier,
            feeding,
            patience,
        })
    }

    /// Feeds events, until the time is up or, without a time, the events end.
    async fn work(&self, mut feeds: Vec<Feed>, args: &RunArgs) {
        let all_end = !feeds.is_empty() && feeds.iter().all(|feed| feed.ends);
        let ends_with_events = all_end && args.duration.is_none();
        let feeding = async {
            self.feeding.feed(&mut feeds).await;
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
            self.feeding.finish().await;
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

    async fn stop(&self, ended: &Ended, config: &Config, endings: &Arc<Endings>) -> ShutdownReport {
        service_manager::stopping();
        if *ended == Ended::Signal {
            tracing::warn!("stopping; a second signal ends at once");
        }
        let endings = Arc::clone(endings);
        let ending = tokio::task::spawn_blocking(move || endings.end());
        let stopping = self.executor.shutdown(config.run.shutdown_timeout.0);
        tokio::join!(stopping, ending).0
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
        let (events, bad_lines) = (
            count(&self.feeding.counts.events),
            count(&self.feeding.counts.bad_lines),
        );
        let ledger = &stop.ledger;
        say(&format!(
            "{events} events, {bad_lines} bad lines; records: {ledger}; database {}",
            plain(url)
        ));
        if !stop.session_closed {
            say("executor: the session could not be closed; it will be marked `crashed`");
        }
        if let Some(unread) = self.feeding.unread.get() {
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
