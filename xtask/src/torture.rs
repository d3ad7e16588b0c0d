//! The torture rig: creations, spools and bursts by the thousand, and processes under load that are killed at random
//! points, again and again.

use std::time::{Duration, Instant};

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long processes are killed; a round that has begun is finished.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// Where to begin: a failure names the seed that replays it.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave out what is done once, whatever the time.
    #[arg(long)]
    only_kills: bool,
}

/// Kills in one round.
const KILLS: &str = "100";

/// Tests that take more when they are asked to: package, test binary, what of it, and what it is told.
const ONCE: [(&str, &str, &str, &[(&str, &str)]); 4] = [
    (
        "integration-tests",
        "house",
        "creation::",
        &[("CALL_STEP", "1"), ("CREATIONS", "2000")],
    ),
    (
        "executor-service",
        "contract",
        "spool_rest::e04_whatever",
        &[("DAMAGES", "2000")],
    ),
    (
        "executor-service",
        "contract",
        "submitted::a17",
        &[("BURSTS", "1000")],
    ),
    (
        "executor-cli",
        "cli",
        "streams::a21_every_burst",
        &[("BURSTS", "1000")],
    ),
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.only_kills {
        for (package, test, what, told) in ONCE {
            let mut seed = Vec::new();
            seed.extend(args.seed.map(|seed| ("SEED", seed.to_string())));
            let told = told
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()));
            torture(package, test, what, told.chain(seed))?;
        }
    }
    let until = Instant::now() + Duration::from_secs(60 * args.minutes);
    let mut seed = args.seed;
    let mut rounds = 0;
    loop {
        let kills = ("KILLS", KILLS.to_owned());
        let told = seed.map(|seed| ("SEED", seed.to_string()));
        let told = std::iter::once(kills).chain(told);
        torture("integration-tests", "house", "torture::e01_a_process", told)?;
        seed = seed.map(|seed| seed + 1);
        rounds += 1;
        if Instant::now() >= until {
            eprintln!("\n{rounds} rounds of {KILLS} kills, nothing lost");
            return Ok(());
        }
    }
}

fn torture(
    package: &str,
    test: &str,
    what: &str,
    told: impl Iterator<Item = (&'static str, String)>,
) -> anyhow::Result<()> {
    let test = [
        "test",
        "--release",
        "--package",
        package,
        "--test",
        test,
        "--",
        "--nocapture",
        what,
    ];
    shell::run(shell::cargo(&test).envs(told))
}
