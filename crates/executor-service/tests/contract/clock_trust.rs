//! Clause D8, the clock: one that is not to be trusted makes nothing go by age.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use executor_core::ports::{Batch, RecordStore, Session, SessionStore};
use executor_core::time::Moment;
use executor_core::{Clock, ExecutionRecord, SessionId, Timestamp};
use executor_service::{CommandExecutor, Config, Retention};
use executor_testkit::{self as kit, MemoryStore};
use tokio::time::{Instant, sleep};

use crate::support::Logs;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR_US: i64 = 365 * 86_400 * 1_000_000;

/// The true time moves as tokio's does; the wall clock is off by what it was set.
#[derive(Clone)]
struct WrongClock {
    origin: Instant,
    off_us: Arc<AtomicI64>,
}

/// When the true time of these tests begins.
const TRUTH: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

impl WrongClock {
    fn off_by(off_us: i64) -> Self {
        let off_us = Arc::new(AtomicI64::new(off_us));
        let origin = Instant::now();
        Self { origin, off_us }
    }

    fn set(&self, off_us: i64) {
        self.off_us.store(off_us, Ordering::SeqCst);
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Moment {
        let monotonic = Instant::now();
        let truth = TRUTH.saturating_add(monotonic - self.origin).as_micros();
        Moment {
            wall: Timestamp::from_micros(truth + self.off_us.load(Ordering::SeqCst)),
            monotonic,
        }
    }

    fn since_boot(&self) -> Option<Duration> {
        Some(DAY * 3 + self.origin.elapsed())
    }
}

/// How far off clocks are: a day and eight days to either side, ten years, and where one begins without a battery.
fn wrong_by() -> [i64; 6] {
    let day = 86_400 * 1_000_000;
    [
        -day,
        day + 120_000_000,
        8 * day,
        -8 * day,
        10 * YEAR_US,
        -TRUTH.as_micros(),
    ]
}

/// A history of six days, the last sign of life in it a minute ago, and a week kept.
async fn history() -> (MemoryStore, Vec<ExecutionRecord>) {
    let store = MemoryStore::new();
    let started_at = TRUTH.saturating_sub(DAY * 6);
    let session = Session::new(SessionId::new(started_at), "attic", started_at);
    let session = Arc::new(session);
    store.open_session(Arc::clone(&session)).await.unwrap();
    let record = |hour: u32| {
        let mut record = kit::record(&kit::listener("hall"), None, 0);
        record.execution_id =
            kit::record(&kit::listener("hall"), None, u64::from(hour)).execution_id;
        record.started_at = started_at.saturating_add(HOUR * hour);
        record
    };
    let records: Vec<_> = (0..144).map(record).collect();
    let batch = Batch {
        session: Arc::clone(&session),
        records: records.clone(),
    };
    store.persist(Arc::new(batch)).await.unwrap();
    let last = TRUTH.saturating_sub(Duration::from_secs(60));
    store
        .heartbeat(session.id, last, Default::default())
        .await
        .unwrap();
    (store, records)
}

async fn start(store: &MemoryStore, clock: &WrongClock) -> CommandExecutor {
    let config = Config::default().with_retention(Retention {
        max_age: Some(DAY * 7),
        max_per_entity: Some(200),
        ..Retention::FOR_EVER
    });
    store.reopen();
    let builder = CommandExecutor::builder(store.clone()).config(config);
    builder.clock(clock.clone()).start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn d08_a_clock_that_is_wrong_at_the_start_makes_nothing_go_for_an_hour_of_run_time() {
    for off in wrong_by() {
        let (logs, _guard) = Logs::listen();
        let (store, records) = history().await;
        let clock = WrongClock::off_by(off);
        // In three lives, of which none lasts an hour.
        for minutes in [20, 20, 19] {
            let executor = start(&store, &clock).await;
            sleep(Duration::from_secs(60 * minutes)).await;
            assert_eq!(store.records(), records, "off by {off} us");
            executor.shutdown(Duration::from_secs(5)).await;
        }
        let doubts = logs.of("WARN");
        let doubts = doubts
            .iter()
            .filter(|line| line.fields["message"].contains("nothing is pruned by age"));
        assert_eq!(doubts.count(), 3, "off by {off} us");
        // Then it is taken at its word.
        let executor = start(&store, &clock).await;
        sleep(Duration::from_secs(60 * 3)).await;
        let is_believed_to_be_old = off > DAY.as_micros() as i64 * 7;
        assert_eq!(
            store.records().is_empty(),
            is_believed_to_be_old,
            "off by {off} us"
        );
        executor.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn d08_a_clock_that_is_set_while_the_program_runs_makes_nothing_go_for_an_hour() {
    for off in wrong_by() {
        let (logs, _guard) = Logs::listen();
        let (store, records) = history().await;
        let clock = WrongClock::off_by(0);
        let executor = start(&store, &clock).await;
        sleep(Duration::from_secs(60 * 90)).await;
        clock.set(off);
        sleep(Duration::from_secs(60 * 59)).await;
        let set = logs.of("WARN");
        let set = set.iter().find_map(|line| line.fields.get("by_seconds"));
        assert_eq!(set, Some(&(off / 1_000_000).to_string()));
        assert_eq!(store.records(), records, "off by {off} us");
        sleep(HOUR * 2).await;
        let is_believed_to_be_old = off > DAY.as_micros() as i64 * 7;
        assert_eq!(
            store.records().is_empty(),
            is_believed_to_be_old,
            "off by {off} us"
        );
        executor.shutdown(Duration::from_secs(5)).await;
    }
}
