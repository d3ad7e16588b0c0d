//! The torture rig: processes under load are killed at random points, again and again.

use std::time::{Duration, Instant};

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to go on; a round that has begun is finished.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// Where to begin: a failure names the seed that replays it.
    #[arg(long)]
    seed: Option<u64>,
}

/// Kills in one round.
const KILLS: &str = "100";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(60 * args.minutes);
    let mut seed = args.seed;
    let mut rounds = 0;
    loop {
        let test = [
            "test",
            "--release",
            "--package",
            "integration-tests",
            "--test",
            "house",
            "--",
            "--nocapture",
            "torture::e01_a_process",
        ];
        let mut command = shell::cargo(&test);
        command.env("KILLS", KILLS);
        if let Some(seed) = &mut seed {
            command.env("SEED", seed.to_string());
            *seed += 1;
        }
        shell::run(&mut command)?;
        rounds += 1;
        if Instant::now() >= until {
            eprintln!("\n{rounds} rounds of {KILLS} kills, nothing lost");
            return Ok(());
        }
    }
}
