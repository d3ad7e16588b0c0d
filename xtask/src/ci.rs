//! Everything that must hold before a change lands.

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
    eprintln!("\neverything holds");
    Ok(())
}

/// Runs what a bare toolchain may lack, or says aloud that it did not.
fn where_installed(name: &str, command: &mut Command) -> anyhow::Result<()> {
    if has_subcommand(name) {
        return shell::run(command);
    }
    eprintln!("\n# skipped: cargo {name} is not installed");
    Ok(())
}
