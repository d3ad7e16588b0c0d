//! Rows per second through the store on a PostgreSQL server, beside a raw COPY of the same rows into the same tables, on
//! the same server, in turns. `cargo bench -p integration-tests --features postgres --bench postgres`. The server
//! is started for it, and keeps what it acknowledges.
// A bench is no library.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use executor_core::ports::{Batch, RecordStore, RegistrationStore, Session, SessionStore};
use executor_core::registration::Registration;
use executor_core::{ExecutionId, ExecutionRecord, Failure, RowId, Status, Timestamp};
use executor_testkit::{self as kit, TempPostgres};
use telemetry_store::{PostgresOptions, PostgresStore};

/// The listeners that the rows belong to.
const ENTITIES: usize = 50;

/// How often each way has its turn.
const ROUNDS: usize = 7;

/// A recorder: a store, a session, and the time of its next row.
struct Recorder {
    store: PostgresStore,
    session: Arc<Session>,
    halls: Vec<(Registration, RowId)>,
    at: i64,
}

impl Recorder {
    async fn new(url: &str, state: &std::path::Path, number: i64) -> Self {
        let mut options = PostgresOptions::default();
        options.state_dir = Some(state.to_owned());
        let store = PostgresStore::open_with(url, options).await.unwrap();
        let session = kit::session();
        store.open_session(session.clone()).await.unwrap();
        let mut halls = Vec::new();
        for number in 0..ENTITIES {
            let registration = kit::listener(&format!("hall_{number}"));
            let row = store.register(registration.clone()).await.unwrap();
            halls.push((registration, row));
        }
        let now = session.started_at.as_micros();
        Self {
            store,
            session,
            halls,
            at: now + number * 7,
        }
    }

    /// The next rows: one a tenth of a millisecond, every fiftieth failed.
    fn records(&mut self, count: usize) -> Vec<ExecutionRecord> {
        (0..count)
            .map(|place| {
                self.at += 100;
                let (hall, row) = &self.halls[place % ENTITIES];
                let mut record = kit::record(hall, Some(*row), 0);
                record.started_at = Timestamp::from_micros(self.at);
                record.execution_id = ExecutionId::new(record.started_at);
                if place % 50 == 0 {
                    record.status = Status::Error;
                    record.failure = Some(Arc::new(Failure {
                        error_type: "E".into(),
                        message: "it broke".into(),
                        report: None,
                    }));
                }
                record
            })
            .collect()
    }

    async fn persist(&mut self, size: usize) {
        let records = self.records(size);
        let session = Arc::clone(&self.session);
        let batch = Arc::new(Batch { session, records });
        let fates = self.store.persist(batch).await.unwrap();
        assert_eq!(fates.len(), size);
    }
}

/// Rows per second of `batches` batches.
async fn stored(recorder: &mut Recorder, size: usize, batches: usize) -> f64 {
    let begun = Instant::now();
    for _ in 0..batches {
        recorder.persist(size).await;
    }
    (size * batches) as f64 / begun.elapsed().as_secs_f64()
}

/// Rows per second of the same rows through a raw binary COPY, one transaction for each batch. The files are there before
/// it begins, and what an idle client takes is taken off.
fn copied(
    server: &TempPostgres,
    database: &str,
    recorder: &mut Recorder,
    size: usize,
    batches: usize,
) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let script: String = (0..batches)
        .map(|place| {
            let path = directory.path().join(place.to_string());
            fs::write(&path, binary(&recorder.records(size))).unwrap();
            format!(
                "\\copy {COLUMNS} from '{}' with (format binary)\n",
                path.display()
            )
        })
        .collect();
    let took = |script: &str| {
        let begun = Instant::now();
        server.run(script, database).unwrap();
        begun.elapsed().as_secs_f64()
    };
    let idle = took("SELECT 1;\n");
    (size * batches) as f64 / (took(&script) - idle)
}

const COLUMNS: &str = "executor.executions (ended_us, start_us, duration_us, entity_id, session_id, flags, kind, status, \
    execution_id, trigger_origin, error_type, error_message)";

/// Rows in the format of a binary COPY.
fn binary(records: &[ExecutionRecord]) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let field = |bytes: &mut Vec<u8>, value: Option<&[u8]>| match value {
        Some(value) => {
            bytes.extend((value.len() as i32).to_be_bytes());
            bytes.extend(value);
        }
        None => bytes.extend((-1_i32).to_be_bytes()),
    };
    for record in records {
        let (start, ended) = (record.started_at.as_micros(), record.ended_at().as_micros());
        let row = record.subject.row.map_or(0, RowId::get);
        bytes.extend(12_i16.to_be_bytes());
        for number in [ended, start, ended - start, row, 1] {
            field(&mut bytes, Some(&number.to_be_bytes()));
        }
        field(&mut bytes, Some(&0_i32.to_be_bytes()));
        for number in [0, i16::from(record.status.code())] {
            field(&mut bytes, Some(&number.to_be_bytes()));
        }
        field(&mut bytes, Some(record.execution_id.as_uuid().as_bytes()));
        field(&mut bytes, Some(b"LOCAL"));
        let failure = record.failure.as_deref();
        field(&mut bytes, failure.map(|it| it.error_type.as_bytes()));
        field(&mut bytes, failure.map(|it| it.message.as_bytes()));
    }
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[tokio::main]
async fn main() {
    let Some(server) =
        TempPostgres::start_with(&["-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"])
    else {
        eprintln!("no programs of a PostgreSQL server are installed");
        return;
    };
    let database = server.database();
    let (url, state) = (server.url(&database), server.state_dir(&database));
    let mut recorder = Recorder::new(&url, &state, 0).await;
    // Days, entities and the session are there when it begins.
    stored(&mut recorder, 1_000, 20).await;
    println!(
        "{:>6}  {:>10}  {:>10}  ratio (median of {ROUNDS} pairs)",
        "batch", "COPY/s", "store/s"
    );
    for (size, batches) in [(1_000, 40), (200, 60), (64, 100), (1, 400)] {
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            let raw = copied(&server, &database, &mut recorder, size, batches);
            pairs.push((raw, stored(&mut recorder, size, batches).await));
        }
        let raw = median(pairs.iter().map(|(raw, _)| *raw).collect());
        let through = median(pairs.iter().map(|(_, through)| *through).collect());
        let ratio = median(pairs.iter().map(|(raw, through)| through / raw).collect());
        println!("{size:>6}  {raw:>10.0}  {through:>10.0}  {ratio:.2}");
    }
    several(&url, &state).await;
    let size = "SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits \
                WHERE inhparent = 'executor.executions'::regclass) / (SELECT count(*) FROM executor.executions)";
    println!("bytes a row: {}", server.ask(size, &database).unwrap());
}

/// One, two and four recorders at once, each on a thread of its own.
async fn several(url: &str, state: &std::path::Path) {
    for count in [1, 2, 4] {
        let mut recorders = Vec::new();
        for number in 0..count {
            recorders.push(Recorder::new(url, state, number).await);
        }
        for recorder in &mut recorders {
            stored(recorder, 1_000, 2).await;
        }
        let begun = Instant::now();
        let tasks: Vec<_> = recorders
            .into_iter()
            .map(|mut recorder| tokio::spawn(async move { stored(&mut recorder, 1_000, 40).await }))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rows = count as f64 * 40_000.0;
        println!(
            "{count} at once: {:.0} rows/s together",
            rows / begun.elapsed().as_secs_f64()
        );
    }
}
