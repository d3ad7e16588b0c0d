//! A process that opens a database, creating and migrating it where needed: `opener DATABASE` says `open`
//! when it is, and ends. `opener DATABASE service` starts a whole service on it, with a spool, and stops it.

use std::error::Error;
use std::time::Duration;

use command_executor::CommandExecutor;
use executor_core::ports::{Housekeeping, RecordStore};
use telemetry_store::SqliteStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: opener DATABASE [service]")?;
    let store = SqliteStore::open(&path).await?;
    if arguments.next().is_some() {
        let executor = CommandExecutor::builder(store).start().await?;
        executor.shutdown(Duration::from_secs(2)).await;
        return Ok(());
    }
    store.health().await?;
    println!("open");
    store.close().await?;
    Ok(())
}
