//! Every test there is. Examples and helper programs are built on the way; benchmarks are not
//! tests and are left to `bench`.

use crate::shell;

/// Built once more for these: with metrics a service wakes up every five seconds, which makes a test's virtual
/// year take minutes.
const OF_METRICS: [&str; 8] = [
    "test",
    "--package",
    "executor-service",
    "--features",
    "metrics",
    "--test",
    "contract",
    "metering",
];

pub(crate) fn run() -> anyhow::Result<()> {
    for args in [&["test", "--workspace"][..], &OF_METRICS] {
        let mut tests = shell::cargo(args);
        // Thousands of panics are made on purpose, and where each came from takes longer than all the rest.
        shell::run(tests.env("RUST_BACKTRACE", "0"))?;
    }
    eprintln!("\nall tests passed");
    Ok(())
}
