//! What executions said goes before they do, and only as much as is too much.

use executor_core::lines::Lines;
use executor_core::ports::{
    History, LinesBound, PageRequest, PruneRule, PruneSlice, Store, Window,
};
use executor_core::{ExecutionRecord, RegistrationId, Timestamp};

use crate::conformance::{persist, registered};
use crate::samples;

/// What each of them said, in bytes.
const BYTES: usize = 100;

/// Executions of two listeners in turns, each of which said something, and one that said nothing.
async fn talkative<S: Store>(store: &S) -> (Vec<ExecutionRecord>, [RegistrationId; 2]) {
    let rows = [
        registered(store, "hall").await,
        registered(store, "porch").await,
    ];
    let ids = rows.map(RegistrationId::listener);
    let records = (0..13).map(|number: usize| {
        let which = number % 2;
        let listener = samples::listener(["hall", "porch"][which]);
        let mut record = samples::record(&listener, Some(rows[which]), number as u64 * 1_000);
        let body = format!("{:<width$}\n", "1 o []", width = BYTES - 1);
        let lines = Lines::from_parts(1, 1, BYTES as u64, false, body);
        record.lines = (number < 12).then(|| lines.into());
        record
    });
    let records: Vec<_> = records.collect();
    persist(store, &samples::session(), records.clone()).await;
    (records, ids)
}

/// The numbers of those whose lines are still there.
async fn still_there<H: History>(history: &H, records: &[ExecutionRecord]) -> Vec<usize> {
    let mut there = Vec::new();
    for (number, record) in records.iter().enumerate() {
        let found = history.execution(record.execution_id).await;
        let found = found.expect("answers").expect("the execution stays");
        if found.record.lines.is_some() {
            assert_eq!(found.record.lines, record.lines);
            there.push(number);
        }
    }
    there
}

async fn prune<S: Store>(store: &S, rule: PruneRule) -> u64 {
    let mut gone = 0;
    // In slices of two.
    while let rows @ 1.. = store
        .prune(PruneSlice::new(rule, 2))
        .await
        .expect("answers")
    {
        assert!(rows <= 2, "a slice");
        gone += rows;
    }
    gone
}

pub(super) async fn old_lines_go_and_their_executions_stay<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let (records, ids) = talkative(store).await;
    let beyond_at = async |now: Timestamp, all: usize, of_one: usize| {
        let bounds = store.lines_beyond(now, all as u64, of_one as u64);
        bounds.await.expect("answers")
    };
    let beyond = async |all, of_one| beyond_at(Timestamp::MAX, all, of_one).await;
    // The six of later times take no room away.
    let early = records[5].ended_at();
    assert_eq!(beyond_at(early, 6 * BYTES, 3 * BYTES).await, []);
    assert_eq!(beyond_at(early, 5 * BYTES, 3 * BYTES).await.len(), 1);
    assert_eq!(beyond(12 * BYTES, 6 * BYTES).await, []);
    assert_eq!(beyond(usize::MAX, usize::MAX).await, []);

    let of_each = beyond(12 * BYTES, 5 * BYTES).await;
    let of: Vec<_> = of_each.iter().map(|bound| bound.of).collect();
    assert_eq!(of, [Some(ids[1]), Some(ids[0])], "the latest first");
    let of_porch = PruneRule::LinesUntil(of_each[0]);
    assert_eq!(prune(store, of_porch).await, 1);
    let there = still_there(history, &records).await;
    assert_eq!(there, [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);

    let of_all = beyond(4 * BYTES, 6 * BYTES).await;
    assert!(matches!(of_all[..], [LinesBound { of: None, .. }]));
    assert_eq!(prune(store, PruneRule::LinesUntil(of_all[0])).await, 7);
    assert_eq!(still_there(history, &records).await, [8, 9, 10, 11]);

    let age = PruneRule::LinesBefore(records[10].ended_at());
    assert_eq!(prune(store, age).await, 2);
    assert_eq!(still_there(history, &records).await, [10, 11]);

    let sessions = history.sessions(PageRequest::default()).await;
    let pruned = sessions.expect("answers").items[0].counts.pruned;
    assert_eq!(pruned, 0, "no execution is gone");
    let told = history.prunes(Window::default(), PageRequest::default());
    let told = told.await.expect("answers").items;
    let counts: Vec<_> = told.iter().map(|it| (&*it.rule, it.count)).collect();
    assert_eq!(counts, [("lines_age", 2), ("lines_size", 8)]);
    assert!(told.iter().all(|it| !it.is_of_executions()));
}
