//! Every test there is. Examples and helper programs are built on the way; benchmarks are not
//! tests and are left to `bench`.

use crate::shell;

pub(crate) fn run() -> anyhow::Result<()> {
    // What a feature adds has tests of its own.
    let mut tests = shell::cargo(&["test", "--workspace", "--all-features"]);
    // Thousands of panics are made on purpose, and where each came from takes longer than all the rest.
    shell::run(tests.env("RUST_BACKTRACE", "0"))?;
    eprintln!("\nall tests passed");
    Ok(())
}
