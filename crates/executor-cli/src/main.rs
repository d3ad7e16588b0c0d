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
    audit, check, copy, doctor, errors, explain, export, import_crontab, logs, ls, manual, migrate,
    prune, report, run, serve, sessions, show, sources, spool, status, timeline, timers,
};
use crate::exit::Failure;
use crate::output::console::{self, describe};
use crate::output::{colors, pager};

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => console::refuse(&error),
    };
    colors::set(args.color);
    if !args.no_pager && !matches!(args.command, Command::Run(_)) {
        pager::want();
    }
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
            Command::Ls(args) => look(args.look.clone(), args, ls::ls).await,
            Command::Show(args) => look(args.look.clone(), args, show::show).await,
            Command::Logs(args) => look(args.look.clone(), args, logs::logs).await,
            Command::Errors(args) => look(args.look.clone(), args, errors::errors).await,
            Command::Explain(args) => look(args.look.clone(), args, explain::explain).await,
            Command::Timers(args) => look(args.look.clone(), args, timers::timers).await,
            Command::Sources(args) => look(args.look.clone(), args, sources::sources).await,
            Command::Sessions(args) => look(args.look.clone(), args, sessions::sessions).await,
            Command::Status(args) => {
                look(args.look, (), async |looking, ()| {
                    status::status(looking).await
                })
                .await
            }
            Command::Timeline(args) => look(args.look.clone(), args, timeline::timeline).await,
            Command::Prune(prune) => prune::prune(prune).await,
            Command::Export(args) => look(args.look(), args, export::export).await,
            Command::Doctor(doctor) => doctor::doctor(doctor).await,
            Command::Serve(serve) => serve::serve(serve).await,
            Command::Migrate(migrate) => migrate::migrate(migrate).await,
            Command::Copy(args) => copy::copy(args).await,
            Command::ImportCrontab(args) => import_crontab::import_crontab(args).await,
            Command::Completions(completions) => manual::completions(&completions).await,
            Command::Man => manual::man().await,
            Command::Audit(args) => look(args.look.clone(), args, audit::audit).await,
            Command::Report(args) => look(args.look.clone(), args, report::report).await,
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
