//! Checks that a history reads back sessions, gaps and registrations.

use std::sync::Arc;
use std::time::Duration;

use executor_core::ports::{
    Gap, History, PageRequest, Progress, PruneRule, PruneSlice, RegistrationFilter,
    RegistrationState, RolledUpHour, Session, SessionCounts, SessionEnd, SessionHour,
    SessionStatus, Store, StoredPrune, Window,
};
use executor_core::registration::{JobDetails, Overlap, ScheduleText};
use executor_core::{
    DropReason, Durability, EntityKind, Failure, Ledger, RegistrationId, Timestamp,
};

use crate::conformance::persist;
use crate::samples;

pub(super) async fn sessions_are_read_back_with_their_ledgers<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let mut sessions = Vec::new();
    for number in 0..3 {
        let mut session = (*samples::session()).clone();
        session.host = format!("host {number}");
        session.program = Some("house".to_owned());
        session.version = (number > 0).then(|| format!("1.{number}"));
        session.config_hash = (number > 1).then(|| "9f2c".to_owned());
        let session = Arc::new(session);
        store
            .open_session(Arc::clone(&session))
            .await
            .expect("opens");
        sessions.push(session);
    }
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
    let end = SessionEnd {
        at: later,
        status: SessionStatus::Failure,
        failure: Some(Failure {
            report: None,
            ..Failure::deadline()
        }),
        ledger,
    };
    let closed = store.close_session(sessions[2].id, end.clone()).await;
    closed.expect("closes");

    let first = history
        .sessions(PageRequest::first(2))
        .await
        .expect("answers");
    let next = first.next.clone().expect("there is one more");
    let second = history
        .sessions(PageRequest::first(2).following(next))
        .await;
    let second = second.expect("answers");
    assert_eq!(second.next, None);
    let found: Vec<_> = first.items.iter().chain(&second.items).collect();
    let names: Vec<_> = found.iter().map(|it| &it.session).collect();
    let expected: Vec<_> = sessions.iter().rev().map(Arc::as_ref).collect();
    assert_eq!(names, expected, "the latest first");
    let [ended, beating, begun] = found[..] else {
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
    let gaps = [gap(1, DropReason::Overflow), gap(2, DropReason::Shutdown)];
    store.record_gaps(gaps.to_vec()).await.expect("takes gaps");
    let [older, newer] = gaps;
    let found = async |window| {
        let page = history.gaps(window, PageRequest::default()).await;
        page.expect("answers").items
    };
    let both = [newer.clone(), older.clone()];
    assert_eq!(found(Window::default()).await, both);
    assert_eq!(found(Window::of_session(session.id)).await, both);
    assert_eq!(found(Window::of_session(samples::session().id)).await, []);
    // The older one went on until the newer one began.
    assert_eq!(found(Window::since(older.last_at)).await, both);
    assert_eq!(found(Window::since(newer.last_at)).await, [newer]);
    let before = Window {
        to: Some(older.last_at),
        ..Window::default()
    };
    assert_eq!(found(before).await, [older]);
    let one = history.gaps(Window::default(), PageRequest::first(1)).await;
    let one = one.expect("answers");
    let rest = PageRequest::first(1).following(one.next.expect("there is one more"));
    let rest = history
        .gaps(Window::default(), rest)
        .await
        .expect("answers");
    assert_eq!((&one.items[0], &rest.items[0]), (&both[0], &both[1]));
}

pub(super) async fn registrations_are_read_back_as_they_were_made_last<S: Store, H: History>(
    store: &S,
    history: &H,
) {
    let mut hall = samples::listener("hall");
    store.register(hall.clone()).await.expect("registers");
    hall.details.overlap = Some(Overlap::Queued);
    hall.details.overlap_limit = Some(3);
    hall.details.description = Some("motion".into());
    hall.details.annotations = Some(r#"{"debounce":"20ms"}"#.to_owned());
    hall.details.program = Some("dim".to_owned());
    let nightly = samples::job("nightly").with_job(JobDetails {
        handler_name: Some("nightly_run".into()),
        schedule: ScheduleText {
            trigger_type: "cron".into(),
            label: Some("at night".into()),
            detail: Some("0 3 * * *".into()),
        },
        group: Some("night".into()),
        arguments_json: Some("[1]".into()),
    });
    let hall_row = store.register(hall.clone()).await.expect("registers");
    let job_row = store.register(nightly.clone()).await.expect("registers");
    let door = samples::listener("door");
    store.register(door.clone()).await.expect("registers");
    let at = Timestamp::from_micros(9);
    let marked = store.mark_cancelled(RegistrationId::job(job_row), at).await;
    assert!(marked.expect("answers"));

    let found = async |filter: RegistrationFilter| {
        let page = history.registrations(filter, PageRequest::default()).await;
        page.expect("answers").items
    };
    let listeners = found(RegistrationFilter::of(EntityKind::Listener)).await;
    let names: Vec<_> = listeners.iter().map(|it| &it.registration).collect();
    assert_eq!(names, [&door, &hall], "the latest first");
    assert_eq!(listeners[1].id, RegistrationId::listener(hall_row));
    let jobs = found(RegistrationFilter::of(EntityKind::Job)).await;
    assert_eq!(
        (&jobs[0].registration, jobs[0].removed_at),
        (&nightly, Some(at))
    );
    let live = RegistrationFilter {
        state: RegistrationState::Live,
        ..RegistrationFilter::of(EntityKind::Job)
    };
    assert_eq!(found(live).await, []);
    let of_nobody = RegistrationFilter {
        app_key: Some("nobody".into()),
        ..RegistrationFilter::of(EntityKind::Listener)
    };
    assert_eq!(found(of_nobody).await, []);
}

pub(super) async fn prunes_are_told_and_counted<S: Store, H: History>(store: &S, history: &H) {
    let (first, second) = (samples::session(), samples::session());
    let hall = samples::listener("hall");
    let records: Vec<_> = (0..6)
        .map(|number| samples::record(&hall, None, number * 1_000))
        .collect();
    persist(store, &first, records[..4].to_vec()).await;
    // What is there already is no new row.
    persist(store, &first, records[..4].to_vec()).await;
    let end = SessionEnd {
        at: records[5].ended_at(),
        status: SessionStatus::Success,
        failure: None,
        ledger: Ledger::default(),
    };
    let closed = store.close_session(first.id, end).await;
    closed.expect("closes");
    // A later process stores what the first one left.
    persist(store, &first, records[4..5].to_vec()).await;
    persist(store, &second, records[5..].to_vec()).await;
    let slice = |rule, max_rows| PruneSlice {
        now: records[5].ended_at(),
        session: Some(second.id),
        ..PruneSlice::new(rule, max_rows)
    };
    let age = PruneRule::EndedBefore(records[3].ended_at());
    for _ in 0..2 {
        store.prune(slice(age, 2)).await.expect("answers");
    }
    let newest = PruneRule::AllButNewest(1);
    assert_eq!(store.prune(slice(newest, 9)).await.expect("answers"), 2);
    let told = history
        .prunes(Window::default(), PageRequest::default())
        .await;
    let told = told.expect("answers").items;
    let hour = 3_600_000_000;
    let prune = |rule: &str, count, ended: [usize; 2]| StoredPrune {
        session: Some(second.id),
        rule: rule.to_owned(),
        hour_at: Timestamp::from_micros(records[5].ended_at().as_micros() / hour * hour),
        count,
        first_at: records[ended[0]].ended_at(),
        last_at: records[ended[1]].ended_at(),
    };
    let expected = [prune("number", 2, [3, 4]), prune("age", 3, [0, 2])];
    assert_eq!(told, expected, "the latest first");
    let since = Window::since(records[4].ended_at());
    let told = history.prunes(since, PageRequest::default()).await;
    assert_eq!(told.expect("answers").items, expected[..1]);
    let sessions = history.sessions(PageRequest::default()).await;
    let counts = sessions.expect("answers").items.into_iter();
    let counts: Vec<_> = counts.map(|it| it.counts).collect();
    let of_first = SessionCounts {
        is_counted: true,
        pruned: 5,
        taken_over: 1,
        is_final: true,
        stored: 5,
    };
    let of_second = SessionCounts {
        pruned: 0,
        taken_over: 0,
        is_final: false,
        stored: 1,
        ..of_first
    };
    assert_eq!(counts, [of_second, of_first]);
    let evidence = history.evidence(Window::default(), Progress::ignored());
    let evidence = evidence.await.expect("answers");
    let told: Vec<_> = evidence.sessions.iter().map(|it| it.counts).collect();
    assert_eq!(told, [of_first, of_second], "the oldest first");
    let hour = |session: &Session, stored, pruned| SessionHour {
        session: session.id,
        hour_at: expected[0].hour_at,
        stored,
        pruned,
        rows: stored - pruned,
    };
    assert_eq!(evidence.hours, [hour(&first, 5, 5), hour(&second, 1, 0)]);
    let rolled_up = RolledUpHour {
        hour_at: expected[0].hour_at,
        count: 6,
    };
    assert_eq!(
        (evidence.rollups, evidence.gaps),
        (vec![rolled_up], Vec::new())
    );
    let later = Window::since(
        expected[0]
            .hour_at
            .saturating_add(Duration::from_secs(3_600)),
    );
    let evidence = history.evidence(later, Progress::ignored()).await;
    assert_eq!(evidence.expect("answers").hours, []);
}
