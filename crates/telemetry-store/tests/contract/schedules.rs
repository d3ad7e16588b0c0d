//! Clauses C4, C6 and D7 together: random schedules of faults against a model. Whatever happens in
//! whichever order, a row that the store said was stored is there exactly once, and every other one was
//! returned as not stored.
//!
//! `SCHEDULES=1000` plays so many, `SCHEDULE_SEED=7` one of them again.

use std::collections::HashSet;
use std::panic::panic_any;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Waker};

use executor_core::ports::{Fate, History, RecordStore, Session, Window};
use executor_core::{DropReason, ExecutionId, ExecutionRecord, RowId, StoreError, Trigger};
use executor_testkit as kit;
use rusqlite::Connection;
use telemetry_store::{SqliteHistory, SqliteStore};

use crate::faults::prune_all;
use crate::support::{Tmpfs, persist, template};

/// Side by side: most of the time a schedule waits for a lock.
const WORKERS: u64 = 8;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// What the hook does that sees rows before they are pruned, on the writer's thread.
const CALM: u8 = 0;
const PANICS: u8 = 1;
const KILLS: u8 = 2;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload's own panic");
    }
}

struct Play<'t> {
    dice: Dice,
    path: PathBuf,
    disk: Option<&'t Tmpfs>,
    store: SqliteStore,
    mood: Arc<AtomicU8>,
    deaths: u32,
    session: Arc<Session>,
    /// What the store said was stored.
    said: HashSet<ExecutionId>,
    /// What it did not, and is sent again.
    waiting: Vec<ExecutionRecord>,
    /// Those among them of which nobody knows: no answer came.
    unknown: HashSet<ExecutionId>,
    /// Some that were stored, to be sent once more.
    old: Vec<ExecutionRecord>,
}

async fn open(path: &Path, mood: &Arc<AtomicU8>) -> SqliteStore {
    let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
    let mood = Arc::clone(mood);
    let hook = move |_: &[_]| match mood.load(Ordering::Relaxed) {
        PANICS => panic!("the hook's panic"),
        KILLS => panic_any(Bomb),
        _ => {}
    };
    store.on_prune(hook).unwrap();
    store
}

/// Rows with this trigger break a rule of the table, whatever the types allow.
const BAD: &str = "bad";

impl<'t> Play<'t> {
    async fn new(seed: u64, directory: &Path, disk: Option<&'t Tmpfs>) -> Self {
        let path = directory.join(format!("{seed}.db"));
        std::fs::write(&path, template()).unwrap();
        let mood = Arc::new(AtomicU8::new(CALM));
        let store = open(&path, &mood).await;
        let play = Self {
            dice: Dice(seed),
            path,
            disk,
            store,
            mood,
            deaths: 0,
            session: kit::session(),
            said: HashSet::new(),
            waiting: Vec::new(),
            unknown: HashSet::new(),
            old: Vec::new(),
        };
        play.outside()
            .execute_batch(
                "CREATE TRIGGER bad AFTER INSERT ON executions WHEN NEW.trigger_id = 'bad' \
                 BEGIN UPDATE executions SET status = 99 WHERE id = NEW.id; END",
            )
            .unwrap();
        play
    }

    fn outside(&self) -> Connection {
        let outside = Connection::open(&self.path).unwrap();
        outside
            .busy_timeout(std::time::Duration::from_secs(10))
            .unwrap();
        outside
    }

    /// Everything that waits, something new, something old, something twice.
    fn batch(&mut self) -> Vec<ExecutionRecord> {
        for _ in 0..self.dice.roll(60) {
            let (at, id) = (self.dice.roll(100_000), self.dice.roll(4));
            let listener = kit::listener("hall");
            let id = (id == 0).then_some(RowId::new(999));
            let mut record = kit::record(&listener, id, at);
            if self.dice.roll(30) == 0 {
                record.trigger = Trigger::Event {
                    id: Some(BAD.into()),
                    origin: "outside".into(),
                };
            }
            self.waiting.push(record);
        }
        let mut batch = self.waiting.clone();
        for _ in 0..self.dice.roll(4) {
            let again = [self.old.last(), batch.first()];
            batch.extend(again.into_iter().flatten().cloned().collect::<Vec<_>>());
        }
        batch
    }

    async fn send(&mut self) -> Result<(), StoreError> {
        let batch = self.batch();
        let sent = persist(&self.store, &self.session, batch.clone()).await;
        self.hear(&batch, sent)
    }

    /// Compares an answer with the model, and believes it.
    fn hear(
        &mut self,
        batch: &[ExecutionRecord],
        sent: Result<Vec<Fate>, StoreError>,
    ) -> Result<(), StoreError> {
        let fates = match sent {
            Ok(fates) => fates,
            Err(error) => {
                if !error.answered {
                    self.unknown
                        .extend(batch.iter().map(|record| record.execution_id));
                }
                return Err(error);
            }
        };
        assert_eq!(fates.len(), batch.len(), "a fate for each");
        for (record, fate) in batch.iter().zip(fates) {
            let id = record.execution_id;
            let is_bad = record.trigger.id() == Some(BAD);
            match fate {
                Fate::SetAside { reason, detail } => {
                    assert!(is_bad, "{detail}");
                    assert_eq!(reason, DropReason::Constraint);
                }
                Fate::AlreadyThere => {
                    let may_be = self.said.contains(&id) || self.unknown.contains(&id);
                    assert!(may_be && !is_bad, "nobody stored it before");
                    self.said.insert(id);
                }
                Fate::Stored | Fate::Detached => {
                    assert!(!is_bad && self.said.insert(id), "stored twice");
                }
            }
        }
        self.waiting.clear();
        self.old = batch.iter().rev().take(3).cloned().collect();
        self.old.retain(|record| record.trigger.id() != Some(BAD));
        Ok(())
    }

    async fn step(&mut self) {
        match self.dice.roll(12) {
            0 => self.locked().await,
            1 | 2 => self.full().await,
            3 | 4 => self.given_up(),
            5 | 6 => self.panics(PANICS).await,
            7 if self.deaths < 3 => {
                self.deaths += 1;
                self.panics(KILLS).await;
            }
            8 => {
                if self.dice.roll(2) == 0 {
                    self.store.close().await.unwrap();
                    // The writer is gone with the last store that shares it, and its deaths with it.
                    self.deaths = 0;
                }
                self.store = open(&self.path, &self.mood).await;
            }
            9 => self.another_store().await,
            _ => {
                // Right after a death or a lost connection it may have to be asked again.
                let _ = self.send().await;
            }
        }
    }

    async fn locked(&mut self) {
        let outside = self.outside();
        outside.execute_batch("BEGIN IMMEDIATE").unwrap();
        let before = self.rows(&outside);
        assert!(self.send().await.is_err(), "it is locked");
        assert_eq!(self.rows(&outside), before, "and nothing was stored");
        outside.execute_batch("COMMIT").unwrap();
    }

    async fn full(&mut self) {
        let Some(disk) = self.disk else { return };
        disk.fill();
        let mut sent = self.send().await;
        for _ in 0..self.dice.roll(3) {
            sent = self.send().await;
        }
        disk.empty();
        if sent.is_err_and(|error| error.answered) {
            // What the store answered that it could not store is not there.
            let standing = self.ids();
            let known = |record: &&ExecutionRecord| {
                let id = record.execution_id;
                !self.unknown.contains(&id) && !self.said.contains(&id)
            };
            let mut refused = self.waiting.iter().filter(known);
            assert!(refused.all(|record| !standing.contains(&record.execution_id)));
        }
    }

    /// The request is on its way, and its caller goes: the reply is lost.
    fn given_up(&mut self) {
        let batch = self.batch();
        self.unknown
            .extend(batch.iter().map(|record| record.execution_id));
        let mut sent = pin!(persist(&self.store, &self.session, batch));
        let _ = std::future::Future::poll(sent.as_mut(), &mut Context::from_waker(Waker::noop()));
    }

    async fn panics(&mut self, how: u8) {
        let batch = self.batch();
        self.mood.store(how, Ordering::Relaxed);
        let (_, sent) = tokio::join!(
            prune_all(&self.store),
            persist(&self.store, &self.session, batch.clone())
        );
        self.mood.store(CALM, Ordering::Relaxed);
        let _ = self.hear(&batch, sent);
    }

    /// It shares the writer, so right after a death it may have to ask again too.
    async fn another_store(&mut self) {
        let other = SqliteStore::open(self.path.to_str().unwrap())
            .await
            .unwrap();
        let listener = kit::listener("other");
        let records: Vec<_> = (0..5).map(|at| kit::record(&listener, None, at)).collect();
        let session = kit::session();
        let mut tries = 0;
        while let Err(error) = persist(&other, &session, records.clone()).await {
            tries += 1;
            assert!(tries < 5, "{error:?}");
        }
        let ids = records.iter().map(|record| record.execution_id);
        self.said.extend(ids);
    }

    fn rows(&self, outside: &Connection) -> i64 {
        let count = "SELECT count(*) FROM executions";
        outside.query_row(count, [], |row| row.get(0)).unwrap()
    }

    fn ids(&self) -> Vec<ExecutionId> {
        let outside = self.outside();
        let mut ids = outside
            .prepare("SELECT execution_id FROM executions")
            .unwrap();
        let ids = ids.query_map([], |row| row.get::<_, [u8; 16]>(0)).unwrap();
        ids.map(|id| ExecutionId::from_uuid(uuid::Uuid::from_bytes(id.unwrap())))
            .collect()
    }

    /// The faults are over: what waits is stored, and the table is what the model says.
    async fn end(mut self) {
        let mut tries = 0;
        while let Err(error) = self.send().await {
            tries += 1;
            assert!(tries < 5, "{error:?}");
        }
        let standing = self.ids();
        let distinct: HashSet<_> = standing.iter().copied().collect();
        assert_eq!(standing.len(), distinct.len(), "a row stands there twice");
        assert_eq!(distinct, self.said, "what stands there is what was said");
        let reader = SqliteHistory::new(self.path.to_str().unwrap()).unwrap();
        let all = reader.overall(Window::default()).await.unwrap();
        assert_eq!(all.runs(), standing.len() as u64);
        let whole: String = self
            .outside()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(whole, "ok");
        self.store.close().await.unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
    }
}

async fn play(seed: u64, directory: &Path, disk: Option<&Tmpfs>) {
    let mut play = Play::new(seed, directory, disk).await;
    for _ in 0..3 + play.dice.roll(12) {
        play.step().await;
    }
    play.end().await;
}

/// Takes seeds until there are none left.
async fn work(next: Arc<AtomicU64>, end: u64) {
    let disk = Tmpfs::mount(12);
    let elsewhere = tempfile::tempdir().unwrap();
    let disk = Arc::new(disk);
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let (disk, path) = (Arc::clone(&disk), elsewhere.path().to_owned());
        let played = tokio::spawn(async move {
            let disk = disk.as_ref().as_ref();
            play(seed, disk.map_or(&path, |disk| disk.path()), disk).await;
        });
        if let Err(error) = played.await {
            eprintln!("the schedule failed: play it again with SCHEDULE_SEED={seed}");
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c06_whatever_fails_when_a_row_said_to_be_stored_is_there_exactly_once_and_no_other_is() {
    let (first, end) = match asked("SCHEDULE_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, asked("SCHEDULES").unwrap_or(200)),
    };
    println!("schedules {first}..{end}");
    let next = Arc::new(AtomicU64::new(first));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| tokio::spawn(work(Arc::clone(&next), end)))
        .collect();
    for worker in workers {
        if let Err(error) = worker.await {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}
