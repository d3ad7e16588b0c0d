//! The torture rig: creations, spools and bursts by the thousand, and processes under load that are killed at random
//! points, again and again.

use std::time::{Duration, Instant};

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The time for which to kill processes; a round that has begun is finished.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// The seed to begin with: a failure names the seed that replays it.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave out the tests that run only once, whatever the time.
    #[arg(long)]
    only_kills: bool,
}

/// Kills in one round.
const KILLS: &str = "100";

/// A test that runs more cases when its environment variables ask for them.
struct Once {
    package: &'static str,
    test: &'static str,
    what: &'static str,
    told: &'static [(&'static str, &'static str)],
}

const ONCE: [Once; 5] = [
    Once {
        package: "integration-tests",
        test: "end_to_end",
        what: "creation::",
        told: &[("CALL_STEP", "1"), ("CREATIONS", "2000")],
    },
    Once {
        package: "executor-service",
        test: "contract",
        what: "spool_rest::e04_whatever",
        told: &[("DAMAGES", "2000")],
    },
    Once {
        package: "executor-service",
        test: "contract",
        what: "submitted::a17",
        told: &[("BURSTS", "1000")],
    },
    Once {
        package: "executor-cli",
        test: "cli",
        what: "streams::a21_every_burst",
        told: &[("BURSTS", "1000")],
    },
    Once {
        package: "executor-cli",
        test: "cli",
        what: "hostile::",
        told: &[("HOSTILE", "2000")],
    },
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.only_kills {
        for once in ONCE {
            let seed = args.seed.map(|seed| ("SEED", seed.to_string()));
            let told = once.told.iter();
            let told = told.map(|(name, value)| (*name, (*value).to_owned()));
            torture(once.package, once.test, once.what, told.chain(seed))?;
        }
    }
    let until = Instant::now() + Duration::from_secs(60 * args.minutes);
    let mut seed = args.seed;
    let mut rounds = 0;
    loop {
        let kills = ("KILLS", KILLS.to_owned());
        let told = seed.map(|seed| ("SEED", seed.to_string()));
        let told = std::iter::once(kills).chain(told);
        torture(
            "integration-tests",
            "end_to_end",
            "torture::e01_a_process",
            told,
        )?;
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
