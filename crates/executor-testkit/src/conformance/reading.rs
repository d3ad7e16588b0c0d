//! The conformance suite for histories: each must read back what its store was given.

use std::time::Duration;

use executor_core::ports::{
    Filter, History, HistoryErrorClass, Order, PageRequest, PageToken, Stats, Store, Window,
};
use executor_core::{ExecutionId, ExecutionRecord, Status, Timestamp};

mod asked_for;
mod filtered;
mod found;
mod given;
mod in_force;
mod kept;
mod lines;
mod old;
mod planned;
mod pruned;
mod series;
mod sources;

use asked_for::actions_are_read_back;
use filtered::every_filter_finds_what_it_says;
use found::{all, overlaps_are_found, texts_find_the_executions_that_they_may_mean};
use given::{COUNT, Given};
use in_force::what_was_in_force_before_is_known;
use kept::{
    gaps_are_read_back_by_window, registrations_are_read_back_as_they_were_made_last,
    sessions_are_read_back_with_their_ledgers,
};
use lines::old_lines_go_and_their_executions_stay;
use old::old_history_goes_and_nothing_else;
use planned::{a_run_behind_many_others_counts, missed_runs_and_pauses_are_read_back};
use pruned::prunes_are_told_and_counted;
use series::{namesakes_are_told_apart, series_count_every_execution_once};
use sources::sources_of_events_are_read_back;

/// Runs every check, each on a fresh store and its history.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use executor_testkit::{MemoryStore, conformance};
///
/// conformance::reading(async || {
///     let store = MemoryStore::new();
///     (store.clone(), store)
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
///
/// The history breaks a promise; the first failure ends the suite.
///
/// # Cancel safety
///
/// Dropping the future stops the suite.
pub async fn reading<S: Store, H: History>(fresh: impl AsyncFn() -> (S, H)) {
    let given = async || {
        let (store, history) = fresh().await;
        let given = Given::to(&store).await;
        // Keep the store until the check is over: dropping it may remove its database.
        (store, history, given)
    };
    let (_store, history, given) = given().await;
    every_execution_is_read_back_as_it_was(&history, &given).await;
    windows_count_what_ended_in_them(&history, &given).await;
    every_filter_finds_what_it_says(&history, &given).await;
    pages_lose_nothing_in_either_order(&history, &given).await;
    a_token_of_somebody_else_is_refused(&history).await;
    overall_figures_are_those_of_the_window(&history, &given).await;
    summaries_count_every_execution(&history, &given).await;
    series_count_every_execution_once(&history, &given.records, given.scopes()).await;
    let (store, history) = fresh().await;
    sessions_are_read_back_with_their_ledgers(&store, &history).await;
    let (store, history) = fresh().await;
    gaps_are_read_back_by_window(&store, &history).await;
    let (store, history) = fresh().await;
    registrations_are_read_back_as_they_were_made_last(&store, &history).await;
    let (store, history) = fresh().await;
    prunes_are_told_and_counted(&store, &history).await;
    let (store, history) = fresh().await;
    missed_runs_and_pauses_are_read_back(&store, &history).await;
    let (store, history) = fresh().await;
    overlaps_are_found(&store, &history).await;
    let (store, history) = fresh().await;
    actions_are_read_back(&store, &history).await;
    let (store, history) = fresh().await;
    sources_of_events_are_read_back(&store, &history).await;
    let (store, history) = fresh().await;
    old_history_goes_and_nothing_else(&store, &history).await;
    let (store, history) = fresh().await;
    old_lines_go_and_their_executions_stay(&store, &history).await;
    let (store, history) = fresh().await;
    texts_find_the_executions_that_they_may_mean(&store, &history).await;
    let (store, history) = fresh().await;
    what_was_in_force_before_is_known(&store, &history).await;
    let (store, history) = fresh().await;
    namesakes_are_told_apart(&store, &history).await;
    let (store, _history) = fresh().await;
    a_run_behind_many_others_counts(&store).await;
}

async fn every_execution_is_read_back_as_it_was<H: History>(history: &H, given: &Given) {
    for (place, record) in given.records.iter().enumerate() {
        let found = history
            .execution(record.execution_id)
            .await
            .expect("answers");
        let found = found.expect("it was stored");
        assert_eq!(&found.record, record);
        let session = &given.sessions[usize::from(place >= given.records.len() / 2)];
        assert_eq!(found.session, session.id);
    }
    let never = ExecutionId::new(Timestamp::from_micros(1));
    assert_eq!(history.execution(never).await.expect("answers"), None);
}

async fn windows_count_what_ended_in_them<H: History>(history: &H, given: &Given) {
    let count = async |window| history.count(window).await.expect("answers");
    assert_eq!(count(Window::default()).await, COUNT);
    let of_first = Window::of_session(given.sessions[0].id);
    assert_eq!(count(of_first.clone()).await, COUNT / 2);
    let middle = given.records[15].ended_at();
    let (before, of_first_before) = (
        Window {
            to: Some(middle),
            ..Window::default()
        },
        Window {
            to: Some(middle),
            ..of_first
        },
    );
    let ended_before = given.records.iter().filter(|it| it.ended_at() < middle);
    let ended_before = ended_before.count() as u64;
    assert_eq!(count(before).await, ended_before);
    assert_eq!(count(of_first_before).await, ended_before);
    assert_eq!(count(Window::since(middle)).await, COUNT - ended_before);
}

async fn pages_lose_nothing_in_either_order<H: History>(history: &H, given: &Given) {
    let ends = async |ids: Vec<ExecutionId>| {
        let mut ends = Vec::new();
        for id in ids {
            let found = history.execution(id).await.expect("answers");
            ends.push(found.expect("it is there").record.ended_at());
        }
        ends
    };
    for limit in [1, 2, 7, 60, 61] {
        let mut latest = all(history, &Filter::default(), Order::LatestFirst, limit).await;
        let oldest = all(history, &Filter::default(), Order::OldestFirst, limit).await;
        assert_eq!(latest.len(), given.records.len(), "pages of {limit}");
        let in_order = ends(oldest.clone()).await;
        assert!(in_order.is_sorted(), "pages of {limit}");
        latest.reverse();
        assert_eq!(latest, oldest, "pages of {limit}");
    }
    let none = history
        .executions(Filter::default(), PageRequest::first(0))
        .await;
    let none = none.expect("answers");
    assert_eq!((none.items, none.next), (Vec::new(), None));
    let searched = Filter {
        min_duration: Some(Duration::ZERO),
        ..Filter::default()
    };
    let none = history.executions(searched, PageRequest::first(0)).await;
    assert_eq!(none.expect("answers").next, None, "nothing is skipped");
}

async fn a_token_of_somebody_else_is_refused<H: History>(history: &H) {
    for text in ["", "somewhere", "9?1"] {
        let page = PageRequest::default().following(PageToken::from(text.to_owned()));
        let refused = history.executions(Filter::default(), page.clone()).await;
        let class = refused.expect_err("no such token was given out").class;
        assert_eq!(class, HistoryErrorClass::Invalid, "{text}");
        let refused = history.sessions(page).await;
        let class = refused.expect_err("no such token was given out").class;
        assert_eq!(class, HistoryErrorClass::Invalid, "{text}");
    }
}

async fn summaries_count_every_execution<H: History>(history: &H, given: &Given) {
    let summaries = history.summaries(Window::default()).await;
    let summaries = summaries.expect("answers");
    let names: Vec<_> = summaries.iter().map(|it| &*it.entity.name).collect();
    assert_eq!(names, ["gone", "hall", "dim"], "by kind, then by name");
    for summary in &summaries {
        let its = given.records.iter();
        let its = its.filter(|record| *record.subject.entity == summary.entity);
        check(&summary.stats, &its.collect::<Vec<_>>());
    }
}

async fn overall_figures_are_those_of_the_window<H: History>(history: &H, given: &Given) {
    let overall = async |window| history.overall(window).await.expect("answers");
    let all = overall(Window::default()).await;
    check(&all, &given.records.iter().collect::<Vec<_>>());
    let of_second = Window::of_session(given.sessions[1].id);
    let stats = overall(of_second).await;
    check(&stats, &given.records[30..].iter().collect::<Vec<_>>());
    let from = given.records[15].ended_at();
    let stats = overall(Window::since(from)).await;
    let since = given.records.iter();
    let since = since.filter(|record| record.ended_at() >= from);
    check(&stats, &since.collect::<Vec<_>>());
}

fn check(stats: &Stats, records: &[&ExecutionRecord]) {
    assert_eq!(stats.runs(), records.len() as u64);
    for status in Status::ALL {
        let its = records.iter().filter(|record| record.status == status);
        assert_eq!(stats.count(status), its.count() as u64, "{status:?}");
    }
    check_durations(stats, records);
    check_last_error(stats, records);
}

fn check_durations(stats: &Stats, records: &[&ExecutionRecord]) {
    let ran = |record: &&&ExecutionRecord| {
        !matches!(record.status, Status::Skipped | Status::Interrupted)
    };
    let durations = records.iter().filter(ran).map(|record| record.duration);
    let mut durations: Vec<Duration> = durations.collect();
    durations.sort_unstable();
    let longest = durations.last().copied().unwrap_or_default();
    assert_eq!(stats.max, longest);
    let half = durations[durations.len().div_ceil(2) - 1];
    let p50 = stats.p50;
    assert!(p50.abs_diff(half) <= half / 50, "{p50:?} {half:?}");
}

/// Checks that the last error is one of those that came last.
fn check_last_error(stats: &Stats, records: &[&ExecutionRecord]) {
    let failed =
        |record: &&&ExecutionRecord| record.failure.is_some() && record.status != Status::Skipped;
    let failures = records.iter().filter(failed);
    let last = failures.clone().map(|record| record.ended_at()).max();
    let at_last = failures.filter(|record| Some(record.ended_at()) == last);
    let mut texts = at_last.filter_map(|record| {
        let failure = record.failure.as_deref()?;
        Some(format!("{}: {}", failure.error_type, failure.message))
    });
    let told = &stats.last_error;
    assert!(texts.any(|text| *told == Some(text)), "{told:?}");
}
