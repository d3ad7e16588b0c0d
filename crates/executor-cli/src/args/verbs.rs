//! The arguments of every verb but `run` and `spool`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use command_executor::Entity;

use super::times::When;
use crate::config::duration::Span;

pub(crate) use super::selection::{FAILED, Look, Selection, What};

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

/// `executor ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor ls --failed --since 2h --app lights")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// The maximum number of executions.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 50, value_parser = at_least_one())]
    pub(crate) limit: u32,
    /// Oldest first.
    #[arg(long, short)]
    pub(crate) reverse: bool,
    /// Keep running and print executions as they end, until interrupted.
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
    /// Only executions that said this, and only those lines; case is ignored for ASCII letters.
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    /// The maximum number of executions, the latest ones.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = at_least_one())]
    pub(crate) limit: u32,
    /// Keep running and print what executions said as they end, until interrupted.
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
    /// The maximum number of groups.
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
    /// Delete executions that ended longer ago than this. Summaries of them are kept. Without it, --dry-run assumes 7d,
    /// the default of `run`.
    #[arg(long, value_name = "DURATION", required_unless_present = "dry_run")]
    pub(crate) older: Option<Span>,
    /// Only say how large the database is, and what would be deleted.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Delete only what the executions said, and keep the executions.
    #[arg(long)]
    pub(crate) lines: bool,
    /// Do not ask for confirmation.
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
    /// Include what they said (JSON only).
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

/// `executor serve`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: executor serve --token-file token, then open http://127.0.0.1:7979/"
)]
pub(crate) struct ServeArgs {
    /// The address to listen at. One of other machines needs --behind-proxy and --allow-host.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7979")]
    pub(crate) listen: SocketAddr,
    /// Listen at a Unix socket, which only this user may open, instead; it needs --allow-host.
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    pub(crate) socket: Option<PathBuf>,
    /// A file that holds the token, and that only this user may read. Default: EXECUTOR_TOKEN, else a new one is shown.
    #[arg(long, value_name = "FILE", conflicts_with = "no_token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Ask for no token: everybody on this machine may look.
    #[arg(long)]
    pub(crate) no_token: bool,
    /// A proxy in front of it takes care of TLS.
    #[arg(long, requires = "allow_host")]
    pub(crate) behind_proxy: bool,
    /// Answer when a browser asks for this name, too, such as `house.example`, or `house.example:8443` where the port is
    /// not the usual one.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
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

/// `executor copy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor copy --from telemetry.db --to postgres://db.lan/house")]
pub(crate) struct CopyArgs {
    /// The database with the history. It may be in use: the copy has what is there when it begins.
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// A database without a history; a file is made. After an interruption the same copy goes on from there.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `executor import-crontab`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: crontab -l | executor import-crontab - > executor.toml")]
pub(crate) struct ImportCrontabArgs {
    /// The crontab, or `-` for standard input.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
    /// It is one of the system, such as /etc/crontab: each line names a user.
    #[arg(long)]
    pub(crate) system: bool,
    /// The app of the jobs.
    #[arg(long, value_name = "APP", default_value = "cron", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) app: String,
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
    /// The maximum number of sessions, the latest ones.
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = at_least_one())]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// `executor sources`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: executor sources broker --since 2h")]
pub(crate) struct SourcesArgs {
    /// One source: with the topics that no listener matched, and the first bad lines. Default: all, a line each.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only sources of sessions that ended at or after this, and topics from then on: `2h` ago, `yesterday`, `03:00`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Only sources of sessions that began at or before this, and topics until then.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<When>,
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
    /// Only executions that ended at or after this: `7d` ago, `yesterday`, `03:00`. Default: all; a week for one
    /// listener or job; the compared span with --compare.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Only executions that ended at or before this.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<When>,
    /// Compare with the same span this much earlier, such as `7d`; what became slower comes first.
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
    /// A listener or job, and a time: a time without a date means the most recent one. Default: now.
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
