//! Clause H5: a standby takes over.

use std::time::Duration;

use command_executor::Event;
use command_executor::diagnosis::{self, Cause, Verdict};
use executor_core::ports::{History, PageRequest, Progress, RecordStore, Window};
use executor_testkit::{self as kit, TempPostgres};
use telemetry_store::{PostgresHistory, PostgresStore, ServerError};

use crate::torture::{Rig, Storm, rate};
use crate::{options, recorder};

/// A server, its standby, and an address that names both.
struct Pair {
    primary: TempPostgres,
    standby: TempPostgres,
    database: String,
}

impl Pair {
    /// `None` where no server is installed. The primary waits for the standby with each commit, if it is synchronous.
    fn new(is_synchronous: bool) -> Option<Self> {
        let primary = TempPostgres::start_with(&[])?;
        let database = primary.database();
        let standby = primary.standby();
        if is_synchronous {
            let waits = "ALTER SYSTEM SET synchronous_standby_names = '*'";
            primary.ask(waits, "postgres").unwrap();
            primary.ask("SELECT pg_reload_conf()", "postgres").unwrap();
            let is_there = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            primary.wait_for(is_there, "postgres", "1");
        }
        Some(Self {
            primary,
            standby,
            database,
        })
    }

    fn url(&self) -> String {
        let host = |server: &TempPostgres| {
            server
                .socket_directory()
                .display()
                .to_string()
                .replace('/', "%2F")
        };
        let hosts = format!("{},{}", host(&self.primary), host(&self.standby));
        format!("postgres://postgres@{hosts}/{}", self.database)
    }

    /// Waits until the standby has what the primary has.
    fn wait_for_replay(&self) {
        let at = self
            .primary
            .ask("SELECT pg_current_wal_lsn()", "postgres")
            .unwrap();
        let has_it = format!("SELECT pg_last_wal_replay_lsn() >= '{at}'");
        self.standby.wait_for(&has_it, "postgres", "t");
    }

    fn fail_over(&self) {
        self.primary.crash();
        self.standby.ask("SELECT pg_promote()", "postgres").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_a_failover_to_a_synchronous_standby_loses_nothing() {
    let Some(pair) = Pair::new(true) else { return };
    let mut rig = Rig::new(&pair.url(), rate());
    // In the middle of it.
    let storm = Storm::usual().once();
    let (_, kills) = storm.rage(&mut rig, |_| pair.fail_over());
    for told in rig.stop() {
        println!("{told}");
    }
    rig.recover().await;
    let rows = rig.judge(&pair.standby, &pair.database).await;
    println!("{rows} rows after a failover and {kills} kills");
    assert!(rows > 1_000, "{rows}");
}

/// What the standby did not have yet is told, exactly, and nothing else is missing.
#[tokio::test(flavor = "multi_thread")]
async fn h05_what_an_asynchronous_failover_takes_back_is_a_gap() {
    let Some(pair) = Pair::new(false) else { return };
    let (options, home) = options();
    let store = PostgresStore::open_with(&pair.url(), options)
        .await
        .unwrap();
    let (executor, listener) = recorder(store, home.path()).await;
    let runs = async |count: u64| {
        for _ in 0..count {
            let event = Event::new("hall");
            executor.execute(listener.invoke(event)).await.unwrap();
        }
        executor.flush().await.unwrap();
    };
    runs(50).await;
    pair.wait_for_replay();
    let parts = "ALTER SYSTEM SET primary_conninfo = ''";
    pair.standby.ask(parts, "postgres").unwrap();
    pair.standby
        .ask("SELECT pg_reload_conf()", "postgres")
        .unwrap();
    let is_parted = "SELECT count(*) FROM pg_stat_replication";
    pair.primary.wait_for(is_parted, "postgres", "0");
    runs(30).await;
    pair.fail_over();
    runs(10).await;
    let report = executor.shutdown(Duration::from_secs(30)).await;
    assert_eq!(report.ledger.stored, 90, "{}", report.ledger);
    let rows = "SELECT count(*) FROM executor.executions";
    assert_eq!(pair.standby.ask(rows, &pair.database).unwrap(), "60");
    let history = PostgresHistory::new(&pair.standby.url(&pair.database)).unwrap();
    let evidence = history
        .evidence(Window::default(), Progress::ignored())
        .await;
    let audit = diagnosis::audit(&evidence.unwrap(), &[], &Window::default());
    let holes: Vec<_> = audit.holes.iter().map(|it| (it.cause, it.count)).collect();
    assert_eq!(holes, [(Cause::RolledBack, 30)], "{audit:#?}");
    assert_eq!(audit.verdict, Verdict::Incomplete);
}

#[tokio::test(flavor = "multi_thread")]
async fn h01_a_standby_is_read_and_not_written_to() {
    let Some(pair) = Pair::new(true) else { return };
    let (options, _home) = options();
    let store = PostgresStore::open_with(&pair.url(), options.clone())
        .await
        .unwrap();
    let session = kit::session();
    let records = vec![kit::record(&kit::listener("hall"), None, 0)];
    let batch = executor_core::ports::Batch { session, records };
    store.persist(batch.into()).await.unwrap();
    let of_standby = pair.standby.url(&pair.database);
    let refused = PostgresStore::open_with(&of_standby, options)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            refused,
            ServerError::Standby { .. } | ServerError::Unreachable { .. }
        ),
        "{refused}"
    );
    // What is committed is replayed there a moment later.
    let history = PostgresHistory::new(&of_standby).unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(30), async {
        while history.count(Window::default()).await.ok() != Some(1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    seen.await.unwrap();
    assert_eq!(
        history
            .sessions(PageRequest::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let evidence = history
        .evidence(Window::default(), Progress::ignored())
        .await
        .unwrap();
    assert_eq!(evidence.hours[0].rows, 1);
}
