//! Tests of `discard.rs`.

use super::*;
use crate::conformance;

#[tokio::test]
#[should_panic(expected = "it was stored")]
async fn g01_a_store_that_keeps_nothing_does_not_conform() {
    conformance::reading(async || {
        let store = DiscardStore::default();
        (store.clone(), store)
    })
    .await;
}
