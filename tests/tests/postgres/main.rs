//! The promises of the store on a PostgreSQL server, which is also looked at from outside. A test's name begins with the
//! clause of `docs/contract.md` that it holds to.
// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod conformance;
mod copying;
mod days;
#[path = "../../../crates/telemetry-store/tests/contract/everything.rs"]
mod everything;
mod failover;
mod opening;
mod outages;
mod pooler;
mod secrets;
mod sessions;
mod silence;
mod silent_network;
mod torture;
mod writing;

use std::path::Path;

use command_executor::{CommandExecutor, Config, ListenerHandle, SpoolPlace};
use executor_testkit::TempPostgres;
use telemetry_store::{PostgresOptions, PostgresStore};
use tempfile::TempDir;

/// The server, or `None` where there is none; then this says so.
fn server() -> Option<&'static TempPostgres> {
    let server = TempPostgres::shared();
    if server.is_none() {
        skipped("no programs of a PostgreSQL server (initdb, postgres, psql) are installed");
    }
    server
}

/// One whose socket is used.
fn server_with_socket() -> Option<&'static TempPostgres> {
    let server = TempPostgres::with_socket();
    if server.is_none() {
        skipped("no programs of a PostgreSQL server (initdb, postgres, psql) are installed");
    }
    server
}

/// Options that keep nothing of this machine outside of a directory, which goes with the other value.
fn options() -> (PostgresOptions, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut options = PostgresOptions::default();
    options.state_dir = Some(directory.path().join("state"));
    (options, directory)
}

/// An executor with a spool in a directory, and its only listener, to the topic `hall`.
async fn recorder(store: PostgresStore, home: &Path) -> (CommandExecutor, ListenerHandle) {
    let config = Config::default().with_spool(SpoolPlace::At(home.join("spool")));
    let builder = CommandExecutor::builder(store).config(config);
    let executor = builder.start().await.unwrap();
    let listener = executor
        .listener("house", "hall")
        .topic("hall")
        .handler_fn(|| async {});
    let listener = listener.register().await.unwrap();
    (executor, listener)
}

/// Says what is not tested, which is a failure where nothing may be skipped.
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(
        std::env::var_os("CI").is_none(),
        "nothing may be skipped here"
    );
}
