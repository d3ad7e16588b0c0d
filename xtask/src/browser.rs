//! Looks at the dashboard in a real browser: node, `playwright-core` and Chromium.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::shell::{self, cargo, root};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

pub(crate) fn run() -> anyhow::Result<()> {
    look(Tools::ready()?)
}

/// Does so if everything that it takes is there, which it is under CI.
pub(crate) fn run_where_installed() -> anyhow::Result<()> {
    let missing = match Tools::ready() {
        Ok(tools) => return look(tools),
        Err(missing) => missing,
    };
    eprintln!("\n# skipped: the dashboard in a browser, because {missing:#}");
    anyhow::ensure!(
        env::var_os("CI").is_none(),
        "nothing may be skipped under CI"
    );
    Ok(())
}

/// What it takes.
struct Tools {
    browser: PathBuf,
    node: PathBuf,
}

impl Tools {
    /// Finds it, and brings in what the tests use, from the registry or from what npm has kept of it.
    fn ready() -> anyhow::Result<Self> {
        let browser = found(&BROWSERS).context("no Chromium is installed: install `chromium`")?;
        let node = found(&["node"]).context("node is not installed: install `nodejs`")?;
        let npm = found(&["npm"]).context("npm is not installed: install `npm`")?;
        let mut install = Command::new(npm);
        install.args(["ci", "--prefer-offline"]);
        shell::run(install.current_dir(tests()))?;
        Ok(Self { browser, node })
    }
}

fn tests() -> PathBuf {
    root().join("tests/browser")
}

fn look(Tools { browser, node }: Tools) -> anyhow::Result<()> {
    shell::run(&mut cargo(&["build", "--package", "executor-cli"]))?;
    let target = root().join("target/browser");
    // Whatever an earlier run has left would be looked at, too.
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::create_dir_all(&target)?;
    let database = target.join("night.db");
    let database = database.to_str().context("the path is no text")?;
    let night = [
        "run",
        "--package",
        "integration-tests",
        "--bin",
        "night",
        "--",
    ];
    let night: Vec<&str> = night.into_iter().chain([database]).collect();
    shell::run(&mut cargo(&night))?;
    let mut node = Command::new(node);
    node.arg(tests().join("run.mjs"))
        .arg(root().join("target/debug/executor"))
        .arg(database)
        .arg(browser)
        .arg(target.join("pictures"));
    shell::run(&mut node)
}

/// The first of these programs that is installed.
fn found(names: &[&str]) -> Option<PathBuf> {
    let paths = env::var_os("PATH")?;
    let mut all = names
        .iter()
        .flat_map(|name| env::split_paths(&paths).map(move |path| path.join(name)));
    all.find(|path| path.is_file())
}
