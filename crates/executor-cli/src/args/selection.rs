//! What verbs look at: where, which executions, which listener or job.

use std::fmt;
use std::str::FromStr;

use command_executor::{Entity, EntityKind, Status};

use super::times::When;
use crate::config::duration::Span;

/// Where to look, and how to show it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Look {
    /// The database. Default: EXECUTOR_DB, else the `[store] url` of EXECUTOR_CONFIG or `./executor.toml`, else
    /// `telemetry.db`.
    #[arg(long, value_name = "URL")]
    pub(crate) db: Option<String>,
    /// Show times in UTC instead of the local time zone.
    #[arg(long)]
    pub(crate) utc: bool,
    /// Print JSON: one line for each item, times in microseconds since 1970 (UTC).
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which executions.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Selection {
    /// Those of this app.
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// Those of listeners and jobs with this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Of an app with several instances, this one.
    #[arg(skip)]
    pub(crate) instance: Option<u32>,
    /// Those of listeners, or those of jobs.
    #[arg(long, value_name = "listener|job")]
    pub(crate) kind: Option<KindWord>,
    /// Those of one session: its id, the beginning of its id, or `latest`; `executor sessions` lists them.
    #[arg(long, value_name = "ID|latest", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) session: Option<String>,
    /// Those that ended with one of these statuses: success, error, timed_out, cancelled, panicked, skipped,
    /// interrupted.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<StatusWord>,
    /// Those that failed: error, panicked, timed_out or interrupted.
    #[arg(long, conflicts_with = "status")]
    pub(crate) failed: bool,
    /// Those that ended at or after this: `2h` ago, `yesterday`, `03:00`, `2026-11-28`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Those that ended at or before this.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<When>,
    /// Those whose error has this text.
    #[arg(long, value_name = "TEXT")]
    pub(crate) error: Option<String>,
    /// Those that took at least this long.
    #[arg(long, value_name = "DURATION")]
    pub(crate) min_duration: Option<Span>,
}

impl Selection {
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            app,
            name,
            instance,
            kind,
            session,
            status,
            failed,
            since,
            until,
            error,
            min_duration,
        } = self;
        let has_text = app.is_some() || name.is_some() || error.is_some();
        let has_time = since.is_some() || until.is_some() || min_duration.is_some();
        let has_owner = instance.is_some() || kind.is_some() || session.is_some();
        !(has_text || has_time || has_owner || *failed || !status.is_empty())
    }

    /// Whether it selects executions of a listener or job.
    pub(crate) fn is_about(&self, entity: &Entity) -> bool {
        self.app.as_ref().is_none_or(|app| *app == entity.app_key)
            && self.name.as_ref().is_none_or(|name| *name == entity.name)
            && self
                .instance
                .is_none_or(|instance| instance == entity.instance)
            && self.kind.is_none_or(|kind| kind.0 == entity.kind)
    }

    pub(crate) fn statuses(&self) -> Vec<Status> {
        if self.failed {
            return FAILED.to_vec();
        }
        self.status.iter().map(|word| word.0).collect()
    }
}

/// The outcomes that count as failures.
pub(crate) const FAILED: [Status; 4] = [
    Status::Error,
    Status::Panicked,
    Status::TimedOut,
    Status::Interrupted,
];

/// A kind by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KindWord(pub(crate) EntityKind);

impl FromStr for KindWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "listener" => Ok(Self(EntityKind::Listener)),
            "job" => Ok(Self(EntityKind::Job)),
            _ => Err(format!("`{word}` is not a kind: write listener or job")),
        }
    }
}

/// A status by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusWord(pub(crate) Status);

impl FromStr for StatusWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Status::ALL
            .into_iter()
            .find(|status| status.as_str() == word);
        found.map(Self).ok_or_else(|| {
            let names = Status::ALL.map(Status::as_str).join(", ");
            format!("`{word}` is not a status: write one of {names}")
        })
    }
}

/// A listener or a job: `APP/NAME`, or `APP#INSTANCE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) app: String,
    pub(crate) instance: Option<u32>,
    pub(crate) name: String,
}

impl What {
    pub(crate) fn is(&self, entity: &Entity) -> bool {
        entity.app_key == self.app
            && entity.name == self.name
            && self
                .instance
                .is_none_or(|instance| instance == entity.instance)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            None => write!(f, "{}/{}", self.app, self.name),
            Some(instance) => write!(f, "{}#{instance}/{}", self.app, self.name),
        }
    }
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` does not name a listener or job: write APP/NAME or APP#INSTANCE/NAME")
        };
        let (app, name) = text.split_once('/').ok_or_else(wrong)?;
        let (app, instance) = match app.rsplit_once('#') {
            Some((app, number)) => (app, Some(number.parse().map_err(|_| wrong())?)),
            None => (app, None),
        };
        if app.is_empty() || name.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            app: app.to_owned(),
            instance,
            name: name.to_owned(),
        })
    }
}
