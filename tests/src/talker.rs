//! A process to be killed while its handlers and programs talk: `talker DATABASE SPOOL SAID PRINTED`.
//!
//! Twenty handlers say lines at random intervals, by `context::line` and through `tracing`, for as long as they like,
//! and four programs print. Everything that is said bears the name of who says it and a number. The oracle SAID
//! gets a line for each, with the time in microseconds, after it was said; programs write to PRINTED as well.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use command_executor::lines::LinePolicy;
use command_executor::process::CommandLine;
use command_executor::{
    CommandExecutor, Config, SpoolPlace, SqliteStore, context, current_execution_id,
};
use tracing_subscriber::prelude::*;

const HANDLERS: u64 = 20;
const PROGRAMS: u64 = 4;

/// What each program does: prints its name and a number, and then tells the oracle.
const PRINTS: &str =
    "i=0; while :; do i=$((i+1)); echo \"$0 $i\"; echo \"$0 $i\" >> \"$1\"; sleep 0.03; done";

/// A generator that needs no crate; the seed is the handler's number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// One write, so that a line is there whole or not at all.
fn tell(mut oracle: &File, id: &str, number: u64) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let _ = oracle.write_all(format!("{id} {number} {}\n", now.as_micros()).as_bytes());
}

async fn talk(oracle: &File, mut dice: Dice) -> Result<(), Box<dyn Error + Send + Sync>> {
    let id = current_execution_id().ok_or("no execution")?.to_string();
    let lines = 1 + dice.roll(400);
    for number in 0..lines {
        match dice.roll(3) {
            0 => tracing::info!("{id} {number}"),
            // Enough for the middle to be left out, now and then.
            1 if dice.roll(4) == 0 => context::line(format!("{id} {number} {}", "x".repeat(2_000))),
            _ => context::line(format!("{id} {number}")),
        }
        tell(oracle, &id, number);
        match dice.roll(10) {
            0 => tokio::time::sleep(Duration::from_millis(dice.roll(400))).await,
            1 => std::thread::sleep(Duration::from_millis(dice.roll(4))),
            _ => tokio::time::sleep(Duration::from_millis(dice.roll(12))).await,
        }
    }
    if dice.roll(2) == 0 {
        Ok(())
    } else {
        Err("it had enough".into())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [database, spool, said, printed] = args.as_slice() else {
        return Err("usage: talker DATABASE SPOOL SAID PRINTED".into());
    };
    tracing_subscriber::registry()
        .with(executor_tracing::CaptureLayer::new())
        .init();
    let oracle = Arc::new(OpenOptions::new().append(true).create(true).open(said)?);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let store = SqliteStore::open(database).await?;
        let config = Config::default().with_spool(SpoolPlace::At(PathBuf::from(spool)));
        let executor = CommandExecutor::builder(store)
            .config(config)
            .start()
            .await?;
        for number in 0..HANDLERS {
            let oracle = Arc::clone(&oracle);
            let seed = u64::from(std::process::id()) * 1_000 + number;
            let job = executor
                .job("talk", format!("handler-{number}"))
                .lines(LinePolicy::All);
            let job = job.handler_fn(move || {
                let oracle = Arc::clone(&oracle);
                async move { talk(&oracle, Dice(seed ^ rand_of_id())).await }
            });
            let (job, executor) = (job.register().await?, executor.clone());
            tokio::spawn(async move { while executor.execute(job.run_now()).await.is_ok() {} });
        }
        for number in 0..PROGRAMS {
            let name = format!("program-{number}");
            let line = CommandLine::new("sh").args(["-c", PRINTS, &name, printed]);
            let job = executor.job("talk", &name).handler(line).register().await?;
            let executor = executor.clone();
            tokio::spawn(async move { executor.execute(job.run_now()).await.map(drop) });
        }
        println!("ready");
        std::future::pending::<()>().await;
        Ok(())
    })
}

/// Something that is different for each execution.
fn rand_of_id() -> u64 {
    let id = current_execution_id().map(|id| id.as_uuid().as_u128());
    id.unwrap_or(0) as u64
}
