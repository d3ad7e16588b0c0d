//! The arguments of every verb but `run` and `spool`, and the selection that many share.

use std::fmt;
use std::str::FromStr;

use command_executor::{Entity, EntityKind, Status};

use super::times::When;
use crate::config::duration::Span;

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

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
    /// Those of one process's session: its id or the beginning of it, or `latest`; `executor sessions` lists them.
    #[arg(long, value_name = "ID|latest", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) session: Option<String>,
    /// Those that ended so: success, error, timed_out, cancelled, panicked, skipped, interrupted.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<StatusWord>,
    /// Those that failed: error, panicked, timed_out or interrupted.
    #[arg(long, conflicts_with = "status")]
    pub(crate) failed: bool,
    /// Those that ended at or after this: `2h` ago, `yesterday`, `03:00`, `2026-11-28`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Those that ended until this, which counts.
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
            _ => Err(format!("`{word}` is no kind: write listener or job")),
        }
    }
}

/// A status by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusWord(Status);

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
        let wrong =
            || format!("`{text}` names no listener or job: write APP/NAME or APP#INSTANCE/NAME");
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

/// `executor ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor ls --failed --since 2h --app lights")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How many at most.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 50, value_parser = at_least_one())]
    pub(crate) limit: u32,
    /// The oldest first.
    #[arg(long, short)]
    pub(crate) reverse: bool,
    /// Go on, and print executions as they end, until it is interrupted.
    #[arg(long, short, conflicts_with_all = ["reverse", "until"])]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor show 6f2a91c04e")]
pub(crate) struct ShowArgs {
    /// An execution: its id or the beginning of it, `latest`, or `APP/NAME` for the last one of a listener or job.
    #[arg(value_name = "ID|latest|APP/NAME")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor logs --failed --since 1h")]
pub(crate) struct LogsArgs {
    /// An execution's id, `latest`, or `APP/NAME` for those of a listener or job. Default: all that are selected.
    #[arg(value_name = "ID|latest|APP/NAME")]
    pub(crate) what: Option<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// Only executions that said this, and only those lines; letters' case is ignored.
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    /// How many executions at most, the latest ones.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = at_least_one())]
    pub(crate) limit: u32,
    /// Go on, and print what executions said as they end, until it is interrupted.
    #[arg(long, short, conflicts_with = "until")]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor errors`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor errors --since 1d")]
pub(crate) struct ErrorsArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// How many groups at most.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = at_least_one())]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor check house.toml")]
pub(crate) struct CheckArgs {
    /// The configuration, a TOML file.
    pub(crate) config: std::path::PathBuf,
    /// Show times in UTC instead of the local time zone.
    #[arg(long)]
    pub(crate) utc: bool,
    /// Print JSON: one line for each listener and job.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `executor timers`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor timers --app house")]
pub(crate) struct TimersArgs {
    /// Those of this app.
    #[arg(long, value_name = "APP")]
    pub(crate) app: Option<String>,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor status --db house.db")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor timeline`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor timeline --since 03:00 --until 04:00")]
pub(crate) struct TimelineArgs {
    /// An execution, as for `show`: what ran at the same time. Default: the last hour, or the time of --since and
    /// --until.
    #[arg(value_name = "ID|latest|APP/NAME", conflicts_with_all = ["since", "until"])]
    pub(crate) what: Option<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor prune --older 30d --dry-run")]
pub(crate) struct PruneArgs {
    /// Delete executions that ended longer ago than this. Summaries of them are kept. Without it --dry-run goes by 7d,
    /// as `run` does unless it is told.
    #[arg(long, value_name = "DURATION", required_unless_present = "dry_run")]
    pub(crate) older: Option<Span>,
    /// Only say how large the database is, and what would be deleted.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor export --since 7d --format csv > week.csv")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// JSON, one line for each execution, or comma-separated values with a line of titles.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
    /// With what they said; JSON only.
    #[arg(long)]
    pub(crate) lines: bool,
    /// The database. Default: as for `ls`.
    #[arg(long, value_name = "URL")]
    pub(crate) db: Option<String>,
}

impl ExportArgs {
    pub(crate) fn look(&self) -> Look {
        Look {
            db: self.db.clone(),
            utc: true,
            json: true,
        }
    }
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Json,
    Csv,
}

/// `executor doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor doctor --fix")]
pub(crate) struct DoctorArgs {
    /// First do what can do no harm: migrate the database, and store what dead processes left in their spools.
    #[arg(long)]
    pub(crate) fix: bool,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor migrate --dry-run")]
pub(crate) struct MigrateArgs {
    /// Only say which migrations the database lacks.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor completions bash > /etc/bash_completion.d/executor")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// `executor sessions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor sessions -n 5")]
pub(crate) struct SessionsArgs {
    /// How many at most, the latest ones.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = at_least_one())]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor report --compare 7d")]
pub(crate) struct ReportArgs {
    /// One listener or job: period by period, with its slowest runs. Default: all of them, a line each.
    #[arg(value_name = "APP/NAME")]
    pub(crate) what: Option<What>,
    /// Those of this app.
    #[arg(long, value_name = "APP", conflicts_with = "what")]
    pub(crate) app: Option<String>,
    /// Of executions that ended at or after this: `7d` ago, `yesterday`, `03:00`. Default: all; for one, a week; to
    /// compare, as far back as that.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Of those that ended until this, which counts.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<When>,
    /// Beside the same time so much earlier, such as `7d`; what became slower comes first.
    #[arg(long, value_name = "DURATION")]
    pub(crate) compare: Option<Span>,
    #[command(flatten)]
    pub(crate) look: Look,
}

impl ReportArgs {
    pub(crate) fn is_about(&self, entity: &Entity) -> bool {
        self.what.as_ref().is_none_or(|what| what.is(entity))
            && self.app.as_ref().is_none_or(|app| *app == entity.app_key)
    }

    /// Whether it asks for less than everything.
    pub(crate) const fn is_narrowed(&self) -> bool {
        let has_time = self.since.is_some() || self.until.is_some();
        self.what.is_some() || self.app.is_some() || has_time
    }
}

/// `executor explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor explain house/backup@03:00")]
pub(crate) struct ExplainArgs {
    /// A listener or job, and a time: a time without a date is the latest past one. Default: now.
    #[arg(value_name = "APP/NAME[@TIME]")]
    pub(crate) what: WhatAndWhen,
    #[command(flatten)]
    pub(crate) look: Look,
}

#[derive(Clone, Debug)]
pub(crate) struct WhatAndWhen {
    pub(crate) what: What,
    pub(crate) when: When,
}

impl FromStr for WhatAndWhen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, when) = text.rsplit_once('@').unwrap_or((text, "now"));
        Ok(Self {
            what: what.parse()?,
            when: when.parse()?,
        })
    }
}

/// `executor audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor audit --since 7d")]
pub(crate) struct AuditArgs {
    /// From this time on; widened to whole hours. Default: the whole history.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Until this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<When>,
    /// The directory of this machine's spools. Default: the one beside the database.
    #[arg(long, value_name = "DIR")]
    pub(crate) spools: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) look: Look,
}
