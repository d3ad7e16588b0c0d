//! The conformance suite for histories: each must read back what its store was given.

use std::sync::Arc;
use std::time::Duration;

use executor_core::lines::Lines;
use executor_core::ports::{
    Filter, History, HistoryErrorClass, Order, PageRequest, PageToken, Scope, Session, Stats,
    Store, Window,
};
use executor_core::record::RecordFlags;
use executor_core::{
    EntityKind, ExecutionId, ExecutionRecord, Failure, RegistrationId, SourceTier, Status,
    TimeoutOrigin, Timestamp,
};

use super::{persist, samples};

mod found;
mod kept;
mod old;
mod planned;
mod series;
mod sources;

use found::{all, overlaps_are_found, texts_find_the_executions_that_they_may_mean};
use kept::{
    gaps_are_read_back_by_window, prunes_are_told_and_counted,
    registrations_are_read_back_as_they_were_made_last, sessions_are_read_back_with_their_ledgers,
};
use old::old_history_goes_and_nothing_else;
use planned::{
    a_run_behind_many_others_counts, missed_runs_and_pauses_are_read_back,
    what_was_in_force_before_is_known,
};
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
    every_filter_finds_what_it_says(&history, &given).await;
    pages_lose_nothing_in_either_order(&history, &given).await;
    a_token_of_somebody_else_is_refused(&history).await;
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
    sources_of_events_are_read_back(&store, &history).await;
    let (store, history) = fresh().await;
    old_history_goes_and_nothing_else(&store, &history).await;
    let (store, history) = fresh().await;
    texts_find_the_executions_that_they_may_mean(&store, &history).await;
    let (store, history) = fresh().await;
    what_was_in_force_before_is_known(&store, &history).await;
    let (store, history) = fresh().await;
    namesakes_are_told_apart(&store, &history).await;
    let (store, _history) = fresh().await;
    a_run_behind_many_others_counts(&store).await;
}

/// The data that a store was given: executions in the order of their ends, some at the same instant.
struct Given {
    sessions: [Arc<Session>; 2],
    hall: RegistrationId,
    dim: RegistrationId,
    records: Vec<ExecutionRecord>,
}

const COUNT: u64 = 60;

impl Given {
    async fn to<S: Store>(store: &S) -> Self {
        let (hall, dim) = (samples::listener("hall"), samples::job("dim"));
        let hall_row = store.register(hall.clone()).await.expect("registers");
        let dim_row = store.register(dim.clone()).await.expect("registers");
        let gone = samples::listener("gone");
        let sessions = [samples::session(), samples::session()];
        let mut records = Vec::new();
        for number in 0..COUNT {
            // Three end at each instant.
            let at = number / 3 * 100;
            let record = match number % 3 {
                0 => samples::record(&hall, Some(hall_row), at),
                1 => samples::record(&gone, None, at),
                _ => samples::record(&dim, Some(dim_row), at),
            };
            records.push(varied(record, number));
        }
        let (first, second) = records.split_at(COUNT as usize / 2);
        persist(store, &sessions[0], first.to_vec()).await;
        persist(store, &sessions[1], second.to_vec()).await;
        Self {
            sessions,
            hall: RegistrationId::listener(hall_row),
            dim: RegistrationId::job(dim_row),
            records,
        }
    }

    fn scopes(&self) -> Vec<Scope> {
        let app_key = &self.records[0].subject.entity.app_key;
        vec![
            Scope::All,
            Scope::Session(self.sessions[1].id),
            Scope::App(app_key.clone()),
            Scope::App("nobody".into()),
            Scope::Registration(self.hall),
            Scope::Registration(self.dim),
        ]
    }

    fn where_(&self, is_one: impl Fn(u64) -> bool) -> Vec<ExecutionId> {
        let numbered = (0..COUNT).zip(&self.records);
        let found = numbered.filter(|(number, _)| is_one(*number));
        found.map(|(_, record)| record.execution_id).collect()
    }
}

/// Varies a record, so that all its fields are used. Each record takes 5 ms, except every seventh.
fn varied(mut record: ExecutionRecord, number: u64) -> ExecutionRecord {
    let statuses = Status::ALL.len() as u64;
    record.status = Status::ALL[(number % statuses) as usize];
    if record.status != Status::Success {
        record.failure = Some(Arc::new(Failure {
            error_type: format!("Error{}", number % 4),
            message: format!("it broke: Part {number}"),
            report: number.is_multiple_of(2).then(|| "all of it".into()),
        }));
    }
    if number.is_multiple_of(5) {
        record.source_tier = SourceTier::Framework;
    }
    if is_long(number) {
        record.duration = Duration::from_millis(2_005);
        record.started_at = Timestamp::from_micros(record.started_at.as_micros() - 2_000_000);
    }
    record.flags = RecordFlags {
        is_di_failure: number.is_multiple_of(2),
        thread_leaked: number.is_multiple_of(3),
        overran: number.is_multiple_of(4),
        timeout_origin: (record.status == Status::TimedOut).then_some(TimeoutOrigin::Handler),
        blocked: number
            .is_multiple_of(6)
            .then(|| Duration::from_millis(number)),
    };
    record.topic = number
        .is_multiple_of(9)
        .then(|| format!("motion.{}", number % 2).into());
    record.due_at = number
        .is_multiple_of(4)
        .then(|| Timestamp::from_micros(number as i64));
    record.exit_code = number.is_multiple_of(3).then_some(-(number as i32));
    record.lines = number.is_multiple_of(11).then(|| {
        let body = format!("12 o [] line {number}\n15 E [a::b] broken\n");
        Lines::from_parts(2, number + 2, 900, number.is_multiple_of(2), body).into()
    });
    record.arguments_json = number
        .is_multiple_of(8)
        .then(|| format!("[{number}]").into());
    record
}

const fn is_long(number: u64) -> bool {
    number.is_multiple_of(7)
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

async fn every_filter_finds_what_it_says<H: History>(history: &H, given: &Given) {
    let of = |scope| Filter {
        scope,
        ..Filter::default()
    };
    let said = |text: &str| Filter {
        line_text: Some(text.into()),
        ..Filter::default()
    };
    let status_of = |number: u64| Status::ALL[(number % Status::ALL.len() as u64) as usize];
    let (failed, at) = ([Status::Error, Status::TimedOut], |place: u64| {
        given.records[place as usize].ended_at()
    });
    let cases: Vec<(Filter, Vec<ExecutionId>)> = vec![
        (Filter::default(), given.where_(|_| true)),
        (
            of(Scope::Registration(given.hall)),
            given.where_(|n| n % 3 == 0),
        ),
        (
            of(Scope::Registration(given.dim)),
            given.where_(|n| n % 3 == 2),
        ),
        (of(Scope::App("lights".into())), given.where_(|_| true)),
        (of(Scope::App("nobody's".into())), Vec::new()),
        (
            of(Scope::Session(given.sessions[1].id)),
            given.where_(|n| n >= COUNT / 2),
        ),
        (of(Scope::Session(samples::session().id)), Vec::new()),
        (
            Filter {
                statuses: failed.to_vec(),
                ..Filter::default()
            },
            given.where_(|n| failed.contains(&status_of(n))),
        ),
        (
            Filter {
                statuses: vec![Status::Success, Status::Skipped],
                ..of(Scope::App("lights".into()))
            },
            given.where_(|n| matches!(status_of(n), Status::Success | Status::Skipped)),
        ),
        (
            Filter {
                statuses: Status::ALL.to_vec(),
                ..Filter::default()
            },
            given.where_(|_| true),
        ),
        (
            Filter {
                kind: Some(EntityKind::Job),
                ..Filter::default()
            },
            given.where_(|n| n % 3 == 2),
        ),
        (
            Filter {
                kind: Some(EntityKind::Job),
                ..of(Scope::Session(given.sessions[1].id))
            },
            given.where_(|n| n % 3 == 2 && n >= COUNT / 2),
        ),
        (
            Filter {
                session: Some(given.sessions[0].id),
                ..of(Scope::Registration(given.dim))
            },
            given.where_(|n| n % 3 == 2 && n < COUNT / 2),
        ),
        (
            Filter {
                session: Some(samples::session().id),
                ..Filter::default()
            },
            Vec::new(),
        ),
        (
            Filter {
                source_tier: Some(SourceTier::Framework),
                ..Filter::default()
            },
            given.where_(|n| n % 5 == 0),
        ),
        (
            Filter {
                source_tier: Some(SourceTier::App),
                ..of(Scope::Registration(given.dim))
            },
            given.where_(|n| n % 5 != 0 && n % 3 == 2),
        ),
        (
            Filter {
                from: Some(at(10)),
                to: Some(at(20)),
                ..Filter::default()
            },
            given.where_(|n| at(n) >= at(10) && at(n) < at(20)),
        ),
        (
            Filter {
                min_duration: Some(Duration::from_millis(6)),
                ..Filter::default()
            },
            given.where_(is_long),
        ),
        (
            Filter {
                min_duration: Some(Duration::from_millis(2_005)),
                ..of(Scope::Session(given.sessions[0].id))
            },
            given.where_(|n| is_long(n) && n < COUNT / 2),
        ),
        (
            Filter {
                error_text: Some("PART 2".into()),
                ..Filter::default()
            },
            given.where_(|n| status_of(n) != Status::Success && (n == 2 || n / 10 == 2)),
        ),
        (
            Filter {
                error_text: Some("error3".into()),
                statuses: failed.to_vec(),
                ..Filter::default()
            },
            given.where_(|n| n % 4 == 3 && failed.contains(&status_of(n))),
        ),
        (
            Filter {
                error_text: Some("%".into()),
                ..Filter::default()
            },
            Vec::new(),
        ),
        (said("LINE 1"), given.where_(|n| n == 11)),
        (said("broken"), given.where_(|n| n % 11 == 0)),
        // Neither a target nor a time is a line's text.
        (said("a::b"), Vec::new()),
        (said("15"), Vec::new()),
    ];
    for (filter, mut expected) in cases {
        expected.sort_unstable();
        for order in [Order::LatestFirst, Order::OldestFirst] {
            let mut found = all(history, &filter, order, 7).await;
            found.sort_unstable();
            assert_eq!(found, expected, "{filter:?}");
        }
    }
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
    let overall = history.overall(Window::default()).await.expect("answers");
    check(&overall, &given.records.iter().collect::<Vec<_>>());
    let summaries = history.summaries(Window::default()).await;
    let summaries = summaries.expect("answers");
    let names: Vec<_> = summaries.iter().map(|it| &*it.entity.name).collect();
    assert_eq!(names, ["gone", "hall", "dim"], "by kind, then by name");
    for summary in &summaries {
        let its = given.records.iter();
        let its = its.filter(|record| *record.subject.entity == summary.entity);
        check(&summary.stats, &its.collect::<Vec<_>>());
    }
    let of_second = Window::of_session(given.sessions[1].id);
    let stats = history.overall(of_second).await.expect("answers");
    check(&stats, &given.records[30..].iter().collect::<Vec<_>>());
    let from = given.records[15].ended_at();
    let stats = history.overall(Window::since(from)).await.expect("answers");
    let since = given
        .records
        .iter()
        .filter(|record| record.ended_at() >= from);
    check(&stats, &since.collect::<Vec<_>>());
}

fn check(stats: &Stats, records: &[&ExecutionRecord]) {
    assert_eq!(stats.runs(), records.len() as u64);
    for status in Status::ALL {
        let its = records.iter().filter(|record| record.status == status);
        assert_eq!(stats.count(status), its.count() as u64, "{status:?}");
    }
    let ran = |record: &&&ExecutionRecord| {
        !matches!(record.status, Status::Skipped | Status::Interrupted)
    };
    let durations = records.iter().filter(ran).map(|record| record.duration);
    let mut durations: Vec<Duration> = durations.collect();
    durations.sort_unstable();
    let longest = durations.last().copied().unwrap_or_default();
    assert_eq!(stats.max, longest);
    let half = durations[durations.len().div_ceil(2) - 1];
    assert!(
        stats.p50.abs_diff(half) <= half / 50,
        "{:?} {half:?}",
        stats.p50
    );
    let failed =
        |record: &&&ExecutionRecord| record.failure.is_some() && record.status != Status::Skipped;
    let last = records
        .iter()
        .filter(failed)
        .map(|record| record.ended_at())
        .max();
    let at_last = records.iter().filter(failed);
    let at_last = at_last.filter(|record| Some(record.ended_at()) == last);
    let mut texts = at_last.filter_map(|record| {
        let failure = record.failure.as_deref()?;
        Some(format!("{}: {}", failure.error_type, failure.message))
    });
    assert!(
        texts.any(|text| stats.last_error == Some(text)),
        "{:?}",
        stats.last_error
    );
}
