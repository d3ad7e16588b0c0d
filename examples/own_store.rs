//! A custom store: appends records to a file as lines, batch by batch. Until then they are in the spool and survive a
//! crash.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_executor::ports::{Batch, Fate, RecordStore, RecordsOnly, StoreError, StoreFuture};
use command_executor::{CommandExecutor, ErrorClass, ExecutionRecord, StoreFault};

/// Appends a line for each record. `RecordsOnly` supplies the rest of a store.
///
/// A batch may be written again if this process dies before it is settled. Readers recognise duplicate lines by the
/// execution's id.
struct Lines {
    file: Arc<Mutex<File>>,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let file = Arc::new(Mutex::new(file));
        Ok(Self { file })
    }
}

/// Appends a batch with one write and one sync. If either fails, truncates the file to its previous length.
fn append(file: &Mutex<File>, lines: &str) -> io::Result<()> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let length = file.metadata()?.len();
    let written = file
        .write_all(lines.as_bytes())
        .and_then(|()| file.sync_data());
    written.or_else(|error| file.set_len(length).and(Err(error)))
}

fn line_of(record: &ExecutionRecord) -> String {
    let (id, entity, status) = (record.execution_id, &record.subject.entity, record.status);
    let failure = record.failure.as_ref();
    let why = failure.map_or("", |failure| &failure.message);
    format!("{id} {entity} {} {why}\n", status.as_str())
}

impl RecordStore for Lines {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        let file = Arc::clone(&self.file);
        Box::pin(async move {
            let fates = vec![Fate::Stored; batch.records.len()];
            let lines: String = batch.records.iter().map(line_of).collect();
            // Runs on a blocking thread, because the runtime's threads must not wait for a disk.
            let written = tokio::task::spawn_blocking(move || append(&file, &lines)).await;
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            // The service keeps a failed batch and tries again.
            written.map(|()| fates).map_err(|error| StoreError {
                class: ErrorClass::Transient,
                answered: true,
                fault: match error.kind() {
                    io::ErrorKind::StorageFull => StoreFault::NoSpace,
                    _ => StoreFault::Other,
                },
                operation: "writing lines",
                source: error.into(),
            })
        })
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let path = std::env::current_dir()?.join("lines.txt");
    // The name of the spool, derived from the path so that two files never share records.
    let name = path.to_string_lossy().replace('/', "_");
    let store = RecordsOnly::new(name, Lines::open(&path)?);
    let executor = CommandExecutor::builder(store).start().await?;
    println!("{:?}", executor.health());
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
    print!("{}", std::fs::read_to_string(path)?);
    Ok(())
}
