//! Clause H5: a standby takes over.

use std::time::Duration;

use executor_core::ports::{History, PageRequest, RecordStore, Window};
use executor_testkit::{self as kit, TempPostgres};
use telemetry_store::{PostgresHistory, PostgresStore, ServerError};

use crate::options;
use crate::torture::Rig;

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
            while primary.ask(is_there, "postgres").unwrap() != "1" {
                std::thread::sleep(Duration::from_millis(20));
            }
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

    fn fail_over(&self) {
        self.primary.crash();
        self.standby.ask("SELECT pg_promote()", "postgres").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_a_failover_to_a_synchronous_standby_loses_nothing() {
    let Some(pair) = Pair::new(true) else { return };
    let mut rig = Rig::new(&pair.url(), 200);
    std::thread::sleep(Duration::from_secs(3));
    rig.kill(1);
    pair.fail_over();
    rig.start(1);
    std::thread::sleep(Duration::from_secs(4));
    rig.stop();
    rig.recover().await;
    let rows = rig.judge(&pair.standby, &pair.database).await;
    assert!(rows > 1_000, "{rows}");
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
    let progress = executor_core::ports::Progress::ignored();
    let evidence = history.evidence(Window::default(), progress).await.unwrap();
    assert_eq!(evidence.hours[0].rows, 1);
}
