//! Statistics of periods.

use std::time::Duration;

use executor_core::ports::{Filter, History, HistoryErrorClass, Order, Scope, Store};
use executor_core::{Entity, ExecutionRecord, Registration, RegistrationId, Timestamp};

use super::found::all;
use crate::conformance::persist;
use crate::samples;

pub(super) async fn series_count_every_execution_once<H: History>(
    history: &H,
    records: &[ExecutionRecord],
    scopes: Vec<Scope>,
) {
    let mut ends: Vec<_> = records.iter().map(ExecutionRecord::ended_at).collect();
    ends.sort_unstable();
    ends.dedup();
    let after = |at: Timestamp| at.saturating_add(Duration::from_micros(1));
    // Each bound is the end of an execution, which belongs to what follows.
    let bounds = vec![ends[0], ends[7], ends[8], after(ends[ends.len() - 1])];
    for scope in scopes {
        let series = history.series(scope.clone(), bounds.clone()).await;
        let series = series.expect("answers");
        assert_eq!(series.len(), 3, "{scope:?}");
        for (stats, bounds) in series.iter().zip(bounds.windows(2)) {
            let filter = Filter {
                scope: scope.clone(),
                from: Some(bounds[0]),
                to: Some(bounds[1]),
                ..Filter::default()
            };
            let its = all(history, &filter, Order::LatestFirst, 100).await;
            assert_eq!(stats.runs(), its.len() as u64, "{scope:?} {bounds:?}");
        }
    }
    bounds_out_of_order_are_refused(history, ends[0], ends[1]).await;
}

async fn bounds_out_of_order_are_refused<H: History>(
    history: &H,
    earlier: Timestamp,
    later: Timestamp,
) {
    for wrong in [vec![later, earlier], vec![earlier, earlier]] {
        let refused = history.series(Scope::All, wrong).await;
        let class = refused.expect_err("no periods").class;
        assert_eq!(class, HistoryErrorClass::Invalid);
    }
}

/// Listeners of one name on two topics are two.
pub(super) async fn namesakes_are_told_apart<S: Store, H: History>(store: &S, history: &H) {
    let session = samples::session();
    let mut rows = Vec::new();
    for (topic, count) in [("motion.hall", 2), ("motion.attic", 3)] {
        let details = samples::listener("dim").details;
        let entity = Entity::listener("lights", 0, "dim", topic);
        let listener = Registration::new(entity, details);
        let row = store.register(listener.clone()).await.expect("registers");
        let records = (0..count).map(|at| samples::record(&listener, Some(row), at * 10));
        persist(store, &session, records.collect()).await;
        rows.push((row, count));
    }
    let begun = session.started_at;
    let bounds = vec![begun, begun.saturating_add(Duration::from_secs(3_600))];
    for (row, count) in rows {
        let scope = Scope::Registration(RegistrationId::listener(row));
        let series = history.series(scope, bounds.clone()).await;
        assert_eq!(series.expect("answers")[0].runs(), count);
    }
}
