//! Clause D9 for what is not an execution: sessions, episodes of loss, registrations.

use executor_core::ports::{
    Gap, Housekeeping, RegistrationId, RegistrationStore, SessionEnd, SessionStatus, SessionStore,
};
use executor_core::registration::{Overlap, ScheduleText};
use executor_core::{DropReason, Durability, Failure, Ledger, SessionId, Timestamp};
use executor_testkit as kit;
use telemetry_store::{PageRequest, Registered, RegistrationState, Window};

use crate::support::{Database, persist};

fn two() -> PageRequest {
    PageRequest {
        limit: 2,
        before: None,
    }
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

    let reader = database.reader();
    let first = reader.sessions(two()).await.unwrap();
    let next = PageRequest {
        before: first.next,
        ..two()
    };
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
        kit::record_of_job(&kit::job("nightly"), None, 0),
    ];
    let gap = |number: i64, reason| Gap {
        session: session.id,
        reason,
        count: 5,
        first_at: Timestamp::from_micros(number),
        last_at: Timestamp::from_micros(number + 1),
        entities: records
            .iter()
            .map(|record| (record.subject.clone(), 2))
            .collect(),
    };
    let gaps = [gap(1, DropReason::Overflow), gap(2, DropReason::Shutdown)];
    store.record_gaps(gaps.to_vec()).await.unwrap();
    let reader = database.reader();
    let [older, newer] = gaps;
    let listed = async |window, page| reader.gaps(window, page).await.unwrap().items;
    let all = listed(Window::default(), PageRequest::default()).await;
    assert_eq!(all, [newer.clone(), older.clone()]);
    let one = PageRequest {
        limit: 1,
        before: None,
    };
    let of_one = listed(Window::of_session(session.id), one).await;
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
    let mut nightly = kit::job("nightly");
    nightly.schedule = ScheduleText {
        trigger_type: "cron".into(),
        label: Some("at night".into()),
        detail: Some("0 3 * * *".into()),
    };
    nightly.group = Some("night".into());
    let listener = store.register_listener(hall.clone()).await.unwrap();
    let job = store.register_job(nightly.clone()).await.unwrap();
    let at = Timestamp::from_micros(9);
    store
        .mark_cancelled(RegistrationId::Job(job), at)
        .await
        .unwrap();

    let reader = database.reader();
    let of_hall = Registered {
        app_key: Some(hall.key.app_key.clone()),
        ..Registered::default()
    };
    let listeners = reader.listeners(of_hall, two()).await.unwrap().items;
    assert_eq!(
        (listeners[0].id, &listeners[0].registration),
        (listener, &hall)
    );
    assert_eq!(listeners[0].removed_at, None);
    let jobs = reader.jobs(Registered::default(), two()).await.unwrap();
    let jobs = jobs.items;
    assert_eq!((jobs[0].id, &jobs[0].registration), (job, &nightly));
    assert_eq!(jobs[0].removed_at, Some(at));
    let of_nobody = Registered {
        app_key: Some("nobody".into()),
        ..Registered::default()
    };
    assert_eq!(reader.jobs(of_nobody, two()).await.unwrap().items, []);
    // Clause D10 holds here too.
    let overlap = "UPDATE listeners SET overlap = 'sometimes'";
    database.outside().execute(overlap, []).unwrap();
    let error = reader
        .listeners(Registered::default(), two())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("of listeners has the overlap rule sometimes"),
        "{error}"
    );
}

#[tokio::test]
async fn d09_only_live_registrations_are_listed_if_no_others_are_asked_for() {
    let database = Database::new();
    let store = database.open().await;
    let at = Timestamp::from_micros(9);
    for name in ["live", "removed", "retired"] {
        let listener = store.register_listener(kit::listener(name)).await.unwrap();
        let job = store.register_job(kit::job(name)).await.unwrap();
        if name == "removed" {
            for id in [RegistrationId::Listener(listener), RegistrationId::Job(job)] {
                store.mark_cancelled(id, at).await.unwrap();
            }
        }
    }
    let retired = "UPDATE listeners SET retired_us = 9 WHERE name = 'retired'; \
                   UPDATE scheduled_jobs SET retired_us = 9 WHERE name = 'retired'";
    database.outside().execute_batch(retired).unwrap();

    let reader = database.reader();
    let names = async |state| {
        let which = Registered {
            app_key: None,
            state,
        };
        let listeners = reader.listeners(which.clone(), PageRequest::default());
        let listeners = listeners.await.unwrap().items.into_iter();
        let jobs = reader
            .jobs(which, PageRequest::default())
            .await
            .unwrap()
            .items;
        let names: (Vec<_>, Vec<_>) = (
            listeners
                .map(|it| it.registration.key.name.clone())
                .collect(),
            jobs.into_iter()
                .map(|it| it.registration.key.name.clone())
                .collect(),
        );
        assert_eq!(names.0, names.1, "of both alike");
        names.0
    };
    assert_eq!(names(RegistrationState::Live).await, ["live"]);
    assert_eq!(
        names(RegistrationState::Any).await,
        ["retired", "removed", "live"]
    );
}
