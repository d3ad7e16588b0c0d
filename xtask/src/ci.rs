//! Runs every check that must pass before a change lands.

use std::process::Command;

use crate::shell::{self, cargo, has_subcommand};
use crate::{test, tidy};

pub(crate) fn run() -> anyhow::Result<()> {
    where_installed("fmt", &mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = "clippy --workspace --all-targets --all-features -- -D warnings";
    let clippy: Vec<&str> = clippy.split(' ').collect();
    where_installed("clippy", &mut cargo(&clippy))?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
    shell::run(docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    tidy::run()?;
    let deny = ["deny", "check", "bans", "licenses", "sources"];
    where_installed("deny", &mut cargo(&deny))?;
    test::run()?;
    eprintln!("\nall checks passed");
    Ok(())
}

/// Runs a cargo command that a bare toolchain may lack, or reports that it was skipped.
fn where_installed(name: &str, command: &mut Command) -> anyhow::Result<()> {
    if has_subcommand(name) {
        return shell::run(command);
    }
    eprintln!("\n# skipped: cargo {name} is not installed");
    Ok(())
}
