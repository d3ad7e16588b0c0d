//! A store that only keeps records is whole with an adapter.

use std::future::ready;
use std::sync::{Arc, Mutex};

use executor_core::ports::{Batch, Fate, RecordStore, RecordsOnly, StoreFuture};
use executor_service::{CommandExecutor, Config, Degradation, Health, SpoolPlace};

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Arc<Batch>>>>);

impl RecordStore for Shelf {
    fn persist(&self, batch: Arc<Batch>) -> StoreFuture<'_, Vec<Fate>> {
        let fates = vec![Fate::Stored; batch.records.len()];
        self.0.lock().unwrap().push(batch);
        Box::pin(ready(Ok(fates)))
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }
}

#[tokio::test]
async fn e01_a_store_that_only_keeps_records_gets_them_by_way_of_a_spool() {
    let root = tempfile::tempdir().unwrap();
    let shelf = Shelf::default();
    let config = Config::default().with_spool(SpoolPlace::At(root.path().into()));
    let store = RecordsOnly::new("shelf", shelf.clone());
    let executor = CommandExecutor::builder(store)
        .config(config)
        .start()
        .await
        .unwrap();
    let dim = executor
        .job("lights", "dim")
        .handler_fn(|| async {})
        .register()
        .await
        .unwrap();
    for _ in 0..3 {
        executor.execute(dim.run_now()).await.unwrap();
    }
    assert_eq!(executor.health(), Health::Healthy);
    assert!(executor.ledger().durability.is_some(), "in a spool");
    let report = executor.shutdown(std::time::Duration::from_secs(5)).await;
    assert_eq!((report.ledger.stored, report.session_closed), (3, true));
    let batches = shelf.0.lock().unwrap();
    assert_eq!(
        batches
            .iter()
            .map(|batch| batch.records.len())
            .sum::<usize>(),
        3
    );
    assert_eq!(&*batches[0].records[0].subject.entity.name, "dim");
}

#[tokio::test]
async fn e01_where_the_machine_has_no_place_for_a_spool_that_is_said() {
    // A name with a path in it is the simplest place that cannot be made.
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = Config::default().with_spool(SpoolPlace::At(file.path().join("spool")));
    let store = RecordsOnly::new("shelf", Shelf::default());
    let executor = CommandExecutor::builder(store)
        .config(config)
        .start()
        .await
        .unwrap();
    let Health::Degraded(reasons) = executor.health() else {
        panic!("{:?}", executor.health());
    };
    assert!(
        reasons
            .iter()
            .any(|reason| matches!(reason, Degradation::NoSpool { .. })),
        "{reasons:?}"
    );
    executor.shutdown(std::time::Duration::from_secs(5)).await;
}
