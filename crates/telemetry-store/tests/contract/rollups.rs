//! Clause D9 over time: the rollups say what the rows said, exactly in counts and within the stated error
//! in percentiles, whatever was written when, and also when the rows are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{Housekeeping, PruneRule, PruneSlice, RegistrationStore};
use executor_core::{ExecutionRecord, Failure, Status, Subject, Timestamp};
use executor_testkit as kit;
use proptest::prelude::*;
use telemetry_store::{Figures, RELATIVE_ERROR, SqliteStore, Window};

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
}

const LISTENERS: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Three days, so that there are whole hours and days and edges; late rows come by themselves.
    let record = (0..LISTENERS, 0_u64..260_000, 0_u64..5_000_000, 0_u8..7);
    let step = prop_oneof![
        5 => proptest::collection::vec(record, 1..40).prop_map(Step::Write),
        2 => Just(Step::Reopen),
        1 => (0..LISTENERS).prop_map(Step::Delete),
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

async fn play(database: &Database, steps: Vec<Step>) -> (SqliteStore, Vec<ExecutionRecord>) {
    let session = kit::session();
    let mut store = database.open().await;
    let mut written = Vec::new();
    for step in steps {
        match step {
            Step::Write(records) => {
                let records: Vec<_> = records.into_iter().map(record).collect();
                for listener in 0..LISTENERS / 2 {
                    let listener = kit::listener(&format!("l{listener}"));
                    store.register_listener(listener).await.unwrap();
                }
                persist(&store, &session, records.clone()).await.unwrap();
                written.extend(records);
            }
            Step::Reopen => {
                drop(store);
                store = database.open().await;
            }
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
    (store, written)
}

/// What the figures must be, from the records themselves.
fn check(figures: &Figures, records: &[&ExecutionRecord]) -> Result<(), TestCaseError> {
    let mut by_status = [0; Status::ALL.len()];
    for record in records {
        by_status[usize::from(record.status.code())] += 1;
    }
    prop_assert_eq!(figures.by_status, by_status);
    let ran = records
        .iter()
        .filter(|record| record.status != Status::Skipped);
    let mut durations: Vec<u64> = ran
        .map(|record| record.duration.as_micros() as u64)
        .collect();
    durations.sort_unstable();
    let Some(longest) = durations.last() else {
        prop_assert_eq!(figures.max, Duration::ZERO);
        return Ok(());
    };
    prop_assert_eq!(figures.max.as_micros() as u64, *longest);
    let average = durations.iter().sum::<u64>() / durations.len() as u64;
    prop_assert_eq!(figures.average.as_micros() as u64, average);
    for (found, share) in [(figures.p50, 50), (figures.p95, 95), (figures.p99, 99)] {
        let rank = (durations.len() * share).div_ceil(100).max(1);
        let exact = durations[rank - 1] as f64;
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

fn name_of(record: &ExecutionRecord) -> String {
    match &record.subject {
        Subject::Listener { key, .. } => key.name.clone(),
        Subject::Job { key, .. } => key.name.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn d09_rollups_and_rows_say_the_same_of_every_window(
        steps in steps(), from in 0_u64..260_000, length in 0_u64..260_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = Database::new();
            let (_store, written) = play(&database, steps).await;
            let some = Window { from: Some(at(from)), to: Some(at(from + length)), session: None };
            for window in [Window::default(), Window::since(at(from)), some] {
                let is_inside = |record: &&ExecutionRecord| {
                    window.from.is_none_or(|from| record.ended_at() >= from)
                        && window.to.is_none_or(|to| record.ended_at() < to)
                };
                let inside: Vec<_> = written.iter().filter(is_inside).collect();
                check(&database.reader().overall(window.clone()).await.unwrap(), &inside)?;
                let mut of_each: BTreeMap<String, Vec<&ExecutionRecord>> = BTreeMap::new();
                for record in inside {
                    of_each.entry(name_of(record)).or_default().push(record);
                }
                let summaries = database.reader().summaries(window).await.unwrap();
                prop_assert_eq!(summaries.len(), of_each.len());
                for summary in summaries {
                    check(&summary.figures, &of_each[&summary.name])?;
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn d09_an_hour_whose_rows_are_partly_gone_is_taken_as_a_whole_and_no_other() {
    const HOUR: u64 = 3_600;
    let database = Database::new();
    let (store, _) = play(&database, vec![]).await;
    // From the second hour to the fourth, one in five minutes, every other one failed.
    let seconds = (HOUR..4 * HOUR).step_by(300);
    let records: Vec<_> = seconds
        .map(|at| record((0, at, 1, (at / 300 % 2) as u8)))
        .collect();
    persist(&store, &kit::session(), records.clone())
        .await
        .unwrap();
    // The successes of the second hour and of the third go.
    let slice = PruneSlice {
        rule: PruneRule::WentWellBefore(at(3 * HOUR)),
        max_rows: 1_000,
    };
    assert_eq!(store.prune(slice).await.unwrap(), 12);
    let count = async |from: u64, to: u64| {
        let (from, to) = (Some(at(from)), Some(at(to)));
        let window = Window {
            from,
            to,
            session: None,
        };
        database.reader().overall(window).await.unwrap().runs()
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
    // Before all rows nothing was, gone or not.
    assert_eq!(count(60, 1_800).await, 0);
    assert_eq!(count(0, HOUR).await, 0);
}

#[tokio::test]
async fn d09_the_last_error_is_the_latest_one_wherever_it_is_kept() {
    let database = Database::new();
    let early = record((0, 100, 1, 1));
    let late = record((0, 90_000, 1, 4));
    let (store, _) = play(&database, vec![]).await;
    persist(&store, &kit::session(), vec![late]).await.unwrap();
    drop(store);
    let store = database.open().await;
    persist(&store, &kit::session(), vec![early]).await.unwrap();
    let found = database.reader().overall(Window::default()).await.unwrap();
    assert_eq!(found.last_error.as_deref(), Some("TimeoutError: at 90000"));
    assert_eq!(found.runs(), 2);
    // Over all of them it is the latest of theirs, whoever is looked at last.
    let others = vec![record((1, 95_000, 1, 1)), record((2, 80_000, 1, 1))];
    persist(&store, &kit::session(), others).await.unwrap();
    let found = database.reader().overall(Window::default()).await.unwrap();
    assert_eq!(found.last_error.as_deref(), Some("TimeoutError: at 95000"));
}
