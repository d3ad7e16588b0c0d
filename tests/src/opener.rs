//! A process that opens a database, creating and migrating it where needed: `opener DATABASE` says `open`
//! when it is, and ends.

use std::error::Error;

use executor_core::ports::{Housekeeping, RecordStore};
use telemetry_store::SqliteStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: opener DATABASE")?;
    let store = SqliteStore::open(&path).await?;
    store.health().await?;
    println!("open");
    store.close().await?;
    Ok(())
}
