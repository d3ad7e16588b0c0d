//! Looks at the dashboard in a real browser: node, `playwright-core` and Chromium.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::shell::{self, cargo, root};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Does so if everything that it takes is installed, which it is under CI.
pub(crate) fn run_where_installed() -> anyhow::Result<()> {
    let Err(missing) = Tools::find() else {
        return run();
    };
    eprintln!("\n# skipped: the dashboard in a browser, because {missing}");
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
    npm: PathBuf,
}

impl Tools {
    fn find() -> anyhow::Result<Self> {
        Ok(Self {
            browser: found(&BROWSERS).context("no Chromium is installed: install `chromium`")?,
            node: found(&["node"]).context("node is not installed: install `nodejs`")?,
            npm: found(&["npm"]).context("npm is not installed: install `npm`")?,
        })
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let Tools { browser, node, npm } = Tools::find()?;
    let tests = root().join("tests/browser");
    shell::run(Command::new(npm).arg("ci").current_dir(&tests))?;
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
    node.arg(tests.join("run.mjs"))
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
