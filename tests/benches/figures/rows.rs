//! How many rows a second the store takes, beside a prepared single-row loop through rusqlite on
//! the same table with the same pragmas.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use executor_core::ports::{Batch, RecordStore, RegistrationStore, Session, SessionStore};
use executor_core::{Entity, ExecutionRecord, Registration, RowId};
use executor_testkit::{TempDatabase, listener, record, session};
use rusqlite::{Connection, params};
use telemetry_store::SqliteStore;

use crate::{Pairs, TURNS};

const ROWS: usize = 100_000;
/// Listeners that take turns, as in a program with some handlers.
const LISTENERS: usize = 50;

/// Whether the rows are rolled up while they are written, or before and after.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollups {
    Included,
    Apart,
}

/// The store rolls up every ten thousand rows, of which [`ROWS`] is a multiple: fewer are only written.
const ROLLED_UP_EVERY: usize = 10_000;

/// What is measured: rows in a transaction, and whether they are rolled up meanwhile.
pub(crate) fn ways() -> impl Iterator<Item = (usize, (Rollups, &'static str))> {
    let rollups = [
        (Rollups::Apart, "alone"),
        (Rollups::Included, "rollups included"),
    ];
    let batches = [100, 1_000, 10_000].into_iter();
    batches.flat_map(move |batch| rollups.map(|rollups| (batch, rollups)))
}

pub(crate) fn measure(batch: usize, rollups: Rollups) -> Pairs {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut pairs = Pairs::default();
    for turn in 0..=TURNS / 3 {
        let (ours, bare) = (TempDatabase::new(), TempDatabase::new());
        let ours = runtime.block_on(through_the_store(&ours, batch, rollups));
        let bare = runtime.block_on(through_rusqlite(&bare, batch));
        if turn > 0 {
            pairs.ours.push(ROWS as f64 / ours.as_secs_f64());
            pairs.bare.push(ROWS as f64 / bare.as_secs_f64());
        }
    }
    pairs
}

/// How large the database is after a checkpoint, for each row.
pub(crate) fn bytes_per_row() -> f64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = TempDatabase::new();
    runtime.block_on(through_the_store(&database, 1_000, Rollups::Included));
    let outside = Connection::open(database.path()).unwrap();
    outside
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    std::fs::metadata(database.path()).unwrap().len() as f64 / ROWS as f64
}

async fn records(store: &SqliteStore) -> Vec<ExecutionRecord> {
    let mut listeners = Vec::new();
    for number in 0..LISTENERS {
        let listener = listener(&format!("listener {number}"));
        let id: RowId = store.register(listener.clone()).await.unwrap();
        listeners.push((listener, id));
    }
    let made = (0..ROWS).map(|number| {
        let (listener, id) = &listeners[number % LISTENERS];
        record(listener, Some(*id), number as u64)
    });
    made.collect()
}

async fn through_the_store(database: &TempDatabase, batch: usize, rollups: Rollups) -> Duration {
    let mut store = database.open().await.unwrap();
    let records = records(&store).await;
    let batches = batches_of(&session(), &records, batch);
    write(&mut store, database, batches, rollups).await
}

/// How long the store takes to write these batches, and to roll them up unless that is done apart.
async fn write(
    store: &mut SqliteStore,
    database: &TempDatabase,
    batches: Vec<Arc<Batch>>,
    rollups: Rollups,
) -> Duration {
    let at_once = match rollups {
        Rollups::Included => batches.len(),
        Rollups::Apart => ((ROLLED_UP_EVERY - 1) / batches[0].records.len()).max(1),
    };
    let mut took = Duration::ZERO;
    for batches in batches.chunks(at_once) {
        let begun = Instant::now();
        for batch in batches {
            store.persist(Arc::clone(batch)).await.unwrap();
        }
        if rollups == Rollups::Included {
            // The last ones are rolled up after the last answer.
            until_rolled_up(database).await;
        }
        took += begun.elapsed();
        if rollups == Rollups::Apart {
            roll_up(store, database).await;
        }
    }
    took
}

fn batches_of(
    session: &Arc<Session>,
    records: &[ExecutionRecord],
    batch: usize,
) -> Vec<Arc<Batch>> {
    let batches = records.chunks(batch).map(|records| {
        Arc::new(Batch {
            session: Arc::clone(session),
            records: records.to_vec(),
        })
    });
    batches.collect()
}

/// Has all rows rolled up that are not: opening a store does that.
async fn roll_up(store: &mut SqliteStore, database: &TempDatabase) {
    *store = database.open().await.unwrap();
    until_rolled_up(database).await;
}

async fn until_rolled_up(database: &TempDatabase) {
    let outside = Connection::open(database.path()).unwrap();
    let left =
        "SELECT count(*) FROM executions WHERE id > (SELECT rolled_up_to FROM rollup_progress)";
    while outside
        .query_row(left, [], |row| row.get::<_, i64>(0))
        .unwrap()
        > 0
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The same on a table that is long already, and the same one for both: rows that end from `next`
/// milliseconds on, in turns.
pub(crate) async fn onto(
    database: &TempDatabase,
    listener: &(Arc<Entity>, RowId),
    next: &mut u64,
    batch: usize,
    rollups: Rollups,
) -> Pairs {
    let mut pairs = Pairs::default();
    let mut store = database.open().await.unwrap();
    let mut connection = connection(&database.path());
    let session = session();
    let registration = Registration {
        entity: Arc::clone(&listener.0),
        ..executor_testkit::listener("")
    };
    let mut some = || -> Vec<ExecutionRecord> {
        let first = *next;
        *next += ROWS as u64;
        let made = (first..*next).map(|at| record(&registration, Some(listener.1), at));
        made.collect()
    };
    for _ in 0..TURNS / 3 {
        let batches = batches_of(&session, &some(), batch);
        let took = write(&mut store, database, batches, rollups).await;
        pairs.ours.push(ROWS as f64 / took.as_secs_f64());
        let records = some();
        let begun = Instant::now();
        for records in records.chunks(batch) {
            insert(&mut connection, records);
        }
        pairs.bare.push(ROWS as f64 / begun.elapsed().as_secs_f64());
        // What the other one wrote is not for the store's account.
        roll_up(&mut store, database).await;
    }
    pairs
}

async fn through_rusqlite(database: &TempDatabase, batch: usize) -> Duration {
    let store = database.open().await.unwrap();
    let records = records(&store).await;
    store.open_session(session()).await.unwrap();
    drop(store);
    let mut connection = connection(&database.path());
    let begun = Instant::now();
    for records in records.chunks(batch) {
        insert(&mut connection, records);
    }
    begun.elapsed()
}

pub(crate) fn connection(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    let pragmas = "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; \
                   PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 4000;";
    connection.execute_batch(pragmas).unwrap();
    connection
}

fn insert(connection: &mut Connection, records: &[ExecutionRecord]) {
    let transaction = connection.transaction().unwrap();
    {
        let mut statement = transaction
            .prepare_cached(
                "INSERT INTO executions (id, execution_id, kind, status, session_id, listener_id, \
                 job_id, start_us, duration_us, flags, blocked_us, retry_count, attempt_number, \
                 trigger_id, trigger_origin, trigger_mode, args_json) \
                 VALUES (?1, ?2, 0, ?3, 1, ?4, NULL, ?5, ?6, 0, NULL, 0, 1, ?7, ?8, NULL, NULL) \
                 ON CONFLICT (execution_id) DO NOTHING",
            )
            .unwrap();
        for record in records {
            let listener = record.subject.row.expect("made with rows");
            let row = params![
                record.ended_at().as_micros(),
                record.execution_id.as_uuid().as_bytes(),
                record.status.code(),
                listener.get(),
                record.started_at.as_micros(),
                record.duration.as_micros() as i64,
                record.trigger.id(),
                record.trigger.origin(),
            ];
            statement.execute(row).unwrap();
        }
    }
    transaction.commit().unwrap();
}
