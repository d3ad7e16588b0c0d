//! The benchmarks.

use crate::shell;

pub(crate) fn run() -> anyhow::Result<()> {
    let bench = [
        "bench",
        "--package",
        "integration-tests",
        "--bench",
        "figures",
    ];
    shell::run(&mut shell::cargo(&bench))
}
