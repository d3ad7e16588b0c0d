//! A process that writes until it is killed: `writer DATABASE` stores batches through the store and says
//! `committed N` after each, N rows in all; some of the rows are late ones.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;

use executor_core::Status;
use executor_core::ports::{Batch, RecordStore};
use executor_testkit::{listener, record, session};
use telemetry_store::SqliteStore;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: writer DATABASE")?;
    let store = SqliteStore::open(&path).await?;
    let session = session();
    let listeners = ["hall", "door", "attic"].map(listener);
    let mut committed = 0_u64;
    loop {
        let made = |number: u64| {
            let number = committed + number;
            // Every tenth comes from an hour that is over.
            let at_ms = if number.is_multiple_of(10) {
                number
            } else {
                number * 300
            };
            let mut record = record(&listeners[number as usize % 3], None, at_ms);
            if number.is_multiple_of(7) {
                record.status = Status::Cancelled;
            }
            record
        };
        let batch = Batch {
            session: Arc::clone(&session),
            records: (0..500).map(made).collect(),
        };
        store.persist(Arc::new(batch)).await?;
        committed += 500;
        writeln!(io::stdout(), "committed {committed}")?;
        io::stdout().flush()?;
    }
}
