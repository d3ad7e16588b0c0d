//! Clause H5: a network that swallows everything, without a word.
//!
//! CUT (seconds) makes it last longer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use command_executor::{CommandExecutor, Event, ListenerHandle};
use telemetry_store::PostgresStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::{options, recorder, server_with_socket};

/// A network between recorders and a server, as a socket in a directory of its own.
struct Network {
    directory: tempfile::TempDir,
    is_silent: Arc<AtomicBool>,
}

impl Network {
    fn to(server: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let is_silent = Arc::new(AtomicBool::new(false));
        let (silent, server) = (Arc::clone(&is_silent), server.join(".s.PGSQL.5432"));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server.clone(), Arc::clone(&silent)));
            }
        });
        Self {
            directory,
            is_silent,
        }
    }

    fn url(&self, database: &str) -> String {
        let host = self.directory.path().display().to_string();
        format!(
            "postgres://postgres@{}/{database}",
            host.replace('/', "%2F")
        )
    }
}

/// Passes everything on in both directions. While it is silent, what was sent is on its way and does not arrive.
async fn connection(client: UnixStream, server: PathBuf, is_silent: Arc<AtomicBool>) {
    passes(&is_silent).await;
    let Ok(server) = UnixStream::connect(server).await else {
        return;
    };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::join!(
        one_way(from_client, to_server, &is_silent),
        one_way(from_server, to_client, &is_silent),
    );
}

async fn passes(is_silent: &AtomicBool) {
    while is_silent.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn one_way(
    mut from: tokio::net::unix::OwnedReadHalf,
    mut to: tokio::net::unix::OwnedWriteHalf,
    is_silent: &AtomicBool,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        passes(is_silent).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Runs two hundred executions a second for a while, and returns how long the median and the slowest hundredth took.
async fn load(
    executor: &CommandExecutor,
    listener: &ListenerHandle,
    lasts: Duration,
) -> (Duration, Duration) {
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < lasts {
        let since = Instant::now();
        let executed = executor.execute(listener.invoke(Event::new("hall"))).await;
        executed.unwrap();
        took.push(since.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_a_network_that_swallows_everything_costs_no_record() {
    let Some(server) = server_with_socket() else {
        return;
    };
    let cut = std::env::var("CUT").ok().and_then(|text| text.parse().ok());
    let cut = Duration::from_secs(cut.unwrap_or(14));
    let database = server.database();
    let network = Network::to(server.socket_directory());
    let (options, home) = options();
    let store = PostgresStore::open_with(&network.url(&database), options)
        .await
        .unwrap();
    let (executor, listener) = recorder(store, home.path()).await;
    let before = load(&executor, &listener, Duration::from_secs(3)).await;
    network.is_silent.store(true, Ordering::Relaxed);
    let during = load(&executor, &listener, cut).await;
    network.is_silent.store(false, Ordering::Relaxed);
    let back = Instant::now();
    let after = load(&executor, &listener, Duration::from_secs(1)).await;
    let stored = tokio::time::timeout(Duration::from_secs(60), executor.flush()).await;
    stored.expect("within a minute").unwrap();
    println!(
        "median, 99 %: before {before:?}, during {during:?}, after {after:?}; stored {:?} after the cut",
        back.elapsed()
    );
    let sessions = "SELECT count(*) FROM executor.sessions WHERE status <> 'running'";
    assert_eq!(server.ask(sessions, &database).unwrap(), "0");
    let report = executor.shutdown(Duration::from_secs(30)).await;
    assert_eq!(
        report.ledger.stored, report.ledger.offered,
        "{}",
        report.ledger
    );
    let rows = "SELECT count(*) FROM executor.executions";
    let rows: u64 = server.ask(rows, &database).unwrap().parse().unwrap();
    assert_eq!(rows, report.ledger.offered);
}
