//! A store of one's own: records become lines of a file, batch by batch, and survive a crash in the spool until then.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_executor::ports::{Batch, Fate, RecordStore, RecordsOnly, StoreError, StoreFuture};
use command_executor::{CommandExecutor, ErrorClass, ExecutionRecord, StoreFault};

/// Appends a line for each record. `RecordsOnly` supplies what else a store does.
struct Lines {
    file: Mutex<File>,
}

impl Lines {
    fn open(path: &str) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let file = Mutex::new(file);
        Ok(Self { file })
    }

    fn write(&self, records: &[ExecutionRecord]) -> io::Result<()> {
        let lines: String = records.iter().map(line_of).collect();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A batch is one write and one sync: as far as it is said to be stored, it is.
        file.write_all(lines.as_bytes())?;
        file.sync_data()
    }
}

fn line_of(record: &ExecutionRecord) -> String {
    let (entity, status) = (&record.subject.entity, record.status.as_str());
    let why = record
        .failure
        .as_ref()
        .map_or("", |failure| &failure.message);
    format!("{entity} {status} {why}\n")
}

impl RecordStore for Lines {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        Box::pin(async move {
            match self.write(&batch.records) {
                Ok(()) => Ok(vec![Fate::Stored; batch.records.len()]),
                // The service keeps the batch and asks again.
                Err(error) => Err(StoreError {
                    class: ErrorClass::Transient,
                    answered: true,
                    fault: match error.kind() {
                        io::ErrorKind::StorageFull => StoreFault::NoSpace,
                        _ => StoreFault::Other,
                    },
                    operation: "writing lines",
                    source: error.into(),
                }),
            }
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = RecordsOnly::new("lines.txt", Lines::open("lines.txt")?);
    let executor = CommandExecutor::builder(store).start().await?;
    let water = executor
        .job("garden", "water")
        .handler_fn(|| async { Err::<(), _>("the tank is empty") })
        .register()
        .await?;
    let sweep = executor.job("garden", "sweep").handler_fn(|| async {});
    let sweep = sweep.register().await?;
    for command in [water.run_now(), sweep.run_now(), sweep.run_now()] {
        executor.execute(command).await?;
    }
    let report = executor.shutdown(Duration::from_secs(5)).await;
    println!("{}", report.ledger);
    print!("{}", std::fs::read_to_string("lines.txt")?);
    Ok(())
}
