//! The configuration file. Every mistake in it is one line with file, line and column.

pub(crate) mod duration;

pub(crate) mod surroundings;

mod words;

mod jobs;

mod paths;

pub(crate) mod notify;

mod problems;

pub(crate) mod redact;

pub(crate) mod sources;

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use command_executor::redact::Redactor;
use command_executor::registration::Overlap;
use command_executor::{Retention, Schedule, TopicPattern};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::config::duration::{Span, Timeout};
use crate::config::notify::NotifyConfig;
use crate::config::problems::{Mistake, Read};
use crate::config::redact::RedactConfig;
use crate::config::sources::{Source, SourceConfig};
use crate::config::surroundings::{Directory, Environment, LineRule, OrphanRule};
pub(crate) use crate::config::words::{Run, Word};
use crate::input::events::Shape;
use crate::input::source::lines::INPUTS_MAX;
use crate::wire;

/// The whole configuration: what runs, and where its records go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) store: StoreConfig,
    #[serde(default)]
    pub(crate) run: RunConfig,
    /// The library's own settings.
    pub(crate) service: Option<Spanned<Settings>>,
    #[serde(default)]
    pub(crate) notify: NotifyConfig,
    #[serde(default)]
    pub(crate) redact: RedactConfig,
    #[serde(default)]
    pub(crate) events: Shape,
    #[serde(default, rename = "source")]
    source_configs: Vec<SourceConfig>,
    /// The sources, in the order of the file.
    #[serde(skip)]
    pub(crate) sources: Vec<Source>,
    #[serde(default, rename = "listener")]
    pub(crate) listeners: Vec<ListenerConfig>,
    #[serde(default, rename = "job")]
    pub(crate) jobs: Vec<JobConfig>,
    /// The schedule of each job, in the order of `jobs`.
    #[serde(skip)]
    pub(crate) schedules: Vec<Schedule>,
    /// All of it as it stands in the file.
    #[serde(skip)]
    pub(crate) tables: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreConfig {
    pub(crate) url: Option<Url>,
    /// The maximum age of executions; `none` keeps them for ever.
    pub(crate) max_age: Option<Timeout>,
    /// The maximum age of all else in the history; `none` keeps it for ever.
    pub(crate) history_max_age: Option<Timeout>,
    /// The maximum age of what executions said; `none` keeps it as long as these.
    pub(crate) lines_max_age: Option<Timeout>,
    /// The maximum size of the database, in MB.
    pub(crate) max_size_mb: Option<Limit>,
    /// The mode of new files.
    pub(crate) file_mode: Option<Mode>,
}

/// The mode of a file, as `chmod` takes it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct Mode(pub(crate) u32);

impl TryFrom<i64> for Mode {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u32::try_from(number) {
            Ok(mode) if mode & !0o666 == 0 && mode & 0o600 == 0o600 => Ok(Self(mode)),
            _ => Err(format!(
                "0o{number:o} must let the owner read and write, and nobody execute: write it like 0o640"
            )),
        }
    }
}

impl StoreConfig {
    /// Copies the limits that this table sets into `retention`.
    pub(crate) fn keep(&self, retention: &mut Retention) {
        if let Some(Timeout(max_age)) = self.max_age {
            retention.max_age = max_age;
        }
        if let Some(Timeout(max_age)) = self.history_max_age {
            retention.history_max_age = max_age;
        }
        if let Some(Timeout(max_age)) = self.lines_max_age {
            retention.lines_max_age = max_age;
        }
        if let Some(Limit(mb)) = self.max_size_mb {
            retention.max_bytes = Some(u64::from(mb) * 1_000_000);
        }
    }
}

/// The library's settings, as they are documented there.
pub(crate) type Settings = command_executor::Config;

/// The address of a database.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Url(pub(crate) String);

impl TryFrom<String> for Url {
    type Error = wire::CannotOpen;

    fn try_from(text: String) -> Result<Self, wire::CannotOpen> {
        wire::check(&text)?;
        Ok(Self(text))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunConfig {
    /// The maximum number of executions that run side by side; the next event waits for room.
    pub(crate) max_concurrent: Limit,
    /// The time for a stop: half of it lets executions end, the rest writes records.
    pub(crate) shutdown_timeout: Span,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            max_concurrent: Limit(16),
            shutdown_timeout: Span(std::time::Duration::from_secs(5)),
        }
    }
}

/// A number of executions side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct Limit(pub(crate) u16);

impl TryFrom<i64> for Limit {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u16::try_from(number) {
            Ok(number @ 1..=10_000) => Ok(Self(number)),
            _ => Err(format!("{number} is not between 1 and 10000")),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerConfig {
    pub(crate) app: Word,
    pub(crate) name: Spanned<Word>,
    #[serde(deserialize_with = "pattern")]
    pub(crate) topic: TopicPattern,
    pub(crate) run: Run,
    #[serde(default)]
    pub(crate) env: Environment,
    pub(crate) cwd: Option<Directory>,
    pub(crate) lines: Option<LineRule>,
    /// Runs after each failure.
    pub(crate) on_error: Option<Run>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) overlap: Option<OverlapRule>,
    pub(crate) overlap_limit: Option<Limit>,
    pub(crate) orphans: Option<OrphanRule>,
    pub(crate) description: Option<String>,
}

fn pattern<'de, D: Deserializer<'de>>(value: D) -> Result<TopicPattern, D::Error> {
    String::deserialize(value)?
        .parse()
        .map_err(D::Error::custom)
}

/// The rule for missed runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum MissedRule {
    Skip,
    RunOnce,
    RunAll,
}

impl TryFrom<String> for MissedRule {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "skip" => Ok(Self::Skip),
            "run_once" => Ok(Self::RunOnce),
            "run_all" => Ok(Self::RunAll),
            _ => Err(format!(
                "`{word}` is not a rule for missed runs: write skip, run_once or run_all"
            )),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobConfig {
    pub(crate) app: Word,
    pub(crate) name: Spanned<Word>,
    pub(crate) every: Option<Spanned<Span>>,
    pub(crate) cron: Option<Spanned<String>>,
    pub(crate) at: Option<Spanned<String>>,
    pub(crate) after: Option<Spanned<Span>>,
    pub(crate) time_zone: Option<Spanned<String>>,
    pub(crate) jitter: Option<Span>,
    pub(crate) missed: Option<MissedRule>,
    pub(crate) missed_limit: Option<Spanned<Limit>>,
    pub(crate) persistent: Option<Spanned<bool>>,
    pub(crate) run: Run,
    #[serde(default)]
    pub(crate) env: Environment,
    pub(crate) cwd: Option<Directory>,
    pub(crate) lines: Option<LineRule>,
    /// Runs after each failure.
    pub(crate) on_error: Option<Run>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) overlap: Option<OverlapRule>,
    pub(crate) overlap_limit: Option<Limit>,
    pub(crate) orphans: Option<OrphanRule>,
    pub(crate) description: Option<String>,
}

/// The rule for a run that would overlap an earlier one of the same listener or job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct OverlapRule(pub(crate) Overlap);

impl TryFrom<String> for OverlapRule {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let found = Overlap::ALL.into_iter().find(|rule| rule.as_str() == word);
        found.map(Self).ok_or_else(|| {
            format!("`{word}` is not an overlap rule: write single, restart, queued or parallel")
        })
    }
}

/// The mistakes in a configuration, in the order of their places; each is a line.
#[derive(Debug)]
pub(crate) struct ConfigError {
    path: PathBuf,
    /// Line and column, from 1, and what is wrong.
    mistakes: Vec<(Option<(usize, usize)>, String)>,
}

impl ConfigError {
    fn of_file(path: &Path, what: String) -> Self {
        Self {
            path: path.to_owned(),
            mistakes: vec![(None, what)],
        }
    }

    fn of_text(path: &Path, text: &str, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|(span, _)| span.start);
        let placed = mistakes.into_iter();
        let placed = placed.map(|(span, what)| (Some(place_of(text, span.start)), what));
        Self {
            path: path.to_owned(),
            mistakes: placed.collect(),
        }
    }

    /// One line for each mistake.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.mistakes.iter().map(|(place, what)| {
            let place = place.map(|(line, column)| format!(":{line}:{column}"));
            format!(
                "{}{}: {what}",
                self.path.display(),
                place.unwrap_or_default()
            )
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

/// The largest configuration that is read. Nobody writes a larger one by hand.
const MAX_BYTES: u64 = 4 << 20;

fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}

impl Config {
    /// Reads and checks a configuration.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = text_of(path).map_err(|error| {
            ConfigError::of_file(path, format!("cannot read the configuration: {error}"))
        })?;
        let mut config = Self::parse(path, &text)?;
        config.tables = text.parse().unwrap_or_default();
        config.resolve(path);
        // Once more, with the paths as they are now.
        let redactor = config.redact.redactor();
        let sources = config
            .source_configs
            .iter()
            .filter_map(|it| it.source(&redactor).ok());
        config.sources = sources.collect();
        Ok(config)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut read = Read::<Self>::from(text);
        let mut config = read.rest.take();
        let mut mistakes = std::mem::take(&mut read.mistakes);
        if let Some(config) = &mut config {
            mistakes.extend(config.mistakes());
            let is_whole = |it: &&SourceConfig| read.is_whole(text, &it.name.span());
            let sources = config.source_configs.iter().filter(is_whole);
            mistakes.extend(sources.filter_map(|source| source.source(&Redactor::NONE).err()));
            // Of a job that lacks a wrong key the schedule is not told: it may be that key.
            let is_whole = |job: &JobConfig| read.is_whole(text, &job.name.span());
            mistakes.extend(config.read_schedules(is_whole));
        }
        let Some(config) = config.filter(|_| mistakes.is_empty()) else {
            return Err(ConfigError::of_text(path, text, mistakes));
        };
        if config.listeners.is_empty() && config.jobs.is_empty() {
            let what = "nothing to run: add a [[listener]] or a [[job]]";
            return Err(ConfigError::of_file(path, what.into()));
        }
        Ok(config)
    }

    /// Returns what is wrong although each key by itself is right.
    fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::from_iter(self.senseless());
        mistakes.extend(self.duplicates());
        mistakes.extend(self.slashes());
        mistakes.extend(self.too_many_sources());
        mistakes
    }

    fn read_schedules(&mut self, is_whole: impl Fn(&JobConfig) -> bool) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for job in self.jobs.iter().filter(|job| is_whole(job)) {
            match job.schedule() {
                Ok(schedule) => self.schedules.push(schedule),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        mistakes
    }

    /// Returns all mistakes in the library's settings, as one.
    fn senseless(&self) -> Option<Mistake> {
        let settings = self.service.as_ref()?;
        let mut problems = match settings.get_ref().validate() {
            Ok(()) => Vec::new(),
            Err(error) => error.problems,
        };
        if settings.get_ref().topic_separator != '.' {
            let what = "topic_separator is for programs that publish: topics in this file are divided by `.`";
            problems.push(what.into());
        }
        (!problems.is_empty()).then(|| (settings.span(), problems.join("; ")))
    }

    /// `APP/NAME` would be ambiguous.
    fn slashes(&self) -> Vec<Mistake> {
        let listeners = self.listeners.iter().map(|it| (&it.app, &it.name));
        let jobs = self.jobs.iter().map(|it| (&it.app, &it.name));
        let slashed = listeners.chain(jobs).filter(|(app, _)| app.0.contains('/'));
        let told = slashed.map(|(app, name)| {
            let what = format!(
                "the app `{}` has a `/` in its name: APP/NAME would be ambiguous",
                app.0
            );
            (name.span(), what)
        });
        told.collect()
    }

    fn too_many_sources(&self) -> Option<Mistake> {
        let one_more = self.source_configs.get(INPUTS_MAX)?;
        let what = format!("there can be at most {INPUTS_MAX} sources");
        Some((one_more.name.span(), what))
    }

    /// Entries that would share their history with an earlier one.
    fn duplicates(&self) -> Vec<Mistake> {
        let (mut listeners, mut jobs) = (HashSet::new(), HashSet::new());
        let mut sources = HashSet::new();
        let sources = self.source_configs.iter().filter_map(|source| {
            let name = source.name.get_ref();
            let what = format!("a second source `{}`", name.0);
            (!sources.insert(name)).then(|| (source.name.span(), what))
        });
        let listeners = self.listeners.iter().filter_map(|listener| {
            let name = listener.name.get_ref();
            let is_new = listeners.insert((&listener.app, name, listener.topic.as_str()));
            let what = format!("a second listener `{}` of the same app and topic", name.0);
            (!is_new).then(|| (listener.name.span(), what))
        });
        let jobs = self.jobs.iter().filter_map(|job| {
            let name = job.name.get_ref();
            let is_new = jobs.insert((&job.app, name));
            let what = format!("a second job `{}` of the same app", name.0);
            (!is_new).then(|| (job.name.span(), what))
        });
        let mut paths = HashSet::new();
        let paths = self.source_configs.iter().filter_map(|source| {
            let path = source.path()?;
            let shown = path.get_ref().0.display();
            let what = format!("a second source that reads `{shown}`: each would get a part of it");
            (!paths.insert(&path.get_ref().0)).then(|| (path.span(), what))
        });
        let all = listeners.chain(jobs).chain(sources).chain(paths);
        all.collect()
    }
}

fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |part| part.chars().count())
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
