//! The ledger as metrics: their names are a contract.

use std::collections::BTreeMap;

use executor_service::Config;
use executor_testkit::Fault;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::support::Fixture;

#[tokio::test(start_paused = true)]
async fn c08_the_ledger_is_published_as_metrics() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _local = metrics::set_default_local_recorder(&recorder);
    let fixture = Fixture::with(Config::default().with_queue_max(8)).await;
    let listener = fixture.noop().await;
    fixture.store.inject([Fault::SetsAside(2)]);
    for _ in 0..11 {
        fixture.run(&listener).await;
    }
    fixture.stop().await;
    let values: BTreeMap<String, u64> = seen
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels = key
                .key()
                .labels()
                .map(|label| format!("[{}]", label.value()));
            let name = key.key().name().to_owned() + &labels.collect::<String>();
            let value = match value {
                DebugValue::Counter(count) => count,
                DebugValue::Gauge(value) => value.into_inner() as u64,
                DebugValue::Histogram(durations) => durations.len() as u64,
            };
            (name, value)
        })
        .collect();
    let value = |name: &str| values[&format!("executor_{name}")];
    assert_eq!(value("records_offered_total"), 11);
    assert_eq!(value("records_stored_total"), 7);
    assert_eq!(value("records_dropped_total[overflow]"), 3);
    assert_eq!(value("records_dropped_total[constraint]"), 1);
    assert_eq!(value("records_dropped_total[shutdown]"), 0);
    assert_eq!((value("records_waiting"), value("store_available")), (0, 1));
    // The fixture keeps its records in memory.
    assert_eq!(value("records_durability"), 0);
    assert_eq!(value("executions_total[lights][success]"), 11);
    assert_eq!(value("execution_duration_seconds[lights]"), 11);
    assert_eq!(values.len(), 17, "{values:#?}");
}
