//! The ledger under random schedules of offers, faults, restarts, stops and time steps, in memory and with
//! a spool. It balances at every step; at the end every record that was offered is a row exactly once or
//! was given up with a reason, and every loss has its row of `gaps`.
//!
//! `CASES=100000 SEED=7 cargo test -p executor-service --test model` runs as many as you like; a failure
//! names the seed that replays it.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use executor_core::ports::SessionStatus;
use executor_core::{DropReason, ErrorClass, ExecutionId, Ledger, SessionId};
use executor_service::{CommandExecutor, Config, ListenerHandle, Retention, SpoolPlace};
use executor_testkit::{Fault, MemoryStore, TestClock};
use fastrand::Rng;
use tokio::time::sleep;

/// Between two lives.
const DAY: Duration = Duration::from_secs(86_400);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn c08_no_schedule_of_faults_restarts_and_stops_unbalances_the_ledger() {
    let seed = setting("SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = setting("CASES").unwrap_or(1_500);
    println!("SEED={seed} CASES={cases}");
    say_nothing_of_injected_panics();
    let root = tempfile::tempdir_in(memory_dir()).unwrap();
    for case in 0..cases {
        let seed = seed.wrapping_add(case);
        let mut rng = Rng::with_seed(seed);
        // A spool costs files, so fewer of them.
        let spool = (rng.u8(..16) == 0).then(|| root.path().join(seed.to_string()));
        let context = format!("SEED={seed} CASES=1");
        History::new(spool.as_deref(), context).live(&mut rng);
        if let Some(spool) = spool {
            let _ = std::fs::remove_dir_all(spool);
        }
    }
}

fn say_nothing_of_injected_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<&str>();
        if !text.is_some_and(|text| text.starts_with("injected fault")) {
            others(panic);
        }
    }));
}

/// Files that live in memory, where there is such a place.
fn memory_dir() -> std::path::PathBuf {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// Some lives of a program on one store.
struct History<'p> {
    store: MemoryStore,
    spool: Option<&'p Path>,
    context: String,
    offered: HashSet<ExecutionId>,
    /// How each session's ledger stood when its life ended, if that ended in order.
    ended: Vec<(SessionId, Ledger)>,
    lives: u32,
}

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Shutdown(Duration),
    /// Suddenly: without a spool what waits is gone, and nobody is left to count it.
    Killed,
}

impl<'p> History<'p> {
    fn new(spool: Option<&'p Path>, context: String) -> Self {
        Self {
            store: MemoryStore::new(),
            spool,
            context,
            offered: HashSet::new(),
            ended: Vec::new(),
            lives: 0,
        }
    }

    fn live(&mut self, rng: &mut Rng) {
        for _ in 0..rng.u32(1..4) {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().start_paused(true).build().unwrap();
            runtime.block_on(self.life(rng));
        }
        // A last life in peace finishes what is left.
        self.store.come_back();
        self.store.forget_faults();
        if self.spool.is_some() {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let executor = self.start().await;
                executor.flush().await.unwrap();
                executor.shutdown(Duration::from_secs(60)).await;
            });
        }
        self.judge();
    }

    async fn start(&mut self) -> CommandExecutor {
        self.lives += 1;
        let config = Config::default()
            .with_queue_max(60)
            .with_batch_max(40)
            .with_retry_max_records(100)
            .with_spool(
                self.spool
                    .map_or(SpoolPlace::Memory, |root| SpoolPlace::At(root.to_owned())),
            )
            .with_wait_for_store(false)
            .with_retention(Retention::FOR_EVER);
        let store = self.store.clone();
        let builder =
            CommandExecutor::builder(store).clock(TestClock::new().later_by(DAY * self.lives));
        let Ok(executor) = builder.config(config).start().await else {
            panic!("{}: it did not start", self.context);
        };
        executor
    }

    async fn life(&mut self, rng: &mut Rng) {
        self.store.come_back();
        // Without a spool the start waits for the store.
        if self.spool.is_some() && rng.bool() {
            self.store.go_away();
        }
        let executor = self.start().await;
        let listener = executor.listener("lights", "noop").topic("#");
        let listener = listener.handler_fn(|| async {}).register().await.unwrap();
        for _ in 0..rng.u32(1..25) {
            self.step(rng, &executor, &listener).await;
            let ledger = executor.ledger();
            assert!(ledger.is_balanced(), "{}: {ledger}", self.context);
        }
        let end = match rng.u8(..4) {
            0 => End::Killed,
            _ => End::Shutdown(Duration::from_millis(rng.u64(1..8_000))),
        };
        self.end(executor, end).await;
    }

    async fn step(&mut self, rng: &mut Rng, executor: &CommandExecutor, listener: &ListenerHandle) {
        match rng.u8(..12) {
            0..=4 => {
                for _ in 0..rng.usize(1..80) {
                    let event = executor_core::Event::new("e");
                    let result = executor.execute(listener.invoke(event)).await.unwrap();
                    self.offered.insert(result.execution_id);
                }
            }
            5 | 6 => self.store.inject([fault(rng)]),
            7 => self.store.go_away(),
            8 => self.store.come_back(),
            9 if rng.bool() => {
                // A flush ends only when the store is there.
                self.store.come_back();
                executor.flush().await.unwrap();
            }
            _ => sleep(Duration::from_millis(rng.u64(1..4_000))).await,
        }
    }

    async fn end(&mut self, executor: CommandExecutor, end: End) {
        let session = executor.session_id();
        match end {
            End::Killed => {
                // Nothing of what it runs goes on, and nothing is counted any more.
                if self.spool.is_none() {
                    self.forget_what_waits(&executor).await;
                }
                drop(executor);
            }
            End::Shutdown(within) => {
                let report = executor.shutdown(within).await;
                let ledger = report.ledger;
                assert!(
                    ledger.is_balanced() && ledger.waiting == 0,
                    "{}: {ledger}",
                    self.context
                );
                if report.session_closed {
                    self.ended.push((session, ledger));
                }
            }
        }
    }

    /// Of a killed process without a spool nobody can say what it had: leave out what was not stored.
    async fn forget_what_waits(&mut self, executor: &CommandExecutor) {
        self.store.come_back();
        let report = executor.shutdown(Duration::from_secs(60)).await;
        if report.session_closed {
            self.ended.push((executor.session_id(), report.ledger));
        }
    }

    fn judge(&self) {
        let context = &self.context;
        let rows = self.store.records();
        let ids: HashSet<ExecutionId> = rows.iter().map(|row| row.execution_id).collect();
        assert_eq!(ids.len(), rows.len(), "{context}: a record has two rows");
        assert!(
            ids.is_subset(&self.offered),
            "{context}: a row that nobody offered"
        );
        let gaps = self.store.gaps();
        for (session, at_its_end) in &self.ended {
            let (status, ledger) = self.store.session(*session).unwrap();
            assert_eq!(status, SessionStatus::Success, "{context}");
            assert!(
                ledger.is_balanced() && ledger.spooled == 0,
                "{context}: {ledger}"
            );
            assert_eq!(ledger.offered, at_its_end.offered, "{context}");
            for reason in DropReason::ALL {
                let of_it = gaps
                    .iter()
                    .filter(|gap| gap.session == *session && gap.reason == reason.into());
                let told: u64 = of_it.map(|gap| gap.count).sum();
                let dropped = ledger.dropped(reason);
                // What was lost of an earlier session is told of there.
                let is_told = told == dropped || (ledger.recovered > 0 && told < dropped);
                assert!(is_told, "{context}: {told} {reason:?} of {ledger}");
            }
        }
        if self.spool.is_some() {
            // Nothing is given up but what the store itself cannot keep.
            let set_aside: u64 = gaps.iter().map(|gap| gap.count).sum();
            let missing = (self.offered.len() - ids.len()) as u64;
            assert!(
                missing <= set_aside,
                "{context}: {missing} missing, {set_aside} told of"
            );
        }
    }
}

fn fault(rng: &mut Rng) -> Fault {
    match rng.u8(..8) {
        0 => Fault::Busy,
        1 => Fault::Lost,
        2 => Fault::LostReply,
        3 => Fault::Slow(Duration::from_millis(rng.u64(1..3_000))),
        4 => Fault::Fails(ErrorClass::Unstorable),
        5 => Fault::Fails(ErrorClass::Constraint),
        6 => Fault::SetsAside(rng.usize(..20)),
        _ => Fault::Panics,
    }
}
