//! Clause D9 over time: the rollups say what the rows said, exactly in counts and within the stated error
//! in percentiles, whatever was written when, and also when the rows are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor_core::ports::{
    History, Housekeeping, PageRequest, PruneRule, PruneSlice, RegistrationStore, Scope, Stats,
    StoredExecution, StoredPrune, Window,
};
use executor_core::{ExecutionRecord, Failure, RegistrationId, Status, Timestamp};
use executor_testkit as kit;
use proptest::prelude::*;
use telemetry_store::{RELATIVE_ERROR, SqliteStore};

use crate::support::{Database, persist};

/// What a step of a history does.
#[derive(Clone, Debug)]
enum Step {
    /// Writes a batch: for each record a listener, a time in seconds, a duration and a status.
    Write(Vec<(usize, u64, u64, u8)>),
    /// Closes the store and opens it, which rolls up what is there.
    Reopen,
    /// Deletes a listener from outside.
    Delete(usize),
    /// Lets go of what went well before this second, so from the middle of what is there.
    Prune(u64),
    /// Lets go of all but so many of each listener.
    Keep(u32),
}

const LISTENERS: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Three days, so that there are whole hours and days and edges; late rows come by themselves.
    let record = (0..LISTENERS, 0_u64..260_000, 0_u64..5_000_000, 0_u8..7);
    let step = prop_oneof![
        5 => proptest::collection::vec(record, 1..40).prop_map(Step::Write),
        2 => Just(Step::Reopen),
        1 => (0..LISTENERS).prop_map(Step::Delete),
        1 => (0_u64..260_000).prop_map(Step::Prune),
        1 => (0_u32..20).prop_map(Step::Keep),
    ];
    proptest::collection::vec(step, 1..12)
}

fn record((listener, second, micros, status): (usize, u64, u64, u8)) -> ExecutionRecord {
    let mut record = kit::record(
        &kit::listener(&format!("l{listener}")),
        None,
        second * 1_000,
    );
    record.status = Status::ALL[usize::from(status)];
    record.duration = Duration::from_micros(micros);
    if !matches!(record.status, Status::Success | Status::Cancelled) {
        record.failure = Some(Arc::new(Failure {
            message: format!("at {second}"),
            ..Failure::deadline()
        }));
    }
    record
}

/// What a history leaves behind.
struct Played {
    store: SqliteStore,
    written: Vec<ExecutionRecord>,
    thinned: Thinned,
}

/// The hours in which something was let go of, by their first microsecond.
type Thinned = Arc<Mutex<BTreeSet<i64>>>;

const HOUR: u64 = 3_600;
const HOUR_US: i64 = 3_600_000_000;

fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(HOUR_US) * HOUR_US
}

async fn open(database: &Database, thinned: &Thinned) -> SqliteStore {
    let store = database.open().await;
    let thinned = Arc::clone(thinned);
    let hook = move |rows: &[StoredExecution]| {
        let hours = rows.iter().map(|row| hour_of(row.record.ended_at()));
        thinned.lock().unwrap().extend(hours);
    };
    store.on_prune(hook).unwrap();
    store
}

async fn prune(store: &SqliteStore, rule: PruneRule) {
    let max_rows = 30;
    while store.prune(PruneSlice::new(rule, max_rows)).await.unwrap() > 0 {}
}

async fn play(database: &Database, steps: Vec<Step>) -> Played {
    let session = kit::session();
    let thinned = Thinned::default();
    let mut store = open(database, &thinned).await;
    let mut written = Vec::new();
    for step in steps {
        match step {
            Step::Write(records) => {
                let records: Vec<_> = records.into_iter().map(record).collect();
                for listener in 0..LISTENERS / 2 {
                    let listener = kit::listener(&format!("l{listener}"));
                    store.register(listener).await.unwrap();
                }
                persist(&store, &session, records.clone()).await.unwrap();
                written.extend(records);
            }
            Step::Reopen => {
                drop(store);
                store = open(database, &thinned).await;
            }
            Step::Prune(second) => prune(&store, PruneRule::WentWellBefore(at(second))).await,
            Step::Keep(count) => prune(&store, PruneRule::AllButNewest(count)).await,
            Step::Delete(listener) => {
                let outside = database.outside();
                outside.busy_timeout(Duration::from_secs(10)).unwrap();
                let name = format!("l{listener}");
                outside
                    .execute("DELETE FROM listeners WHERE name = ?1", [name])
                    .unwrap();
            }
        }
    }
    Played {
        store,
        written,
        thinned,
    }
}

impl Played {
    /// What the history says was pruned.
    async fn prunes(&self, database: &Database) -> Vec<StoredPrune> {
        let history = database.history();
        let prunes = history.prunes(Window::default(), PageRequest::first(1_000));
        prunes.await.unwrap().items
    }
}

/// The edges of a window as they must be taken: those in an hour of which rows are gone, as the whole hour, unless all that
/// is gone ended before the window.
fn widened(window: &Window, begin: Timestamp, thinned: &Thinned, prunes: &[StoredPrune]) -> Window {
    let thinned = thinned.lock().unwrap();
    let edge = |at: Timestamp, whole: i64| {
        let hour = hour_of(at);
        let end = Timestamp::from_micros(hour + HOUR_US);
        let mut prunes = prunes.iter();
        let is_within = prunes.any(|it| it.last_at >= begin && it.first_at < end);
        let is_inside = hour != at.as_micros() && thinned.contains(&hour) && is_within;
        if is_inside {
            Timestamp::from_micros(hour + whole)
        } else {
            at
        }
    };
    Window {
        from: window.from.map(|at| edge(at, 0)),
        to: window.to.map(|at| edge(at, HOUR_US)),
        session: None,
    }
}

/// What the figures must be, from the records themselves.
fn check(stats: &Stats, records: &[&ExecutionRecord]) -> Result<(), TestCaseError> {
    let mut by_status = [0; Status::ALL.len()];
    for record in records {
        by_status[usize::from(record.status.code())] += 1;
    }
    prop_assert_eq!(stats.by_status, by_status);
    let ran = records
        .iter()
        .filter(|record| !matches!(record.status, Status::Skipped | Status::Interrupted));
    let mut durations: Vec<u64> = ran
        .map(|record| record.duration.as_micros() as u64)
        .collect();
    durations.sort_unstable();
    let Some(longest) = durations.last() else {
        prop_assert_eq!(stats.max, Duration::ZERO);
        return Ok(());
    };
    prop_assert_eq!(stats.max.as_micros() as u64, *longest);
    let average = durations.iter().sum::<u64>() / durations.len() as u64;
    prop_assert_eq!(stats.average.as_micros() as u64, average);
    for (found, share) in [(stats.p50, 50), (stats.p95, 95), (stats.p99, 99)] {
        let rank = (durations.len() * share).div_ceil(100).max(1);
        let exact = durations[rank - 1] as f64;
        prop_assert!(found <= stats.max, "{found:?} was never seen");
        let error = (found.as_micros() as f64 - exact).abs();
        prop_assert!(
            error <= exact * RELATIVE_ERROR * 1.000_001 + 1.0,
            "{found:?} {exact}"
        );
    }
    Ok(())
}

fn at(second: u64) -> Timestamp {
    kit::session()
        .started_at
        .saturating_add(Duration::from_secs(second))
}

fn between(from: u64, to: u64) -> Window {
    Window {
        from: Some(at(from)),
        to: Some(at(to)),
        session: None,
    }
}

fn name_of(record: &ExecutionRecord) -> String {
    record.subject.entity.name.clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn d09_rollups_and_rows_say_the_same_of_every_window(
        steps in steps(), from in 0_u64..260_000, length in 1_u64..260_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = Database::new();
            let played = play(&database, steps).await;
            let prunes = played.prunes(&database).await;
            let Played { written, thinned, store: _store } = played;
            let some = between(from, from + length);
            let hours = between(from / HOUR * HOUR, (from + length).div_ceil(HOUR) * HOUR);
            for window in [Window::default(), Window::since(at(from)), some, hours] {
                let begin = window.from.unwrap_or(Timestamp::from_micros(i64::MIN));
                let wide = widened(&window, begin, &thinned, &prunes);
                let is_inside = |record: &&ExecutionRecord| {
                    wide.from.is_none_or(|from| record.ended_at() >= from)
                        && wide.to.is_none_or(|to| record.ended_at() < to)
                };
                let inside: Vec<_> = written.iter().filter(is_inside).collect();
                check(&database.history().overall(window.clone()).await.unwrap(), &inside)?;
                let mut of_each: BTreeMap<String, Vec<&ExecutionRecord>> = BTreeMap::new();
                for record in inside {
                    of_each.entry(name_of(record)).or_default().push(record);
                }
                let summaries = database.history().summaries(window).await.unwrap();
                prop_assert_eq!(summaries.len(), of_each.len());
                for summary in summaries {
                    check(&summary.stats, &of_each[&summary.entity.name])?;
                }
            }
            Ok(())
        })?;
    }
}

/// The bounds of periods as they must be taken: an hour of which rows are gone belongs to where it begins.
fn moved(bounds: &[Timestamp], thinned: &Thinned, prunes: &[StoredPrune]) -> Vec<Timestamp> {
    let first = widened(&Window::since(bounds[0]), bounds[0], thinned, prunes).from;
    let rest = bounds[1..].iter().map(|at| {
        let until = Window {
            to: Some(*at),
            ..Window::default()
        };
        widened(&until, bounds[0], thinned, prunes).to
    });
    [first].into_iter().chain(rest).flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn g01_a_series_counts_every_execution_once(
        steps in steps(), bounds in prop::collection::btree_set(0_u64..260_000, 2..8), listener in 0..LISTENERS,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = Database::new();
            let played = play(&database, steps).await;
            let prunes = played.prunes(&database).await;
            let Played { written, thinned, store } = played;
            let bounds: Vec<_> = bounds.into_iter().map(at).collect();
            let moved = moved(&bounds, &thinned, &prunes);
            let name = format!("l{listener}");
            let row = store.register(kit::listener(&name)).await.unwrap();
            let of_one = Scope::Registration(RegistrationId::listener(row));
            for (scope, name) in [(Scope::All, None), (Scope::App("lights".into()), None), (of_one, Some(name))] {
                let series = database.history().series(scope, bounds.clone()).await.unwrap();
                prop_assert_eq!(series.len(), bounds.len() - 1);
                for (stats, ends) in series.iter().zip(moved.windows(2)) {
                    let its = written.iter().filter(|record| {
                        (ends[0]..ends[1]).contains(&record.ended_at())
                            && name.as_ref().is_none_or(|name| *name == name_of(record))
                    });
                    check(stats, &its.collect::<Vec<_>>())?;
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn d09_an_hour_whose_rows_are_partly_gone_is_taken_as_a_whole_and_no_other() {
    let database = Database::new();
    let store = database.open().await;
    // From the second hour to the fourth, one in five minutes, every other one failed.
    let seconds = (HOUR..4 * HOUR).step_by(300);
    let records: Vec<_> = seconds
        .map(|at| record((0, at, 1, (at / 300 % 2) as u8)))
        .collect();
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    // The successes of the second hour and of the third go.
    prune(&store, PruneRule::WentWellBefore(at(3 * HOUR))).await;
    assert_eq!(database.number("SELECT count(*) FROM executions"), 24);
    let count = async |from: u64, to: u64| {
        let reader = database.history();
        reader.overall(between(from, to)).await.unwrap().runs()
    };
    assert_eq!(count(HOUR, 3 * HOUR).await, 24, "whole hours");
    assert_eq!(
        count(HOUR + 600, 2 * HOUR + 600).await,
        24,
        "both as wholes"
    );
    assert_eq!(
        count(3 * HOUR + 600, 4 * HOUR).await,
        10,
        "nothing is gone of the last"
    );
    assert_eq!(
        count(2 * HOUR + 600, 3 * HOUR + 600).await,
        14,
        "one as a whole"
    );
    // What is gone of the third hour ended at ten to the fourth.
    assert_eq!(
        count(3 * HOUR - 300, 3 * HOUR).await,
        1,
        "behind what is gone nothing is"
    );
    // Before all rows nothing was, gone or not, and nothing is in no time.
    assert_eq!(count(60, 1_800).await, 0);
    assert_eq!(count(HOUR + 600, HOUR + 600).await, 0);
    assert_eq!(count(HOUR + 600, HOUR + 300).await, 0);
    assert_eq!(count(0, HOUR).await, 0);
}

#[tokio::test]
async fn d09_the_last_error_is_the_latest_one_wherever_it_is_kept() {
    let database = Database::new();
    let early = record((0, 100, 1, 1));
    let late = record((0, 90_000, 1, 4));
    let store = database.open().await;
    persist(&store, &kit::session(), vec![late]).await.unwrap();
    drop(store);
    let store = database.open().await;
    persist(&store, &kit::session(), vec![early]).await.unwrap();
    let found = database.history().overall(Window::default()).await.unwrap();
    assert_eq!(found.last_error.as_deref(), Some("TimeoutError: at 90000"));
    assert_eq!(found.runs(), 2);
    // Over all of them it is the latest of theirs, whoever is looked at last.
    let others = vec![record((1, 95_000, 1, 1)), record((2, 80_000, 1, 1))];
    persist(&store, &kit::session(), others).await.unwrap();
    let found = database.history().overall(Window::default()).await.unwrap();
    assert_eq!(found.last_error.as_deref(), Some("TimeoutError: at 95000"));
}
