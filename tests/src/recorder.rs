//! A process that can be killed: `recorder DATABASE` opens a session, executes one job, says
//! `recorded SESSION`, and goes on until its standard input ends.

use std::io::{self, Read, Write};
use std::time::Duration;

use command_executor::{CommandExecutor, SqliteStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: recorder DATABASE")?;
    let store = SqliteStore::open(&path).await?;
    let executor = CommandExecutor::builder(store).start().await?;
    let job = executor
        .job("tests", "once")
        .handler_fn(|| async {})
        .register()
        .await?;
    executor.execute(job.run_now()).await?;
    executor.flush().await?;
    println!("recorded {}", executor.session_id());
    io::stdout().flush()?;
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    executor.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
