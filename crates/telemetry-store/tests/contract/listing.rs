//! Clause D9 for what is not an execution: sessions, episodes of loss, registrations.

use std::sync::Arc;

use executor_core::ports::{
    Gap, History, Housekeeping, PageRequest, RegistrationFilter, RegistrationState,
    RegistrationStore, SessionEnd, SessionStatus, SessionStore, Window,
};
use executor_core::registration::{JobDetails, Overlap, ScheduleText};
use executor_core::{
    DropReason, Durability, EntityKind, Failure, Ledger, RegistrationId, SessionId, Timestamp,
};
use executor_testkit as kit;

use crate::support::{Database, persist};

fn two() -> PageRequest {
    PageRequest::first(2)
}

#[tokio::test]
async fn d09_sessions_are_listed_with_their_ledgers_the_latest_first() {
    let database = Database::new();
    let store = database.open().await;
    let mut sessions = Vec::new();
    for number in 0..3 {
        let mut session = (*kit::session()).clone();
        session.started_at = Timestamp::from_micros(1_767_225_600_000_000 + number);
        session.id = SessionId::new(session.started_at);
        store.open_session(session.clone().into()).await.unwrap();
        sessions.push(session);
    }
    let mut ledger = Ledger {
        offered: 7,
        stored: 4,
        durability: Some(Durability::Process),
        ..Ledger::default()
    };
    ledger.add_dropped(DropReason::Damaged, 3);
    let end = SessionEnd {
        at: Timestamp::from_micros(1_767_225_700_000_000),
        status: SessionStatus::Failure,
        failure: Some(Failure {
            report: None,
            ..Failure::deadline()
        }),
        ledger,
    };
    store
        .close_session(sessions[2].id, end.clone())
        .await
        .unwrap();

    let reader = database.history();
    let first = reader.sessions(two()).await.unwrap();
    let next = two().following(first.next.clone().unwrap());
    let second = reader.sessions(next).await.unwrap();
    assert_eq!(second.next, None);
    let listed: Vec<_> = first.items.iter().chain(&second.items).collect();
    let names: Vec<_> = listed.iter().map(|it| it.session.clone()).collect();
    sessions.reverse();
    assert_eq!(names, sessions);
    let (ended, open) = (listed[0], listed[1]);
    assert_eq!(
        (ended.status, open.status),
        (SessionStatus::Failure, SessionStatus::Running)
    );
    assert_eq!((ended.stopped_at, open.stopped_at), (Some(end.at), None));
    assert_eq!((&ended.failure, &ended.ledger), (&end.failure, &ledger));
}

#[tokio::test]
async fn d09_gaps_are_listed_with_what_they_are_about_of_all_sessions_or_of_one() {
    let database = Database::new();
    let store = database.open().await;
    let session = kit::session();
    persist(&store, &session, vec![]).await.unwrap();
    let records = [
        kit::record(&kit::listener("hall"), None, 0),
        kit::record(&kit::job("nightly"), None, 0),
    ];
    let gap = |number: i64, reason| Gap {
        session: session.id,
        reason,
        count: 5,
        first_at: Timestamp::from_micros(number),
        last_at: Timestamp::from_micros(number + 1),
        entities: records
            .iter()
            .map(|record| (Arc::clone(&record.subject.entity), 2))
            .collect(),
    };
    let gaps = [
        gap(1, DropReason::Overflow.into()),
        gap(2, DropReason::Shutdown.into()),
    ];
    store.record_gaps(gaps.to_vec()).await.unwrap();
    let reader = database.history();
    let [older, newer] = gaps;
    let listed = async |window, page| reader.gaps(window, page).await.unwrap().items;
    let all = listed(Window::default(), PageRequest::default()).await;
    assert_eq!(all, [newer.clone(), older.clone()]);
    let of_one = listed(Window::of_session(session.id), PageRequest::first(1)).await;
    assert_eq!(of_one, all[..1]);
    let other = SessionId::new(Timestamp::from_micros(0));
    assert_eq!(listed(Window::of_session(other), two()).await, []);
    // The older one went on until the newer one began, which is the first moment that is not before it.
    assert_eq!(listed(Window::since(older.last_at), two()).await, all);
    assert_eq!(listed(Window::since(newer.last_at), two()).await, [newer]);
    let before = Window {
        to: Some(older.last_at),
        ..Window::default()
    };
    assert_eq!(listed(before, two()).await, [older]);
}

#[tokio::test]
async fn d09_registrations_are_listed_as_they_were_made_last() {
    let database = Database::new();
    let store = database.open().await;
    let mut hall = kit::listener("hall");
    hall.details.overlap = Some(Overlap::Queued);
    hall.details.overlap_limit = Some(3);
    hall.details.description = Some("motion".into());
    let nightly = kit::job("nightly").with_job(JobDetails {
        schedule: ScheduleText {
            trigger_type: "cron".into(),
            label: Some("at night".into()),
            detail: Some("0 3 * * *".into()),
        },
        group: Some("night".into()),
        ..JobDetails::default()
    });
    let listener = store.register(hall.clone()).await.unwrap();
    let job = store.register(nightly.clone()).await.unwrap();
    let at = Timestamp::from_micros(9);
    store
        .mark_cancelled(RegistrationId::job(job), at)
        .await
        .unwrap();

    let reader = database.history();
    let of_listeners = RegistrationFilter::of(EntityKind::Listener);
    let of_hall = RegistrationFilter {
        app_key: Some(hall.entity.app_key.clone()),
        ..of_listeners.clone()
    };
    let listeners = reader.registrations(of_hall, two()).await.unwrap().items;
    assert_eq!(
        (listeners[0].id, &listeners[0].registration),
        (RegistrationId::listener(listener), &hall)
    );
    assert_eq!(listeners[0].removed_at, None);
    let of_jobs = RegistrationFilter::of(EntityKind::Job);
    let jobs = reader.registrations(of_jobs.clone(), two()).await.unwrap();
    let jobs = jobs.items;
    assert_eq!(
        (jobs[0].id, &jobs[0].registration),
        (RegistrationId::job(job), &nightly)
    );
    assert_eq!(jobs[0].removed_at, Some(at));
    let of_nobody = RegistrationFilter {
        app_key: Some("nobody".into()),
        ..of_jobs
    };
    assert_eq!(
        reader.registrations(of_nobody, two()).await.unwrap().items,
        []
    );
    // Clause D10 holds here too.
    let overlap = "UPDATE listeners SET overlap = 'sometimes'";
    database.outside().execute(overlap, []).unwrap();
    let listed = reader.registrations(of_listeners, two()).await.unwrap();
    assert_eq!(listed.items, []);
    let told = reader.left_out();
    assert!(
        told[0].contains("of listeners has the overlap rule sometimes"),
        "{told:?}"
    );
}

#[tokio::test]
async fn d09_only_live_registrations_are_listed_if_no_others_are_asked_for() {
    let database = Database::new();
    let store = database.open().await;
    let at = Timestamp::from_micros(9);
    for name in ["live", "removed", "retired"] {
        let listener = store.register(kit::listener(name)).await.unwrap();
        let job = store.register(kit::job(name)).await.unwrap();
        if name == "removed" {
            for id in [RegistrationId::listener(listener), RegistrationId::job(job)] {
                store.mark_cancelled(id, at).await.unwrap();
            }
        }
    }
    let retired = "UPDATE listeners SET retired_us = 9 WHERE name = 'retired'; \
                   UPDATE scheduled_jobs SET retired_us = 9 WHERE name = 'retired'";
    database.outside().execute_batch(retired).unwrap();

    let reader = database.history();
    let names = async |state| {
        let mut of_kinds = Vec::new();
        for kind in EntityKind::ALL {
            let filter = RegistrationFilter {
                state,
                ..RegistrationFilter::of(kind)
            };
            let listed = reader.registrations(filter, PageRequest::default()).await;
            let listed = listed.unwrap().items.into_iter();
            let names = listed.map(|it| it.registration.entity.name.clone());
            of_kinds.push(names.collect::<Vec<_>>());
        }
        assert_eq!(of_kinds[0], of_kinds[1], "of both alike");
        of_kinds.remove(0)
    };
    assert_eq!(names(RegistrationState::Live).await, ["live"]);
    assert_eq!(
        names(RegistrationState::Any).await,
        ["retired", "removed", "live"]
    );
}
