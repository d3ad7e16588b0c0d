//! Checks what is found by time and by part of an id.

use std::time::Duration;

use executor_core::ports::{Filter, History, Order, PageOf, PageRequest, PageToken, Store};
use executor_core::{ExecutionId, ExecutionRecord, Timestamp};

use super::super::{persist, samples};

const SECOND: i64 = 1_000_000;

/// 2026-01-01T00:00:00Z and so many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600 * SECOND + seconds * SECOND)
}

/// Began and took so many seconds.
fn ran(from: i64, took: u64) -> ExecutionRecord {
    let mut record = samples::record(&samples::listener("hall"), None, 0);
    record.execution_id = ExecutionId::new(at(from));
    record.started_at = at(from);
    record.duration = Duration::from_secs(took);
    record
}

pub(super) async fn overlaps_are_found<S: Store, H: History>(store: &S, history: &H) {
    let mut records: Vec<_> = (0..100).map(|second| ran(second, 1)).collect();
    // They end long after they began, and beside many others.
    records.extend([
        ran(50, 30),
        ran(50, 7_200),
        ran(65, 59),
        ran(69, 61),
        ran(80, 9_000),
    ]);
    records.extend((0..100).map(|second| ran(7_250 + second, 1)));
    records.sort_by_key(ExecutionRecord::ended_at);
    persist(store, &samples::session(), records.clone()).await;
    for (from, to) in [(60, 70), (0, 1), (200, 300), (7_000, 7_251), (9_081, 9_999)] {
        let filter = Filter {
            from: Some(at(from)),
            started_before: Some(at(to)),
            ..Filter::default()
        };
        let overlap = |it: &&ExecutionRecord| it.ended_at() >= at(from) && it.started_at < at(to);
        let expected: Vec<_> = records
            .iter()
            .filter(overlap)
            .map(|it| it.execution_id)
            .collect();
        for order in [Order::LatestFirst, Order::OldestFirst] {
            let mut found = all(history, &filter, order, 5).await;
            let count = found.len();
            found.sort_unstable();
            let mut expected = expected.clone();
            expected.sort_unstable();
            assert_eq!(
                (found, count),
                (expected.clone(), expected.len()),
                "{from} to {to}"
            );
        }
    }
}

pub(super) async fn texts_find_the_executions_that_they_may_mean<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    const DAYS: i64 = 86_400;
    // Further apart than what a short id tells.
    let records: Vec<_> = (0..5).map(|number| ran(number * 40 * DAYS, 1)).collect();
    persist(store, &samples::session(), records.clone()).await;
    let find = async |text: &str, limit| {
        let found = history.find(text.to_owned(), limit).await.expect("answers");
        let ids = found.into_iter().map(|it| it.record.execution_id);
        ids.collect::<Vec<_>>()
    };
    for record in &records {
        let id = record.execution_id;
        for text in [
            id.short(),
            id.short()[..6].to_owned(),
            id.to_string(),
            id.to_string()[..18].to_owned(),
        ] {
            assert_eq!(find(&text, 9).await, [id], "{text}");
        }
    }
    let (first, last) = (records[0].execution_id, records[4].execution_id);
    let common = &first.to_string()[..3];
    assert_eq!(common, &last.to_string()[..3]);
    let all = find(&format!("{common}0-"), 9).await;
    let none: [ExecutionId; 0] = [];
    assert!(all.is_empty() || all[0] == last, "the latest first");
    assert_eq!(find("house/backup", 9).await, none);
    assert_eq!(find("00000000-0000", 9).await, none);
    let one = find(&last.to_string()[..9], 1).await;
    assert_eq!(one, [last]);
    assert_eq!(find(&last.short(), 0).await, none);
}

/// Reads all pages of `limit` items into one list.
pub(super) async fn all<H: History>(
    history: &H,
    filter: &Filter,
    order: Order,
    limit: u32,
) -> Vec<ExecutionId> {
    let mut page = PageRequest {
        order,
        ..PageRequest::first(limit)
    };
    let mut all = Vec::new();
    loop {
        let found = history.executions(filter.clone(), page.clone()).await;
        let PageOf { items, next, .. } = found.expect("answers");
        assert!(items.len() <= limit as usize);
        assert!(items.iter().all(|stored| stored.record.lines.is_none()));
        all.extend(items.into_iter().map(|stored| stored.record.execution_id));
        let Some(next) = next else { return all };
        // Pass it as text, as in a URL.
        page = page.following(PageToken::from(next.to_string()));
    }
}
