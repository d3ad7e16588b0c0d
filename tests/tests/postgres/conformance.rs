//! The suites that every store and every history must pass.

use executor_testkit::conformance;
use telemetry_store::PostgresHistory;

use crate::server;

#[tokio::test]
async fn h01_a_database_on_a_server_conforms() {
    let Some(server) = server() else { return };
    conformance::all(async || server.open(&server.database()).await.unwrap()).await;
}

#[tokio::test]
async fn g01_the_history_on_a_server_reads_back_what_its_store_was_given() {
    let Some(server) = server() else { return };
    conformance::reading(async || {
        let database = server.database();
        let store = server.open(&database).await.unwrap();
        (store, PostgresHistory::new(&server.url(&database)).unwrap())
    })
    .await;
}
