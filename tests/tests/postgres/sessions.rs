//! Clauses D4 and H3: sessions of several recorders in one database.

use executor_core::ports::SessionStore;
use executor_testkit as kit;

use crate::server;

fn statuses(database: &str) -> String {
    let server = server().unwrap();
    let statuses = "SELECT string_agg(status, ' ' ORDER BY id) FROM executor.sessions";
    server.ask(statuses, database).unwrap()
}

#[tokio::test]
async fn h03_only_a_session_whose_process_is_gone_is_marked_as_crashed() {
    let Some(server) = server() else { return };
    let database = server.database();
    let (dead, living) = (kit::session(), kit::session());
    let store = server.open(&database).await.unwrap();
    store.open_session(dead.clone()).await.unwrap();
    // With the store goes what proves that the session lives, as with its process.
    drop(store);
    let first = server.open(&database).await.unwrap();
    first.open_session(living.clone()).await.unwrap();
    let second = server.open(&database).await.unwrap();
    assert_eq!(second.mark_crashed().await.unwrap(), [dead.id]);
    assert_eq!(second.mark_crashed().await.unwrap(), []);
    assert_eq!(statuses(&database), "crashed running");
}

#[tokio::test]
async fn h03_a_session_of_another_machine_is_left_to_that() {
    let Some(server) = server() else { return };
    let database = server.database();
    let theirs = kit::session();
    let store = server.open(&database).await.unwrap();
    store.open_session(theirs).await.unwrap();
    drop(store);
    let mut options = telemetry_store::PostgresOptions::default();
    let elsewhere = tempfile::tempdir().unwrap();
    options.state_dir = Some(elsewhere.path().join("state"));
    let url = server.url(&database);
    let other = telemetry_store::PostgresStore::open_with(&url, options)
        .await
        .unwrap();
    assert_eq!(other.mark_crashed().await.unwrap(), []);
    assert_eq!(statuses(&database), "running");
}
