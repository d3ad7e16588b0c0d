//! The benchmarks.

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The figures to measure: executions, store, leaks, size, prune, registrations, history, million, offer, outage,
    /// idle, flood, starving, takeover, tabs. Default: all of them.
    figures: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let bench = [
        "bench",
        "--package",
        "integration-tests",
        "--bench",
        "figures",
        "--",
    ];
    shell::run(shell::cargo(&bench).args(&args.figures))
}
