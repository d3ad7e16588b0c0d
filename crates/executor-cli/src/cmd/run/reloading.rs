//! On SIGUSR1 the configuration is read anew, and listeners and jobs become what it says now. Running executions go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use command_executor::{CommandExecutor, JobHandle, StoreError};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

use crate::cmd::run::feeding::Feeding;
use crate::cmd::run::notifying::Notifier;
use crate::cmd::run::register::{self, Listening};
use crate::config::{Config, ConfigError, JobConfig, ListenerConfig};
use crate::exit::{Failure, with_causes};
use crate::output::console::say;
use crate::output::plain::plain;

/// The tables that are followed.
const FOLLOWED: [&str; 2] = ["listener", "job"];

/// What listeners and jobs are registered on.
#[derive(Clone, Copy)]
pub(super) struct Site<'p> {
    pub(super) executor: &'p CommandExecutor,
    pub(super) notifier: &'p Arc<Notifier>,
    pub(super) feeding: &'p Feeding,
}

/// The listeners and jobs of a configuration, as they are registered.
#[derive(Default)]
pub(super) struct Registered {
    listeners: Vec<(ListenerConfig, Arc<Listening>)>,
    jobs: Vec<(JobConfig, JobHandle)>,
}

/// The numbers of listeners and jobs that are not as before.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: usize,
    changed: usize,
    removed: usize,
}

impl Registered {
    /// Registers what is new or has changed, then removes what that replaces and what is gone. Events go to the new
    /// listeners before the old ones are removed, so none is left without one.
    ///
    /// Returns the first failure; what could not be registered stays as it was.
    pub(super) async fn follow(&mut self, site: Site<'_>, config: &Config) -> Result<(), Failure> {
        self.apply(site, config).await.map(drop)
    }

    async fn apply(&mut self, site: Site<'_>, config: &Config) -> Result<Changes, Failure> {
        let Site {
            executor,
            notifier,
            feeding,
        } = site;
        let mut next = Next::default();
        let known = std::mem::take(&mut self.listeners);
        let listeners = next.update(known, &config.listeners, async |_, wanted| {
            let listening = register::listener(executor, wanted, notifier).await;
            listening.map(Arc::new)
        });
        let (listeners, replaced) = listeners.await;
        feeding.listen(listeners.iter().map(|(_, it)| Arc::clone(it)).collect());
        self.listeners = listeners;
        for listening in replaced {
            unmarked(listening.handle.cancel().await);
        }
        let known = std::mem::take(&mut self.jobs);
        let jobs = next.update(known, &config.jobs, async |index, wanted| {
            let schedule = config.schedules[index].clone();
            register::job(executor, wanted, schedule, notifier).await
        });
        let (jobs, replaced) = jobs.await;
        self.jobs = jobs;
        for job in replaced {
            unmarked(job.cancel().await);
        }
        next.failure.map_or(Ok(next.changes), Err)
    }
}

/// Nothing begins any more, whatever the store says.
fn unmarked(cancelled: Result<(), StoreError>) {
    if let Err(error) = cancelled {
        let why = with_causes(&error);
        tracing::warn!("the history does not show that something was removed: {why}");
    }
}

/// Returns which known one a wanted one is, or replaces. Several may have one name; one that stays as it is replaces
/// nothing else.
fn before<C: Configured, R>(known: &[(C, R)], wanted: &C, all: &[C]) -> Option<usize> {
    let same = known.iter().position(|(it, _)| it == wanted);
    let is_replaced = |it: &C| it.key() == wanted.key() && !all.contains(it);
    same.or_else(|| known.iter().position(|(it, _)| is_replaced(it)))
}

/// A listener or job of a configuration, with its key.
trait Configured: Clone + PartialEq {
    fn key(&self) -> (&str, &str);
}

impl Configured for ListenerConfig {
    fn key(&self) -> (&str, &str) {
        (&self.app.0, &self.name.get_ref().0)
    }
}

impl Configured for JobConfig {
    fn key(&self) -> (&str, &str) {
        (&self.app.0, &self.name.get_ref().0)
    }
}

#[derive(Default)]
struct Next {
    changes: Changes,
    failure: Option<Failure>,
}

impl Next {
    /// Returns what is registered now, and what is to be removed.
    async fn update<C: Configured, R>(
        &mut self,
        mut known: Vec<(C, R)>,
        all: &[C],
        register: impl AsyncFn(usize, &C) -> Result<R, Failure>,
    ) -> (Vec<(C, R)>, Vec<R>) {
        let (mut now, mut replaced) = (Vec::new(), Vec::new());
        for (index, wanted) in all.iter().enumerate() {
            let before = before(&known, wanted, all).map(|at| known.remove(at));
            if before.as_ref().is_some_and(|(before, _)| before == wanted) {
                now.extend(before);
                continue;
            }
            match (register(index, wanted).await, before) {
                (Ok(registered), before) => {
                    let count = match before {
                        Some(_) => &mut self.changes.changed,
                        None => &mut self.changes.added,
                    };
                    *count += 1;
                    replaced.extend(before.map(|(_, registered)| registered));
                    now.push((wanted.clone(), registered));
                }
                (Err(failure), before) => {
                    self.failure.get_or_insert(failure);
                    now.extend(before);
                }
            }
        }
        self.changes.removed += known.len();
        replaced.extend(known.into_iter().map(|(_, registered)| registered));
        (now, replaced)
    }
}

/// Follows the file of a configuration.
pub(super) struct Reloading {
    path: PathBuf,
    asked: Signal,
    tables: toml::Table,
    registered: Registered,
}

impl Reloading {
    pub(super) fn new(path: &Path, asked: Signal, config: &Config, registered: Registered) -> Self {
        Self {
            path: path.to_owned(),
            asked,
            tables: config.tables.clone(),
            registered,
        }
    }

    /// Reads it anew whenever that is asked for. Never completes.
    pub(super) async fn keep(mut self, site: Site<'_>) {
        loop {
            if self.asked.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            match self.read().await {
                Ok(config) => self.apply(site, config).await,
                Err(refused) => {
                    refused
                        .lines()
                        .for_each(|line| say(&format!("executor: {line}")));
                    say(
                        "executor: refused this configuration; listeners and jobs stay as they are",
                    );
                }
            }
        }
    }

    /// On a thread of its own, because reading can take long.
    async fn read(&self) -> Result<Config, ConfigError> {
        let path = self.path.clone();
        let read = spawn_blocking(move || Config::read(&path));
        read.await.expect("reading a configuration does not panic")
    }

    async fn apply(&mut self, site: Site<'_>, config: Config) {
        let shown = plain(&self.path.display().to_string());
        match self.registered.apply(site, &config).await {
            Ok(Changes {
                added,
                changed,
                removed,
            }) => say(&format!(
                "executor: read {shown} anew: {added} added, {changed} changed, {removed} removed"
            )),
            Err(failure) => say(&format!(
                "executor: read {shown} anew, but not all of it could be registered: {failure}"
            )),
        }
        if let Some(tables) = not_followed(&self.tables, &config.tables) {
            say(&format!(
                "executor: what changed in {tables} takes effect at the next start"
            ));
        }
    }
}

/// Returns the tables, besides listeners and jobs, that are not as they were at the start.
fn not_followed(before: &toml::Table, now: &toml::Table) -> Option<String> {
    let mut names: Vec<&str> = before
        .keys()
        .chain(now.keys())
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !FOLLOWED.contains(name) && before.get(*name) != now.get(*name));
    let shown = names.iter().map(|name| format!("`{}`", plain(name)));
    (!names.is_empty()).then(|| shown.collect::<Vec<_>>().join(", "))
}
