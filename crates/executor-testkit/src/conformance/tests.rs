//! Tests of `conformance.rs`.

use super::*;

#[tokio::test]
async fn the_store_in_memory_conforms() {
    all(async || crate::MemoryStore::new()).await;
}

#[tokio::test]
async fn a_store_behind_faults_that_do_not_happen_conforms() {
    all(async || crate::FaultyStore::new(crate::MemoryStore::new())).await;
}
