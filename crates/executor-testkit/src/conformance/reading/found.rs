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
    let records = overlapping();
    persist(store, &samples::session(), records.clone()).await;
    for (from, to) in [(60, 70), (0, 1), (200, 300), (7_000, 7_251), (9_081, 9_999)] {
        let filter = Filter {
            from: Some(at(from)),
            started_before: Some(at(to)),
            ..Filter::default()
        };
        let overlap = |it: &&ExecutionRecord| it.ended_at() >= at(from) && it.started_at < at(to);
        let expected = records.iter().filter(overlap);
        let mut expected: Vec<_> = expected.map(|it| it.execution_id).collect();
        expected.sort_unstable();
        for order in [Order::LatestFirst, Order::OldestFirst] {
            let mut found = all(history, &filter, order, 5).await;
            found.sort_unstable();
            assert_eq!(found, expected, "{from} to {to}");
        }
    }
}

fn overlapping() -> Vec<ExecutionRecord> {
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
    records
}

pub(super) async fn texts_find_the_executions_that_they_may_mean<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    const DAYS: i64 = 86_400;
    // Further apart than what a short id tells.
    let records: Vec<_> = (0..5).map(|number| ran(number * 40 * DAYS, 1)).collect();
    persist(store, &samples::session(), records.clone()).await;
    for record in &records {
        let id = record.execution_id;
        for text in [
            id.short(),
            id.short()[..6].to_owned(),
            id.to_string(),
            id.to_string()[..18].to_owned(),
        ] {
            assert_eq!(find(history, &text, 9).await, [id], "{text}");
        }
    }
    let (first, last) = (records[0].execution_id, records[4].execution_id);
    what_several_share_finds_the_latest_first(history, first, last).await;
}

async fn what_several_share_finds_the_latest_first<H: History>(
    history: &H,
    first: ExecutionId,
    last: ExecutionId,
) {
    let common = &first.to_string()[..3];
    assert_eq!(common, &last.to_string()[..3]);
    let all = find(history, &format!("{common}0-"), 9).await;
    let none: [ExecutionId; 0] = [];
    assert!(all.is_empty() || all[0] == last, "the latest first");
    assert_eq!(find(history, "house/backup", 9).await, none);
    assert_eq!(find(history, "00000000-0000", 9).await, none);
    let one = find(history, &last.to_string()[..9], 1).await;
    assert_eq!(one, [last]);
    assert_eq!(find(history, &last.short(), 0).await, none);
}

async fn find<H: History>(history: &H, text: &str, limit: u32) -> Vec<ExecutionId> {
    let found = history.find(text.to_owned(), limit).await.expect("answers");
    let ids = found.into_iter().map(|it| it.record.execution_id);
    ids.collect()
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
