//! The program `executor`: runs handlers and jobs from a configuration and reads the history that
//! they leave. Here is only the way from the command line to an exit code.
#![forbid(unsafe_code)]

mod args;
mod exit;

mod config;

mod input;

mod output;

mod wire;

mod cmd;

use std::process::{self, ExitCode};
use std::time::Duration;
use std::{io, panic};

use clap::Parser;
use tokio::runtime::Runtime;

use crate::args::{Args, Command};
use crate::cmd::looking::look;
use crate::cmd::{
    audit, check, doctor, errors, explain, export, logs, ls, manual, migrate, prune, report, run,
    sessions, show, spool, status, timeline, timers,
};
use crate::exit::Failure;
use crate::output::console::{self, describe};

fn main() -> ExitCode {
    let args = Args::parse();
    // `start` calls this too, but the store may create a database before that.
    command_executor::survive_file_size_limit();
    let code = perform(args.command).unwrap_or_else(|failure| describe(&failure));
    console::settle();
    code
}

fn perform(command: Command) -> Result<ExitCode, Failure> {
    let runtime = runtime().map_err(Failure::Runtime)?;
    let ended = runtime.block_on(async {
        match command {
            Command::Run(run) => run::run(run).await,
            Command::Check(check) => check::check(check).await,
            Command::Ls(ls) => {
                look(&ls.look.clone(), async |looking| ls::ls(looking, ls).await).await
            }
            Command::Show(show) => {
                look(&show.look.clone(), async |looking| {
                    show::show(looking, show).await
                })
                .await
            }
            Command::Logs(logs) => {
                look(&logs.look.clone(), async |looking| {
                    logs::logs(looking, logs).await
                })
                .await
            }
            Command::Errors(errors) => {
                look(&errors.look.clone(), async |looking| {
                    errors::errors(looking, errors).await
                })
                .await
            }
            Command::Explain(explain) => {
                look(&explain.look.clone(), async |looking| {
                    explain::explain(looking, explain).await
                })
                .await
            }
            Command::Timers(timers) => {
                look(&timers.look.clone(), async |looking| {
                    timers::timers(looking, timers).await
                })
                .await
            }
            Command::Sessions(sessions) => {
                look(&sessions.look.clone(), async |looking| {
                    sessions::sessions(looking, sessions).await
                })
                .await
            }
            Command::Status(status) => {
                look(&status.look.clone(), async |looking| {
                    status::status(looking).await
                })
                .await
            }
            Command::Timeline(timeline) => {
                look(&timeline.look.clone(), async |looking| {
                    timeline::timeline(looking, timeline).await
                })
                .await
            }
            Command::Prune(prune) => prune::prune(prune).await,
            Command::Export(export) => {
                look(&export.look().clone(), async |looking| {
                    export::export(looking, export).await
                })
                .await
            }
            Command::Doctor(doctor) => doctor::doctor(doctor).await,
            Command::Migrate(migrate) => migrate::migrate(migrate).await,
            Command::Completions(completions) => manual::completions(&completions).await,
            Command::Man => manual::man().await,
            Command::Audit(audit) => {
                look(&audit.look.clone(), async |looking| {
                    audit::audit(looking, audit).await
                })
                .await
            }
            Command::Report(report) => {
                look(&report.look.clone(), async |looking| {
                    report::report(looking, report).await
                })
                .await
            }
            Command::Spool(spool) => spool::spool(spool).await,
        }
    });
    // The wait is bounded: a thread that reads standard input ends only with the process. It is long enough for
    // handlers that were cut off to end their children.
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended
}

/// Creates the runtime. tokio panics if the system has no descriptors or threads left, and may not return from that,
/// so a hook reports the failure and exits.
fn runtime() -> io::Result<Runtime> {
    let of_bugs = panic::take_hook();
    panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let why = payload.downcast_ref::<String>().map(String::as_str);
        let why = why.or_else(|| payload.downcast_ref::<&str>().copied());
        let why = why.unwrap_or("it panicked").to_owned();
        let failure = Failure::Runtime(io::Error::other(why));
        let _ = describe(&failure);
        console::settle();
        process::exit(1);
    }));
    let runtime = Runtime::new();
    panic::set_hook(of_bugs);
    runtime
}
