//! The project's own chores: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod bench;
mod browser;
mod ci;
mod migrate;
mod package;
mod shell;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own chores")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Migrate a database, or make a new migration.
    Migrate(migrate::Args),
    /// Run everything that can fail: unit, integration and documentation tests, examples.
    Test,
    /// Check rules that no compiler checks: layers, file sizes, clauses and their tests.
    Tidy,
    /// Run every check that must pass before a change lands.
    Ci,
    /// Look at the dashboard in a real browser, and take pictures of every page.
    Browser,
    /// Build every publishable crate from its own archive.
    Package,
    /// Kill processes under load at random points and look for what is missing.
    Torture(torture::Args),
    /// Run the benchmarks, each figure beside its baseline in the same run.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().chore {
        Chore::Migrate(args) => migrate::run(args),
        Chore::Test => test::run(),
        Chore::Tidy => tidy::run(),
        Chore::Ci => ci::run(),
        Chore::Browser => browser::run(),
        Chore::Package => package::run(),
        Chore::Torture(args) => torture::run(&args),
        Chore::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
