//! Runs every test. Examples and helper programs are built on the way; benchmarks are not tests and
//! are left to `bench`.

use std::process::{Command, Stdio};

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

/// These tests need libpq and its headers, and start a server of their own.
const OF_POSTGRES: [&str; 7] = [
    "test",
    "--package",
    "integration-tests",
    "--features",
    "postgres",
    "--test",
    "postgres",
];

pub(crate) fn run() -> anyhow::Result<()> {
    for args in [&["test", "--workspace"][..], &OF_METRICS] {
        test(args)?;
    }
    if has_libpq() {
        test(&OF_POSTGRES)?;
        let unit = "test --package telemetry-store --features postgres --lib postgres";
        let program =
            "test --package executor-cli --features postgres --test cli -- on_a_server copies";
        for more in [unit, program] {
            test(&more.split(' ').collect::<Vec<_>>())?;
        }
    } else {
        eprintln!(
            "\n# skipped: PostgreSQL, because `pg_config` of libpq's headers is not installed"
        );
        anyhow::ensure!(
            std::env::var_os("CI").is_none(),
            "nothing may be skipped under CI"
        );
    }
    eprintln!("\nall tests passed");
    Ok(())
}

fn test(args: &[&str]) -> anyhow::Result<()> {
    let mut tests = shell::cargo(args);
    // The tests panic thousands of times on purpose, and the backtraces take longer than everything else.
    shell::run(tests.env("RUST_BACKTRACE", "0"))
}

/// Returns whether programs that need libpq can be built.
pub(crate) fn has_libpq() -> bool {
    let mut asked = Command::new("pg_config");
    let asked = asked.arg("--includedir").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}
