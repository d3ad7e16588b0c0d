//! The suite that every store must pass.

use executor_testkit::conformance;

use crate::server;

#[tokio::test]
async fn h01_a_database_on_a_server_conforms() {
    let Some(server) = server() else { return };
    conformance::all(async || server.open(&server.database()).await.unwrap()).await;
}
