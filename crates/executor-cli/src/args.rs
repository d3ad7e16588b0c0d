//! The command line.

mod selection;
pub(crate) mod times;
pub(crate) mod verbs;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::duration::Span;
use crate::output::colors::ColorWhen;
use crate::output::log::LogFormat;

/// Where records go when neither the command line nor the configuration says.
pub(crate) const DEFAULT_DB: &str = "telemetry.db";

/// Runs handlers and jobs, and keeps a durable row of every execution.
#[derive(Debug, Parser)]
#[command(name = "executor", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// When there are colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorWhen,
    /// Write long results to the terminal without a pager (EXECUTOR_PAGER, PAGER, or less).
    #[arg(long, global = true)]
    pub(crate) no_pager: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  the program itself failed
    2  the command line is wrong
    3  the configuration is wrong, or a program in it cannot be executed
    4  the database cannot be used
    5  the events cannot be read to the end, or none of the lines is an event
    6  done, but records were lost or executions did not end; the last line says how many and why
    7  a spool cannot be read
    8  cannot tell: not everything could be looked at, or something is missing that may be the answer
    9  nothing in the history matches, or more than one execution does
    10  `doctor` found something
    11  the run of `run --now` did not succeed
  130  cut off by a second signal, or by a signal during startup";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the listeners and jobs of a configuration.
    Run(RunArgs),
    /// Say what a configuration would run, and when, without running anything.
    Check(verbs::CheckArgs),
    /// List executions, the latest first.
    Ls(verbs::LsArgs),
    /// Show everything about one execution.
    Show(verbs::ShowArgs),
    /// Show what executions said.
    Logs(verbs::LogsArgs),
    /// Group failures by type and shape of their message.
    Errors(verbs::ErrorsArgs),
    /// Say why something ran or did not run.
    Explain(verbs::ExplainArgs),
    /// Show each job's schedule: its next run, how the last one ended, what it missed.
    Timers(verbs::TimersArgs),
    /// List the processes that have written the history, the latest first.
    Sessions(verbs::SessionsArgs),
    /// Show what was read from sources of events, and what nobody listened to.
    Sources(verbs::SourcesArgs),
    /// Show what is running, what comes next, what crashed last, and what is missing.
    Status(verbs::StatusArgs),
    /// Draw what ran at the same time.
    Timeline(verbs::TimelineArgs),
    /// Say whether the history is complete, and if not, what is missing.
    Audit(verbs::AuditArgs),
    /// Summarise listeners and jobs: runs, outcomes, durations, last errors; one of them period by period.
    Report(verbs::ReportArgs),
    /// Delete old executions, or say what that would delete.
    Prune(verbs::PruneArgs),
    /// Write executions as JSON or CSV, the oldest first.
    Export(verbs::ExportArgs),
    /// Show the history in a browser.
    Serve(verbs::ServeArgs),
    /// Check the database, its processes, spools, clock and disk, and suggest a remedy for each finding.
    Doctor(verbs::DoctorArgs),
    /// Bring a database of an earlier version up to date; `run` does so by itself.
    Migrate(verbs::MigrateArgs),
    /// Copy a history, all of it, from one database into an empty one: from a file to a server, or back.
    Copy(verbs::CopyArgs),
    /// Turn a crontab into a configuration.
    ImportCrontab(verbs::ImportCrontabArgs),
    /// Print a script that completes this program's command lines in a shell.
    Completions(verbs::CompletionsArgs),
    /// Print this program's manual page.
    Man,
    /// Inspect spools: records that processes have left and a database has not taken yet.
    Spool(SpoolArgs),
}

/// Metrics have names of listeners and jobs, and nobody is asked for a password.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "write an address and a port, such as 127.0.0.1:9464".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(
            "only a loopback address, such as 127.0.0.1 or [::1]: put a proxy in front of it"
                .to_owned(),
        ),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The configuration, a TOML file.
    pub(crate) config: PathBuf,
    /// Events, one JSON object a line: a file, or `-` for standard input.
    ///
    /// Without --for the program ends when they do, unless the configuration has sources that do not end.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) events: Option<PathBuf>,
    /// How long to run, such as `90s` or `2h30m`. Default: until the events end; without events,
    /// until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION")]
    pub(crate) duration: Option<Span>,
    /// Run one job of the configuration once, now, and nothing else: exit code 0 if it succeeded, 11 if not.
    #[arg(long, value_name = "APP/NAME", conflicts_with_all = ["events", "duration"])]
    pub(crate) now: Option<verbs::What>,
    /// The database, instead of the configuration's `[store] url`.
    #[arg(long, value_name = "URL")]
    pub(crate) db: Option<String>,
    /// Show the history in a browser at this address of the machine itself, such as `127.0.0.1:7979`. The token is that of
    /// EXECUTOR_TOKEN, or a new one is shown.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback, conflicts_with = "now")]
    pub(crate) serve: Option<SocketAddr>,
    /// Let whoever has the token also run jobs, pause and resume listeners and jobs, and cancel what runs. Who asked for
    /// what is recorded.
    #[arg(long, requires = "serve")]
    pub(crate) allow_actions: bool,
    /// Answer Prometheus at this address of the machine itself, such as `127.0.0.1:9464`.
    #[arg(long, value_name = "ADDR", value_parser = loopback, conflicts_with = "now")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Print the summary as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Log every failure of a handler as it happens. RUST_LOG chooses more: `info`, or `telemetry_store=debug`.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// The form of log lines.
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SpoolArgs {
    #[command(subcommand)]
    pub(crate) command: SpoolCommand,
}

/// Takes the directory of one spool, or the one with all spools of a database: `DATABASE.spool`.
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Check every file, and print a line of JSON for each file and each spool. Changes nothing; the exit code is 6
    /// if something is damaged or missing.
    Fsck {
        /// A spool, or the directory of all.
        dir: PathBuf,
    },
    /// Print every frame as a line of JSON, settled ones included. Changes nothing.
    Dump {
        /// A spool, or the directory of all.
        dir: PathBuf,
    },
    /// Store what dead processes left, then remove their spools. Spools of living processes are left alone.
    Replay {
        /// A spool, or the directory of all.
        dir: PathBuf,
        /// The database, which must exist. Default: the one beside the directory, by its name: `house.db.spool`
        /// belongs to `house.db`.
        #[arg(long, value_name = "URL")]
        db: Option<String>,
    },
}

#[cfg(test)]
mod tests;
