//! Runs every check that must pass before a change lands.

use std::process::Command;

use cargo_metadata::MetadataCommand;

use crate::shell::{self, cargo, has_subcommand, root};
use crate::{browser, test, tidy};

pub(crate) fn run() -> anyhow::Result<()> {
    where_installed("fmt", &mut cargo(&["fmt", "--all", "--check"]))?;
    let features = features()?;
    let clippy = format!("clippy --workspace --all-targets {features} -- -D warnings");
    let clippy: Vec<&str> = clippy.split_whitespace().collect();
    where_installed("clippy", &mut cargo(&clippy))?;
    let docs = format!("doc --workspace --no-deps {features}");
    let docs: Vec<&str> = docs.split_whitespace().collect();
    let mut docs = cargo(&docs);
    shell::run(docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    tidy::run()?;
    let deny = ["deny", "check", "bans", "licenses", "sources"];
    where_installed("deny", &mut cargo(&deny))?;
    oldest_compiler()?;
    test::run()?;
    browser::run_where_installed()?;
    eprintln!("\nall checks passed");
    Ok(())
}

/// What takes minutes to build and is the same code.
const BUNDLED: &str = "postgres-bundled";

/// Everything but what is bundled, if it can be built here.
fn features() -> anyhow::Result<String> {
    if !test::has_libpq() {
        eprintln!(
            "\n# skipped: everything behind features, because `pg_config` of libpq's headers is not installed"
        );
        return Ok(String::new());
    }
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?;
    let packages = metadata.packages.iter();
    let features = packages.flat_map(|package| {
        let own = package.features.keys().filter(|name| *name != BUNDLED);
        own.map(move |feature| format!("{}/{feature}", package.name))
    });
    Ok(format!(
        "--features {}",
        features.collect::<Vec<_>>().join(",")
    ))
}

/// Checks everything that is published with the oldest compiler that the manifests promise, if it is installed.
fn oldest_compiler() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?;
    let versions = metadata
        .packages
        .iter()
        .filter_map(|package| package.rust_version.as_ref());
    let Some(oldest) = versions.max() else {
        return Ok(());
    };
    let toolchain = format!("{}.{}", oldest.major, oldest.minor);
    let version = Command::new("rustup")
        .args(["run", &toolchain, "rustc", "--version"])
        .output();
    if !version.is_ok_and(|output| output.status.success()) {
        eprintln!("\n# skipped: the oldest supported compiler, {toolchain}, is not installed");
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check.args(["run", &toolchain, "cargo", "check", "--workspace"]);
    check.args(features()?.split_whitespace());
    // Another compiler's artifacts in the same place would be made anew each time.
    check
        .arg("--target-dir")
        .arg(root().join("target").join(&toolchain));
    shell::run(check.current_dir(root()))
}

/// Runs a cargo command that a bare toolchain may lack, or reports that it was skipped.
fn where_installed(name: &str, command: &mut Command) -> anyhow::Result<()> {
    if has_subcommand(name) {
        return shell::run(command);
    }
    eprintln!("\n# skipped: cargo {name} is not installed");
    Ok(())
}
