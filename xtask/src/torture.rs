//! The torture rig: creations, spools and bursts by the thousand, and processes under load that are killed at random
//! points, again and again.

use std::time::{Duration, Instant};

use crate::shell;
use crate::test::has_libpq;

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

/// Four recorders for five minutes, of which one is killed every half minute, while what they depend on crashes.
const STORM: &[(&str, &str)] = &[
    ("SECONDS", "300"),
    ("CRASH_EVERY", "20"),
    ("KILL_EVERY", "30"),
    ("RATE", "1000"),
];

/// The same on a PostgreSQL server, behind a pooler, and with a failover; a network that is silent for five minutes; a
/// hundred migrations that are killed.
const ON_A_SERVER: [(&str, &[(&str, &str)]); 5] = [
    ("torture::", STORM),
    ("pooler::h05", STORM),
    ("failover::h05_a_failover", STORM),
    ("silent_network::", &[("CUT", "300")]),
    ("opening::d05_killed", &[("KILLS", "100")]),
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.only_kills {
        for once in ONCE {
            let seed = args.seed.map(|seed| ("SEED", seed.to_string()));
            let told = once.told.iter();
            let told = told.map(|(name, value)| (*name, (*value).to_owned()));
            torture(once.package, once.test, once.what, told.chain(seed))?;
        }
        on_a_server()?;
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

fn on_a_server() -> anyhow::Result<()> {
    if !has_libpq() {
        eprintln!("# skipped: PostgreSQL, because `pg_config` of libpq's headers is not installed");
        return Ok(());
    }
    let test = "test --release --package integration-tests --features postgres --test postgres -- --nocapture";
    for (what, told) in ON_A_SERVER {
        let words: Vec<&str> = test.split(' ').chain([what]).collect();
        shell::run(shell::cargo(&words).envs(told.iter().copied()))?;
    }
    Ok(())
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
