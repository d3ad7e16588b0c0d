//! Clauses H1 and H4 behind PgBouncer in transaction mode, which gives each transaction to any of its connections.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use executor_testkit::{TempPostgres, conformance};
use telemetry_store::{PostgresHistory, PostgresOptions, PostgresStore};

use crate::torture::{Rig, Storm, rate};
use crate::{server_with_socket, skipped};

/// Runs the pooler until standard input ends, as it does with the process of the tests.
const UNTIL_THE_END: &str =
    "trap '' HUP INT TERM; \"$@\" & pooler=$!; read -r _; kill -TERM $pooler; wait $pooler";

/// PgBouncer with two connections to a server, on a socket in a directory of its own.
struct Pooler {
    directory: tempfile::TempDir,
    input: Option<ChildStdin>,
    process: Child,
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut programs = directories.map(|directory| directory.join("pgbouncer"));
    programs.find(|program| program.is_file())
}

impl Pooler {
    /// `None` where PgBouncer is not installed; then this says so.
    fn before(server: &TempPostgres) -> Option<Self> {
        let Some(program) = program() else {
            skipped("PgBouncer is not installed");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let config = format!(
            "[databases]\n* = host={} user=postgres\n[pgbouncer]\nunix_socket_dir = {path}\nlisten_port = 6432\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\n\
             server_login_retry = 0\n",
            server.socket_directory().display()
        );
        fs::write(directory.path().join("pgbouncer.ini"), config).unwrap();
        let mut pooler = Command::new("sh");
        let pooler = pooler.process_group(0).args(["-c", UNTIL_THE_END, "sh"]);
        if let Some((uid, gid)) = server.account() {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid)).unwrap();
            pooler.uid(uid).gid(gid);
        }
        let mut process = pooler
            .arg(program)
            .arg(directory.path().join("pgbouncer.ini"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        let pooler = Self {
            directory,
            input,
            process,
        };
        let begun = Instant::now();
        while !pooler.directory.path().join(".s.PGSQL.6432").exists() {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "PgBouncer does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(pooler)
    }

    fn url(&self, database: &str) -> String {
        let host = self.directory.path().display().to_string();
        format!(
            "postgres://postgres@{}:6432/{database}",
            host.replace('/', "%2F")
        )
    }

    async fn open(&self, server: &TempPostgres, database: &str) -> PostgresStore {
        let mut options = PostgresOptions::default();
        options.state_dir = Some(server.state_dir(database));
        PostgresStore::open_with(&self.url(database), options)
            .await
            .unwrap()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn h01_everything_holds_behind_a_pooler_in_transaction_mode() {
    let Some(server) = server_with_socket() else {
        return;
    };
    let Some(pooler) = Pooler::before(server) else {
        return;
    };
    conformance::all(async || pooler.open(server, &server.database()).await).await;
    conformance::reading(async || {
        let database = server.database();
        let store = pooler.open(server, &database).await;
        (store, PostgresHistory::new(&pooler.url(&database)).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_recorders_behind_a_pooler_lose_nothing_when_it_or_the_server_ends() {
    let Some(server) = TempPostgres::start_with(&[]) else {
        return;
    };
    let Some(pooler) = Pooler::before(&server) else {
        return;
    };
    let database = server.database();
    // The address stays the same, whichever pooler listens there.
    let link = tempfile::tempdir().unwrap();
    let socket = link.path().join("pooler");
    std::os::unix::fs::symlink(pooler.directory.path(), &socket).unwrap();
    let host = socket.display().to_string().replace('/', "%2F");
    let url = format!("postgres://postgres@{host}:6432/{database}");
    let mut rig = Rig::new(&url, rate());
    let mut pooler = Some(pooler);
    let (crashes, kills) = Storm::usual().rage(&mut rig, |crash| {
        if crash % 2 == 1 {
            server.crash();
            return server.go_on();
        }
        // Its connections end with it, and the next one listens elsewhere.
        drop(pooler.take());
        let next = pooler.insert(Pooler::before(&server).unwrap());
        fs::remove_file(&socket).unwrap();
        std::os::unix::fs::symlink(next.directory.path(), &socket).unwrap();
    });
    for told in rig.stop() {
        println!("{told}");
    }
    rig.recover().await;
    let rows = rig.judge(&server, &database).await;
    println!("{rows} rows after {crashes} crashes of the pooler or its server and {kills} kills");
    assert!(rows > 1_000);
}
