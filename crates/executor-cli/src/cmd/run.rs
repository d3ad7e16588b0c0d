//! `executor run`: registers the configured listeners and jobs, feeds events to the listeners, runs the jobs, and
//! stops gracefully.

mod feeding;

mod metrics;

mod notifying;

mod now;

mod reaping;

mod register;

mod reloading;

mod service_manager;

pub(crate) mod signals;

use std::future::pending;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_executor::{
    CommandExecutor, Degradation, Health, HistoryError, HistoryErrorClass, ShutdownReport,
    StoreFault, Window,
};
use tokio::time::{sleep, timeout};

use crate::args::{DEFAULT_DB, RunArgs};
use crate::cmd::report;
use crate::cmd::run::feeding::{Feed, Feeding};
use crate::cmd::run::metrics::Metrics;
use crate::cmd::run::notifying::Notifier;
use crate::cmd::run::reloading::{Registered, Reloading, Site};
use crate::cmd::run::signals::Signals;
use crate::cmd::serve::{Beside, Serving};
use crate::config::Config;
use crate::config::sources::Source;
use crate::exit::{CUT_OFF, Failure, LOST};
use crate::input::source::Input;
use crate::input::source::ending::Endings;
use crate::output::console::{describe, say};
use crate::output::plain::plain;
use crate::output::shown::counted;
use crate::output::{log, progress};
use crate::wire;

/// The interval between checks of the store's health.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The time for the table at the end: a stop does not wait for a database that somebody has locked.
const SUMMARISE_WITHIN: Duration = Duration::from_secs(5);

/// Runs to the end and prints the table.
pub(crate) async fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    let mut config = Config::read(&args.config).map_err(Failure::Config)?;
    let sources = sources(&mut config, args.events.as_deref())?;
    log::log(args.verbose, args.log_format);
    let mut signals = Signals::listen().map_err(Failure::Signals)?;
    let reloads = signals::reloads().map_err(Failure::Signals)?;
    let url = url_of(&args, &config);
    if let Some(what) = &args.now {
        reaping::start();
        return now::now(&config, &url, what, args.json, signals).await;
    }
    // Before the service begins to count.
    let metrics = match args.metrics {
        Some(address) => Some(Metrics::open(address).await?),
        None => None,
    };
    let beside = match args.serve {
        Some(address) => Some(Beside::listen(address).await?),
        None => None,
    };
    let (running, registered) = tokio::select! {
        started = Running::start(&config, &url) => started?,
        () = signals.next() => return Ok(cut_off("stopped by a signal during startup")),
    };
    let mut endings = Endings::default();
    let opened = feeding::open(sources, &mut endings);
    let endings = Arc::new(endings);
    let feeds = match opened {
        Ok(feeds) => feeds,
        Err(failure) => {
            running.stop(&Ended::Done, &endings).await;
            return Err(failure);
        }
    };
    let serving = match running.show(beside, args.allow_actions) {
        Ok(serving) => serving,
        Err(failure) => {
            running.stop(&Ended::Done, &endings).await;
            return Err(failure);
        }
    };
    reaping::start();
    let reloading = Reloading::new(&args.config, reloads, &config, registered);
    service_manager::ready(config.listeners.len(), config.jobs.len());
    say(&begun(&args.config, &config, &url));
    let ended = tokio::select! {
        () = running.work(feeds, reloading, &args) => Ended::Done,
        () = Metrics::serve(metrics.as_ref()) => Ended::Done,
        () = shown(serving) => Ended::Done,
        damage = running.damaged() => Ended::Damaged(damage),
        () = signals.next() => Ended::Signal,
    };
    running.end(ended, &endings, &mut signals, args.json).await
}

/// Shows the dashboard, if that is wanted. What runs goes on without it.
async fn shown(serving: Option<Serving>) {
    if let Some(serving) = serving {
        describe(&serving.serve().await);
    }
    pending::<()>().await;
}

fn url_of(args: &RunArgs, config: &Config) -> String {
    let configured = || config.store.url.clone().map(|url| url.0);
    let url = args.db.clone().or_else(configured);
    url.unwrap_or_else(|| DEFAULT_DB.to_owned())
}

/// What a person sees first, and a log of the service manager.
fn begun(path: &Path, config: &Config, url: &str) -> String {
    let listeners = counted(config.listeners.len() as u64, "listener");
    let jobs = counted(config.jobs.len() as u64, "job");
    let (path, url) = (plain(&path.display().to_string()), plain(&wire::shown(url)));
    format!("running {path}: {listeners}, {jobs}; database {url}")
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
struct Running<'c> {
    config: &'c Config,
    url: &'c str,
    executor: CommandExecutor,
    notifier: Arc<Notifier>,
    feeding: Arc<Feeding>,
    /// The time after which a damaged database ends the run.
    patience: Duration,
}

impl<'c> Running<'c> {
    async fn start(config: &'c Config, url: &'c str) -> Result<(Self, Registered), Failure> {
        let settings = register::settings(config, url)?;
        let patience = settings.startup_timeout;
        let executor = register::service(config, settings, url).await?;
        let notifier = Notifier::of(&config.notify, config.redact.redactor());
        let room = config.run.max_concurrent.0.into();
        let feeding = Arc::new(Feeding::new(executor.clone(), room));
        let running = Self {
            config,
            url,
            executor,
            notifier,
            feeding,
            patience,
        };
        let mut registered = Registered::default();
        registered.follow(running.site(), config).await?;
        Ok((running, registered))
    }

    /// Shows the dashboard, if that is wanted; people may act on what runs here if that is allowed.
    fn show(&self, beside: Option<Beside>, is_acted_on: bool) -> Result<Option<Serving>, Failure> {
        let actions = is_acted_on.then(|| self.executor.clone());
        let serving = beside.map(|beside| beside.show(self.url, actions));
        serving.transpose()
    }

    fn site(&self) -> Site<'_> {
        Site {
            executor: &self.executor,
            notifier: &self.notifier,
            feeding: &self.feeding,
        }
    }

    /// Feeds events to the end, and meanwhile tells whoever wants to know how it goes.
    async fn work(&self, feeds: Vec<Feed>, reloading: Reloading, args: &RunArgs) {
        let (executor, counts) = (&self.executor, &self.feeding.counts);
        let heartbeat = self.config.notify.heartbeat.as_ref();
        tokio::select! {
            () = self.feed(feeds, args) => {}
            () = reloading.keep(self.site()) => {}
            () = self.notifier.keep_watching(executor) => {}
            () = notifying::keep_beating(executor, heartbeat, &self.notifier.redactor) => {}
            () = service_manager::keep_telling(executor, counts) => {}
            () = progress::keep_showing(executor, counts) => {}
        }
    }

    /// Feeds events, until the time is up or, without a time, the events end.
    async fn feed(&self, mut feeds: Vec<Feed>, args: &RunArgs) {
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

    /// Stops, and tells what became of everything. A signal cuts either short.
    async fn end(
        &self,
        ended: Ended,
        endings: &Arc<Endings>,
        signals: &mut Signals,
        json: bool,
    ) -> Result<ExitCode, Failure> {
        let stop = tokio::select! {
            stop = self.stop(&ended, endings) => stop,
            () = signals.next() => {
                endings.force();
                return Ok(cut_off("ended at once by a second signal"));
            }
        };
        tokio::select! {
            code = self.conclude(ended, &stop, json) => code,
            () = signals.next() => Ok(cut_off("the summary was cut off by a signal")),
        }
    }

    async fn stop(&self, ended: &Ended, endings: &Arc<Endings>) -> ShutdownReport {
        service_manager::stopping();
        if *ended == Ended::Signal {
            tracing::warn!("stopping; a second signal ends it at once");
        }
        let endings = Arc::clone(endings);
        let ending = tokio::task::spawn_blocking(move || endings.end());
        let shutdown_timeout = self.config.run.shutdown_timeout.0;
        let stopping = self.executor.shutdown(shutdown_timeout);
        tokio::join!(stopping, ending).0
    }

    async fn conclude(
        &self,
        ended: Ended,
        stop: &ShutdownReport,
        json: bool,
    ) -> Result<ExitCode, Failure> {
        if let Ended::Damaged(error) = ended {
            let url = wire::shown(self.url);
            let repair = match wire::is_on_a_server(self.url) {
                true => "restore it from a backup, or name another one".to_owned(),
                false => {
                    format!("move the database aside, or repair it with `sqlite3 {url} .recover`")
                }
            };
            return Err(Failure::DamagedStore { url, error, repair });
        }
        // The spool has what the database does not take.
        if let Err(failure) = self.print_summaries(json).await {
            describe(&failure);
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.feeding.counts;
        let (events, bad_lines) = (count(&counts.events), count(&counts.bad_lines));
        let (ledger, url) = (&stop.ledger, plain(&wire::shown(self.url)));
        say(&format!(
            "{events} events, {bad_lines} bad lines; records: {ledger}; database {url}"
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
        let given_up = self.given_up();
        given_up.iter().for_each(|told| say(told));
        let lost = stop.ledger.total_dropped() > 0 || stop.still_running > 0;
        Ok(match lost || given_up.is_some() {
            true => ExitCode::from(LOST),
            false => ExitCode::SUCCESS,
        })
    }

    async fn print_summaries(&self, json: bool) -> Result<(), Failure> {
        if wire::is_in_memory(self.url)? {
            say("executor: the history was in memory and is gone");
            return Ok(());
        }
        let session = Window::of_session(self.executor.session_id());
        let history = wire::history(self.url)?;
        let summaries = timeout(SUMMARISE_WITHIN, history.summaries(session)).await;
        let summaries = summaries.unwrap_or_else(|_| {
            let (class, operation) = (HistoryErrorClass::TimedOut, "summarising the run");
            Err(HistoryError::new(
                class,
                operation,
                "the database did not answer in time",
            ))
        })?;
        report::print(&summaries, json).await
    }

    /// Says which part of the service failed too often to be restarted, if one did.
    fn given_up(&self) -> Option<String> {
        let Health::Failed { service, fault } = self.executor.health() else {
            return None;
        };
        let fault = plain(&fault);
        Some(format!(
            "executor: the service `{service}` was given up: {fault}"
        ))
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
