//! The program `executor`: runs handlers and jobs from a configuration and reads the history that
//! they leave. Here is only the way from the command line to an exit code.
#![forbid(unsafe_code)]

mod args;
mod exit;

mod config;
mod duration;
mod topic;

mod events;
mod lines;
mod scan;

mod jobs;
mod progress;
mod reaping;
mod register;
mod run;
mod signals;

mod plain;
mod report;

mod spool;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Args, Command};
use crate::exit::{Failure, describe};

fn main() -> ExitCode {
    let args = Args::parse();
    // A database is made before there is an executor.
    command_executor::survive_file_size_limit();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return describe(&Failure::Runtime(error)),
    };
    let ended = runtime.block_on(async {
        match args.command {
            Command::Run(run) => run::run(run).await,
            Command::Report(report) => report::report(report).await,
            Command::Spool(spool) => spool::spool(spool).await,
        }
    });
    // Not for ever: a thread that reads standard input ends only with the process. Long enough
    // for handlers that were cut off to take their children along.
    runtime.shutdown_timeout(Duration::from_millis(500));
    match ended {
        Ok(code) => code,
        Err(failure) => describe(&failure),
    }
}
