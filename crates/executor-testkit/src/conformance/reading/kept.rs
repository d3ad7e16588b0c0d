//! Checks that a history reads back sessions, gaps and registrations.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    Gap, History, PageRequest, RegistrationFilter, RegistrationState, Session, SessionEnd,
    SessionStatus, Store, StoredRegistration, StoredSession, Window,
};
use executor_core::registration::{JobDetails, Overlap, ScheduleText};
use executor_core::{
    DropReason, Durability, EntityKind, Failure, Ledger, Registration, RegistrationId, Timestamp,
};

use crate::samples;

pub(super) async fn sessions_are_read_back_with_their_ledgers<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let sessions = three_sessions(store).await;
    let mut ledger = Ledger {
        offered: 7,
        stored: 4,
        durability: Some(Durability::Process),
        ..Ledger::default()
    };
    let later = sessions[0]
        .started_at
        .saturating_add(Duration::from_secs(9));
    let beat = store.heartbeat(sessions[1].id, later, ledger);
    beat.await.expect("takes a heartbeat");
    ledger.add_dropped(DropReason::Damaged, 3);
    let end = failed(later, ledger);
    let closed = store.close_session(sessions[2].id, end.clone()).await;
    closed.expect("closes");

    let found = in_two_pages(history).await;
    let names: Vec<_> = found.iter().map(|it| &it.session).collect();
    let expected: Vec<_> = sessions.iter().rev().map(Arc::as_ref).collect();
    assert_eq!(names, expected, "the latest first");
    let [ended, beating, begun] = &found[..] else {
        panic!("three sessions: {found:?}");
    };
    assert_eq!((ended.status, ended.stopped_at), (end.status, Some(end.at)));
    assert_eq!((&ended.failure, ended.ledger), (&end.failure, end.ledger));
    assert_eq!(
        (beating.status, beating.heartbeat_at),
        (SessionStatus::Running, later)
    );
    assert_eq!((beating.ledger.stored, beating.stopped_at), (4, None));
    assert_eq!(
        (begun.heartbeat_at, begun.ledger.offered),
        (begun.session.started_at, 0)
    );
}

fn failed(at: Timestamp, ledger: Ledger) -> SessionEnd {
    SessionEnd {
        at,
        status: SessionStatus::Failure,
        failure: Some(Failure {
            report: None,
            ..Failure::deadline()
        }),
        ledger,
    }
}

/// Opens three sessions, each described by one fact more than the one before.
async fn three_sessions<S: Store>(store: &S) -> Vec<Arc<Session>> {
    let mut sessions = Vec::new();
    for number in 0..3 {
        let session = Arc::new(Session {
            host: format!("host {number}"),
            program: Some("house".to_owned()),
            version: (number > 0).then(|| format!("1.{number}")),
            config_hash: (number > 1).then(|| "9f2c".to_owned()),
            ..(*samples::session()).clone()
        });
        let opened = store.open_session(Arc::clone(&session)).await;
        opened.expect("opens");
        sessions.push(session);
    }
    sessions
}

async fn in_two_pages<H: History>(history: &H) -> Vec<StoredSession> {
    let page = async |request| history.sessions(request).await.expect("answers");
    let mut first = page(PageRequest::first(2)).await;
    let next = first.next.expect("there is one more");
    let second = page(PageRequest::first(2).following(next)).await;
    assert_eq!(second.next, None);
    first.items.extend(second.items);
    first.items
}

pub(super) async fn gaps_are_read_back_by_window<S: Store, H: History>(store: &S, history: &H) {
    let session = samples::session();
    store
        .open_session(Arc::clone(&session))
        .await
        .expect("opens");
    let entities = [samples::listener("hall").entity, samples::job("dim").entity];
    let gap = |number: i64, reason| Gap {
        session: session.id,
        reason,
        count: 5,
        first_at: Timestamp::from_micros(number),
        last_at: Timestamp::from_micros(number + 1),
        entities: entities.iter().cloned().zip([3, 2]).collect(),
    };
    let gaps = [
        gap(1, DropReason::Overflow.into()),
        gap(2, DropReason::Shutdown.into()),
    ];
    store.record_gaps(gaps.to_vec()).await.expect("takes gaps");
    let [older, newer] = gaps;
    gaps_are_in_the_windows_that_they_touch(history, older, newer).await;
}

/// The older one went on until the newer one began.
async fn gaps_are_in_the_windows_that_they_touch<H: History>(history: &H, older: Gap, newer: Gap) {
    let found = async |window| {
        let page = history.gaps(window, PageRequest::default()).await;
        page.expect("answers").items
    };
    let both = [newer.clone(), older.clone()];
    assert_eq!(found(Window::default()).await, both);
    assert_eq!(found(Window::of_session(older.session)).await, both);
    assert_eq!(found(Window::of_session(samples::session().id)).await, []);
    assert_eq!(found(Window::since(older.last_at)).await, both);
    assert_eq!(found(Window::since(newer.last_at)).await, [newer]);
    let before = Window {
        to: Some(older.last_at),
        ..Window::default()
    };
    assert_eq!(found(before).await, [older]);
    assert_eq!(gaps_one_by_one(history).await, both);
}

/// Reads two gaps on two pages.
async fn gaps_one_by_one<H: History>(history: &H) -> Vec<Gap> {
    let page = async |request| {
        let page = history.gaps(Window::default(), request).await;
        page.expect("answers")
    };
    let mut one = page(PageRequest::first(1)).await;
    let next = one.next.expect("there is one more");
    let rest = page(PageRequest::first(1).following(next)).await;
    one.items.extend(rest.items);
    one.items
}

pub(super) async fn registrations_are_read_back_as_they_were_made_last<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let register = async |registration: &Registration| {
        let row = store.register(registration.clone()).await;
        row.expect("registers")
    };
    let (hall, nightly, door) = (detailed_hall(), nightly(), samples::listener("door"));
    register(&samples::listener("hall")).await;
    let hall_row = register(&hall).await;
    let job_row = register(&nightly).await;
    register(&door).await;
    let at = Timestamp::from_micros(9);
    let marked = store.mark_cancelled(RegistrationId::job(job_row), at).await;
    assert!(marked.expect("answers"));

    let found = async |kind| registrations(history, RegistrationFilter::of(kind)).await;
    let listeners = found(EntityKind::Listener).await;
    let names: Vec<_> = listeners.iter().map(|it| &it.registration).collect();
    assert_eq!(names, [&door, &hall], "the latest first");
    assert_eq!(listeners[1].id, RegistrationId::listener(hall_row));
    let jobs = found(EntityKind::Job).await;
    let removed = (&jobs[0].registration, jobs[0].removed_at);
    assert_eq!(removed, (&nightly, Some(at)));
    filters_leave_out_other_registrations(history).await;
}

/// There are two listeners, and a job that was removed.
async fn filters_leave_out_other_registrations<H: History>(history: &H) {
    let live = RegistrationFilter {
        state: RegistrationState::Live,
        ..RegistrationFilter::of(EntityKind::Job)
    };
    assert_eq!(registrations(history, live).await, []);
    let of_nobody = RegistrationFilter {
        app_key: Some("nobody".into()),
        ..RegistrationFilter::of(EntityKind::Listener)
    };
    assert_eq!(registrations(history, of_nobody).await, []);
}

async fn registrations<H: History>(
    history: &H,
    filter: RegistrationFilter,
) -> Vec<StoredRegistration> {
    let page = history.registrations(filter, PageRequest::default()).await;
    page.expect("answers").items
}

/// The listener `hall`, with details that it does not have by default.
fn detailed_hall() -> Registration {
    let mut hall = samples::listener("hall");
    hall.details.overlap = Some(Overlap::Queued);
    hall.details.overlap_limit = Some(3);
    hall.details.description = Some("motion".into());
    hall.details.annotations = Some(r#"{"debounce":"20ms"}"#.to_owned());
    hall.details.program = Some("dim".to_owned());
    hall
}

fn nightly() -> Registration {
    samples::job("nightly").with_job(JobDetails {
        handler_name: Some("nightly_run".into()),
        schedule: ScheduleText {
            trigger_type: "cron".into(),
            label: Some("at night".into()),
            detail: Some("0 3 * * *".into()),
        },
        group: Some("night".into()),
        arguments_json: Some("[1]".into()),
    })
}
