//! Runs every test. Examples and helper programs are built on the way; benchmarks are not tests and
//! are left to `bench`.

use crate::shell;

/// These tests need a build of their own: with metrics a service wakes up every five seconds, which makes a
/// test's virtual year take minutes.
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
        // The tests panic thousands of times on purpose, and the backtraces take longer than everything else.
        shell::run(tests.env("RUST_BACKTRACE", "0"))?;
    }
    eprintln!("\nall tests passed");
    Ok(())
}
