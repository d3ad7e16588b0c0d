//! Checks that every filter finds the executions that it describes, and no others.

use std::time::Duration;

use executor_core::ports::{Filter, History, Order, Scope};
use executor_core::{EntityKind, ExecutionId, SourceTier, Status};

use super::found::all;
use super::given::{COUNT, Given, is_long, status_of};
use crate::samples;

/// A filter and the executions that it must find.
type Case = (Filter, Vec<ExecutionId>);

const FAILED: [Status; 2] = [Status::Error, Status::TimedOut];

pub(super) async fn every_filter_finds_what_it_says<H: History>(history: &H, given: &Given) {
    let cases = by_scope(given)
        .into_iter()
        .chain(by_status(given))
        .chain(by_kind(given))
        .chain(by_session(given))
        .chain(by_source_tier(given))
        .chain(by_time(given))
        .chain(by_duration(given))
        .chain(by_error(given))
        .chain(by_line(given));
    for (filter, mut expected) in cases {
        expected.sort_unstable();
        for order in [Order::LatestFirst, Order::OldestFirst] {
            let mut found = all(history, &filter, order, 7).await;
            found.sort_unstable();
            assert_eq!(found, expected, "{filter:?}");
        }
    }
}

fn of(scope: Scope) -> Filter {
    Filter {
        scope,
        ..Filter::default()
    }
}

fn by_scope(given: &Given) -> Vec<Case> {
    vec![
        (Filter::default(), given.ids_where(|_| true)),
        (
            of(Scope::Registration(given.hall)),
            given.ids_where(|n| n % 3 == 0),
        ),
        (
            of(Scope::Registration(given.dim)),
            given.ids_where(|n| n % 3 == 2),
        ),
        (of(Scope::App("lights".into())), given.ids_where(|_| true)),
        (of(Scope::App("nobody's".into())), Vec::new()),
        (
            of(Scope::Session(given.sessions[1].id)),
            given.ids_where(|n| n >= COUNT / 2),
        ),
        (of(Scope::Session(samples::session().id)), Vec::new()),
    ]
}

fn by_status(given: &Given) -> Vec<Case> {
    let with = |statuses: &[Status], scope| Filter {
        statuses: statuses.to_vec(),
        ..of(scope)
    };
    let fine = [Status::Success, Status::Skipped];
    vec![
        (
            with(&FAILED, Scope::All),
            given.ids_where(|n| FAILED.contains(&status_of(n))),
        ),
        (
            with(&fine, Scope::App("lights".into())),
            given.ids_where(|n| fine.contains(&status_of(n))),
        ),
        (with(&Status::ALL, Scope::All), given.ids_where(|_| true)),
    ]
}

fn by_kind(given: &Given) -> Vec<Case> {
    let jobs = |scope| Filter {
        kind: Some(EntityKind::Job),
        ..of(scope)
    };
    vec![
        (jobs(Scope::All), given.ids_where(|n| n % 3 == 2)),
        (
            jobs(Scope::Session(given.sessions[1].id)),
            given.ids_where(|n| n % 3 == 2 && n >= COUNT / 2),
        ),
    ]
}

fn by_session(given: &Given) -> Vec<Case> {
    let during = |session, scope| Filter {
        session: Some(session),
        ..of(scope)
    };
    vec![
        (
            during(given.sessions[0].id, Scope::Registration(given.dim)),
            given.ids_where(|n| n % 3 == 2 && n < COUNT / 2),
        ),
        (during(samples::session().id, Scope::All), Vec::new()),
    ]
}

fn by_source_tier(given: &Given) -> Vec<Case> {
    let from = |tier, scope| Filter {
        source_tier: Some(tier),
        ..of(scope)
    };
    vec![
        (
            from(SourceTier::Framework, Scope::All),
            given.ids_where(|n| n % 5 == 0),
        ),
        (
            from(SourceTier::App, Scope::Registration(given.dim)),
            given.ids_where(|n| n % 5 != 0 && n % 3 == 2),
        ),
    ]
}

fn by_time(given: &Given) -> Vec<Case> {
    let at = |place: u64| given.records[place as usize].ended_at();
    let between = Filter {
        from: Some(at(10)),
        to: Some(at(20)),
        ..Filter::default()
    };
    let expected = given.ids_where(|n| at(n) >= at(10) && at(n) < at(20));
    vec![(between, expected)]
}

fn by_duration(given: &Given) -> Vec<Case> {
    let at_least = |millis, scope| Filter {
        min_duration: Some(Duration::from_millis(millis)),
        ..of(scope)
    };
    vec![
        (at_least(6, Scope::All), given.ids_where(is_long)),
        (
            at_least(2_005, Scope::Session(given.sessions[0].id)),
            given.ids_where(|n| is_long(n) && n < COUNT / 2),
        ),
    ]
}

fn by_error(given: &Given) -> Vec<Case> {
    let saying = |text: &str, statuses: &[Status]| Filter {
        error_text: Some(text.into()),
        statuses: statuses.to_vec(),
        ..Filter::default()
    };
    vec![
        (
            saying("PART 2", &[]),
            given.ids_where(|n| status_of(n) != Status::Success && (n == 2 || n / 10 == 2)),
        ),
        (
            saying("error3", &FAILED),
            given.ids_where(|n| n % 4 == 3 && FAILED.contains(&status_of(n))),
        ),
        (saying("%", &[]), Vec::new()),
    ]
}

fn by_line(given: &Given) -> Vec<Case> {
    let said = |text: &str| Filter {
        line_text: Some(text.into()),
        ..Filter::default()
    };
    vec![
        (said("LINE 1"), given.ids_where(|n| n == 11)),
        (said("broken"), given.ids_where(|n| n % 11 == 0)),
        // Neither a target nor a time is a line's text.
        (said("a::b"), Vec::new()),
        (said("15"), Vec::new()),
    ]
}
